"""Reading a file of people: comma-separated, in UTF-8, one line per person and team. Knows nothing of the database."""

import csv
from dataclasses import dataclass, field
from io import StringIO
from typing import NoReturn

from django.core.exceptions import ValidationError

from apps.accounts.choices import PlatformRole
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.teams.choices import TeamRole

COLUMNS = ("username", "email", "first_name", "last_name", "team", "role", "platform_role")
MOST_LINES = 5000
MOST_BYTES = 900_000
PERSONAL = ("email", "first_name", "last_name", "platform_role")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class Line:
    """One line of the file: its number there, its cells without spaces around them, and what is wrong with it."""

    number: int
    cells: dict[str, str]
    errors: list[str] = field(default_factory=list)

    @property
    def username(self) -> str:
        return self.cells.get("username", "")

    @property
    def team(self) -> str:
        return self.cells.get("team", "")

    @property
    def role(self) -> str:
        return self.cells.get("role", "") or (TeamRole.MEMBER if self.team else "")


def read(data: bytes) -> list[Line]:
    """Return the lines of the file, each checked by itself and against the others.

    Raises: Invalid for a file that cannot be read as a whole: too large, not UTF-8, unknown columns.
    """
    if len(data) > MOST_BYTES:
        _refuse(f"At most {MOST_BYTES} bytes.")
    rows = _rows(data)
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    unknown = [name for name in header if name not in COLUMNS]
    if "username" not in header or unknown or len(set(header)) != len(header):
        _refuse(f"The first line names the columns, separated by commas: {', '.join(COLUMNS)}.")
    if len(rows) - 1 > MOST_LINES:
        _refuse(f"At most {MOST_LINES} lines.")
    lines = [_line(number, header, cells) for number, cells in rows[1:]]
    _compare(lines)
    return lines


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Build a file that a spreadsheet can open without harm."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _rows(data: bytes) -> list[tuple[int, list[str]]]:
    """Return line number and cells of every line that is not empty."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        _refuse(f"Line {line} is not UTF-8. Save the file as UTF-8 and try again.", error)
    if "\x00" in text:
        _refuse("The file holds NUL characters.")
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        _refuse(f"Line {reader.line_num}: {error}.", error)


def _line(number: int, header: list[str], cells: list[str]) -> Line:
    line = Line(number, {name: cell.strip() for name, cell in zip(header, cells, strict=False)})
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        line.errors.append(f"It has {len(cells)} cells, and there are {len(header)} columns.")
    line.errors += _wrong_person(line)
    if line.cells.get("platform_role", "") not in PlatformRole.values:
        line.errors.append("platform_role: admin, auditor, or empty.")
    if line.role and not line.team:
        line.errors.append("role: a role without a team.")
    elif line.role and line.role not in TeamRole.values:
        line.errors.append(f"role: one of {', '.join(TeamRole.values)}.")
    return line


def _wrong_person(line: Line) -> list[str]:
    facts = {name: line.cells.get(name, "") for name in ("username", "email", "first_name", "last_name")}
    try:
        User(**facts).clean_fields(exclude=["password"])
    except ValidationError as error:
        return [f"{name}: {sentence}" for name, found in error.message_dict.items() for sentence in found]
    return []


def _compare(lines: list[Line]) -> None:
    """Lines about one person must agree; a person is named once per team, and always in the same letters."""
    first: dict[str, Line] = {}
    places: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = line.username.lower()
        known = first.setdefault(key, line)
        if known is not line:
            if known.username != line.username:
                line.errors.append(f"username: line {known.number} spells it {known.username}.")
            differing = [
                name for name in PERSONAL if line.cells.get(name) and line.cells[name] != known.cells.get(name, "")
            ]
            line.errors += [f"{name}: differs from line {known.number}." for name in differing]
        twice = places.setdefault((key, line.team), line)
        if twice is not line:
            line.errors.append(f"The same person and team as line {twice.number}.")


def _refuse(sentence: str, cause: Exception | None = None) -> NoReturn:
    raise Invalid(errors={"file": [sentence]}) from cause
