"""Limits as a table: CSV with the columns key, resource, limit and, if wanted, borrow, as people write amounts."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apps.quotas.choices import NodeKind, family
from apps.quotas.forms import REPORTED, parse_amount, write_amount
from apps.quotas.models import QuotaNode, Resource

COLUMNS = ["key", "resource", "limit"]
LENT = [*COLUMNS, "borrow"]
MOST_LINES = 5000
MOST_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class Change:
    """One line: a limit as it is and as it is to be, and what may be borrowed beyond it (None: the file does not say)."""

    line: int
    node: QuotaNode
    resource: str
    before: int | None
    after: int | None
    lent: int = 0
    borrow: int | None = None

    @property
    def is_news(self) -> bool:
        return self.before != self.after or (self.borrow is not None and self.borrow != self.lent)

    @property
    def before_words(self) -> str:
        return self._words(self.before, self.lent)

    @property
    def after_words(self) -> str:
        return self._words(self.after, self.lent if self.borrow is None else self.borrow)

    def _words(self, limit: int | None, borrow: int) -> str:
        lent = f" and {write_amount(self.resource, borrow)} borrowed" if borrow else ""
        return (write_amount(self.resource, limit) or "no limit") + lent


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
    if not rows or [cell.strip().lower() for cell in rows[0][1]] not in (COLUMNS, LENT):
        draft.errors.append((1, f"The first line must be: {','.join(COLUMNS)}"))
        return draft
    if len(rows) > MOST_LINES:
        draft.errors.append((MOST_LINES, f"At most {MOST_LINES} lines at a time."))
        return draft
    for line, row in rows[1:]:
        if not row:
            continue
        try:
            change = _change(line, row, nodes, names, width=len(rows[0][1]))
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
    writer.writerow(LENT)
    for node in nodes:
        for row in node.limits.all():
            lent = write_amount(row.resource, row.borrow or None)
            writer.writerow([node.key, row.resource, write_amount(row.resource, row.limit), lent])
    return out.getvalue()


def _rows(text: str) -> list[tuple[int, list[str]]]:
    if "\x00" in text:
        return []
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error:
        return []


def _change(line: int, row: list[str], nodes: Mapping[str, QuotaNode], names: list[str], *, width: int) -> Change:
    """Read one line of so many cells. Raises: ValueError with a sentence."""
    if len(row) != width:
        msg = f"Expected {width} cells, found {len(row)}."
        raise ValueError(msg)
    key, resource, amount, *lent = (cell.strip() for cell in row)
    node = nodes.get(key)
    if node is None:
        msg = f"There is no place {key!r} in the quota tree."
        raise ValueError(msg)
    if resource not in names:
        msg = f"{resource!r} is not one of {', '.join(names)}."
        raise ValueError(msg)
    if node.kind == NodeKind.CLUSTER and family(resource) in REPORTED:
        msg = f"{node} reports its {resource} itself."
        raise ValueError(msg)
    known = next((limit for limit in node.limits.all() if limit.resource == resource), None)
    before, held = (known.limit, known.borrow) if known else (None, 0)
    borrow = parse_amount(resource, lent[0]) or 0 if lent else None
    if borrow and node.kind == NodeKind.CLUSTER:
        msg = f"{node} borrows nothing."
        raise ValueError(msg)
    return Change(line, node, resource, before, parse_amount(resource, amount), held, borrow)
