"""Admission: the only writer of what is used.

LOCKING: limit rows are locked in one global order (node, resource), in READ COMMITTED, before they are read
(`apps/quotas/statements.py`); without the lock concurrent admissions exceed the limit (tests/concurrency shows it), and
the database refuses the write.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from django.db import connection, transaction

from apps.core import failpoints, prepared
from apps.core.errors import Conflict
from apps.core.ids import new_id
from apps.core.locks import lock_rows
from apps.quotas import statements
from apps.quotas.books import Amounts, Books, Full, Line
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation
from apps.quotas.services import share

_complete: set[tuple[int, str]] = set()  # pairs of node and resource that are known to have a row


@dataclass(frozen=True, slots=True)
class Ask:
    """What one attempt wants to hold: `amounts`, in base units, at every one of `node_ids`, its own node `node_id`.

    `seconds` is how long it holds it at most; None: nobody knows.
    """

    key: str
    node_id: int
    node_ids: tuple[int, ...]
    amounts: Amounts
    seconds: float | None = None

    @property
    def need(self) -> dict[str, int]:
        return {resource: amount for resource, amount in self.amounts.items() if amount > 0}


@dataclass(frozen=True, slots=True)
class Gone:
    """The answer to a key whose reservation was released: it has come and gone."""

    key: str


Answer = Reservation | Full | Gone


def look(node_ids: Iterable[int], resources: Iterable[str]) -> Books:
    """Read the limits of some nodes without locking them: for what only wants to know."""
    return _read(statements.LOOK, node_ids, resources)


def lock(node_ids: Iterable[int], resources: Iterable[str]) -> Books:
    """Lock the limit rows of some nodes and return them as they are now. Runs in the caller's transaction."""
    nodes, names = sorted(set(node_ids)), sorted(set(resources))
    pairs = {(node, name) for node in nodes for name in names}
    if not pairs <= _complete:
        with connection.cursor() as cursor:
            cursor.execute(statements.COMPLETE, {"nodes": nodes, "resources": names})
    books = _read(statements.LOCK, nodes, names)
    failpoints.hit("quota.after_lock")
    _remember(books.lines)
    return books


def _remember(pairs: Iterable[tuple[int, str]]) -> None:
    if len(_complete) > _MOST_REMEMBERED:
        _complete.clear()
    _complete.update(pairs)


_MOST_REMEMBERED = 100_000


def _read(statement: str, node_ids: Iterable[int], resources: Iterable[str]) -> Books:
    rows = prepared.rows_of(statement, {"nodes": list(node_ids), "resources": list(resources)})
    return Books.of(Line(*row) for row in rows)


def hold(asks: Sequence[Ask], books: Books) -> dict[str, Reservation | Gone]:
    """Write what was decided under the locks of `lock`: a reservation for each of `asks`, counted on its whole path.

    What has one already keeps it, and is not counted again. `books` become what is true after it.
    """
    made = {ask.key: _reservation(ask) for ask in asks}
    rows = [_row(row, ask) for row, ask in zip(made.values(), asks, strict=True)]
    nodes = sorted({node_id for ask in asks for node_id in ask.node_ids})
    given = {"asked": orjson.dumps(rows).decode(), "nodes": nodes, **share.entry_facts()}
    new = {key for (key,) in prepared.rows_of(statements.HOLD, given)}
    for ask in asks:
        if ask.key in new:
            books.take(ask.node_ids, ask.need)
    failpoints.hit("quota.before_commit")
    return {**made, **_earlier([key for key in made if key not in new])}


def _reservation(ask: Ask) -> Reservation:
    return Reservation(id=new_id(), key=ask.key, node_id=ask.node_id, node_ids=list(ask.node_ids), amounts=ask.need)


def _row(row: Reservation, ask: Ask) -> dict[str, object]:
    return {
        "id": str(row.pk),
        "key": row.key,
        "node": row.node_id,
        "nodes": row.node_ids,
        "amounts": row.amounts,
        "seconds": ask.seconds,
    }


def _earlier(keys: list[str]) -> dict[str, Reservation | Gone]:
    rows = Reservation.objects.filter(key__in=keys) if keys else ()
    return {row.key: row if row.released_at is None else Gone(row.key) for row in rows}


def reserve_all(asks: Sequence[Ask]) -> list[Answer]:
    """Hold what fits of `asks`, one after the other, and say of the others what is full. Idempotent per key.

    Runs in the caller's transaction, which must be READ COMMITTED and touch no other rows before.
    """
    books = lock((pk for ask in asks for pk in ask.node_ids), (name for ask in asks for name in ask.need))
    answers: dict[str, Answer] = {}
    fit, full = _decide(asks, books.copy())
    if full and (known := _earlier([ask.key for ask in asks])):
        # Once the locks are held, so that a twin is seen. Only a refusal needs it: what fits finds its twin as it is written.
        answers |= known
        fit, full = _decide([ask for ask in asks if ask.key not in known], books.copy())
    answers |= full
    answers |= hold(fit, books) if fit else {}
    return [answers[ask.key] for ask in asks]


def _decide(asks: Sequence[Ask], books: Books) -> tuple[list[Ask], dict[str, Full]]:
    """Return what of `asks` fits, one after the other, and what is full for each of the others."""
    fit, refused = [], {}
    for ask in asks:
        if (full := books.full(ask.node_ids, ask.need)) is not None:
            refused[ask.key] = full
        else:
            books.take(ask.node_ids, ask.need)
            fit.append(ask)
    return fit, refused


def reserve(
    key: str, node: QuotaNode, also: Sequence[int], amounts: Amounts, *, seconds: float | None = None
) -> Reservation | Full:
    """Hold `amounts` at `node`, all its ancestors and the nodes `also`, or say what is full. Idempotent per `key`.

    Runs in the caller's transaction, which must be READ COMMITTED and touch no other rows before.
    Raises: Conflict for a key that was released.
    """
    (answer,) = reserve_all([Ask(key, node.pk, (*node.path, *also), amounts, seconds)])
    if isinstance(answer, Gone):
        msg = f"What {key} held was released; it cannot be reserved again."
        raise Conflict(msg)
    return answer


def release(key: str) -> bool:
    """Give back what `key` holds; a second call finds nothing to give. Runs in the caller's transaction."""
    freed = prepared.rows_of(statements.RELEASE, {"key": key})
    for node_ids, amounts, uncounted in freed:
        share.count_exit(node_ids, orjson.loads(amounts), uncounted)
    failpoints.hit("release.before_commit")
    return bool(freed)


@transaction.atomic
def drift() -> list[str]:
    """Recompute every `used` from the live reservations and name each row that differs. Empty when all is well."""
    rows = lock_rows(QuotaLimit.objects.all(), order=("node_id", "resource"))
    with connection.cursor() as cursor:
        cursor.execute(_LIVE)
        expected = {(node_id, resource): int(amount) for node_id, resource, amount in cursor.fetchall()}
    found = [(row, expected.get((row.node_id, row.resource), 0)) for row in rows]
    wrong = [f"node {row.node_id} {row.resource}: {row.used}, live {live}" for row, live in found if row.used != live]
    counted = {(row.node_id, row.resource) for row in rows}
    return wrong + [
        f"node {node} {name}: not counted, live {live}"
        for (node, name), live in sorted(expected.items())
        if (node, name) not in counted
    ]


_LIVE = """
    SELECT n.id, a.key, sum(a.value::bigint) FROM quotas_reservation r, unnest(r.node_ids) AS n(id),
           jsonb_each_text(r.amounts) AS a(key, value)
     WHERE r.released_at IS NULL GROUP BY 1, 2
"""
