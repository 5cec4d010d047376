"""Limits as a table: CSV with the columns key, resource, limit, as people write amounts."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apps.quotas.choices import NodeKind
from apps.quotas.forms import REPORTED, parse_amount, write_amount
from apps.quotas.models import QuotaNode, Resource

COLUMNS = ["key", "resource", "limit"]
MOST_LINES = 5000
MOST_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class Change:
    """One line: a limit as it is and as it is to be."""

    line: int
    node: QuotaNode
    resource: str
    before: int | None
    after: int | None

    @property
    def is_news(self) -> bool:
        return self.before != self.after

    @property
    def before_words(self) -> str:
        return write_amount(self.resource, self.before) or "no limit"

    @property
    def after_words(self) -> str:
        return write_amount(self.resource, self.after) or "no limit"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a file asks for, and what is wrong with it, line by line. With a single error nothing of it is done."""

    changes: list[Change] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)

    @property
    def news(self) -> list[Change]:
        return [change for change in self.changes if change.is_news]


def keys_in(text: str) -> set[str]:
    """Return the keys that the file names, to look the nodes up at once."""
    return {row[0].strip() for _, row in _rows(text) if row}


def read(text: str, nodes: Mapping[str, QuotaNode]) -> Draft:
    """Check every line against `nodes` (by key, with their limits prefetched)."""
    draft, seen, names = Draft(), set[tuple[str, str]](), Resource.objects.names()
    rows = list(_rows(text))
    if not rows or [cell.strip().lower() for cell in rows[0][1]] != COLUMNS:
        draft.errors.append((1, f"The first line must be: {','.join(COLUMNS)}"))
        return draft
    if len(rows) > MOST_LINES:
        draft.errors.append((MOST_LINES, f"At most {MOST_LINES} lines at a time."))
        return draft
    for line, row in rows[1:]:
        if not row:
            continue
        try:
            change = _change(line, row, nodes, names)
        except ValueError as error:
            draft.errors.append((line, str(error)))
            continue
        place = (change.node.key, change.resource)
        if place in seen:
            draft.errors.append((line, f"{place[0]} {place[1]} stands in an earlier line as well."))
        seen.add(place)
        draft.changes.append(change)
    if not draft.changes and not draft.errors:
        draft.errors.append((1, "There is no line below the first."))
    return draft


def write(nodes: Iterable[QuotaNode]) -> str:
    """Write the limits of `nodes` as a file that `read` takes."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for node in nodes:
        for row in node.limits.all():
            writer.writerow([node.key, row.resource, write_amount(row.resource, row.limit)])
    return out.getvalue()


def _rows(text: str) -> list[tuple[int, list[str]]]:
    if "\x00" in text:
        return []
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error:
        return []


def _change(line: int, row: list[str], nodes: Mapping[str, QuotaNode], names: list[str]) -> Change:
    """Read one line. Raises: ValueError with a sentence."""
    if len(row) != len(COLUMNS):
        msg = f"Expected {len(COLUMNS)} cells, found {len(row)}."
        raise ValueError(msg)
    key, resource, amount = (cell.strip() for cell in row)
    node = nodes.get(key)
    if node is None:
        msg = f"There is no place {key!r} in the quota tree."
        raise ValueError(msg)
    if resource not in names:
        msg = f"{resource!r} is not one of {', '.join(names)}."
        raise ValueError(msg)
    if node.kind == NodeKind.CLUSTER and resource in REPORTED:
        msg = f"{node} reports its {resource} itself."
        raise ValueError(msg)
    before = next((limit.limit for limit in node.limits.all() if limit.resource == resource), None)
    return Change(line, node, resource, before, parse_amount(resource, amount))
