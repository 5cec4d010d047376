"""The hash chains: one per organization and one of the platform's own, made after the events and beside them.

Nobody who writes an event waits for a chain. A loop of the worker seals what was committed, in the order of the ids
among what it finds: `hash = SHA-256(prev_hash ‖ canonical event)`.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, QuerySet, TextField
from django.db.models.functions import Cast

from apps.audit import denials
from apps.audit.models import AuditEvent, AuditSeal
from apps.core.locks import advisory

GENESIS = bytes(32)
BATCH = 2000
POLL_SECONDS = 0.5
ANCHOR_SECONDS = 3600.0
# Transactions commit in another order than ids are given. Each turn looks this far back behind the newest sealed id;
# now and then further, and each hour at everything, for what a very long transaction left behind.
_BACK, _FAR_BACK = 2_000, 100_000
_FAR_SECONDS, _ALL_SECONDS, _FOLD_SECONDS = 10.0, 3600.0, 5.0

# Every column, in no order: the canonical form sorts them. A column that is added later is null in old rows, and null
# is left out, so their hashes stay what they were.
COLUMNS = (
    "id", "at", "organization_id", "actor_id", "actor_label", "on_behalf_of", "token_id", "origin", "ip", "request_id",
    "action", "object_type", "object_id", "object_label", "outcome", "reason", "data", "txid",
)  # fmt: skip


def rows(events: QuerySet[AuditEvent]) -> Any:
    """Read events as `canonical` takes them: every column, and `data` in PostgreSQL's own text form, which is unique."""
    columns = (name for name in COLUMNS if name != "data")
    return events.annotate(data_text=Cast("data", TextField())).values(*columns, "data_text")


def canonical(row: Mapping[str, Any]) -> bytes:
    """Return the one form in which an event is hashed: JSON without spaces, keys sorted, ASCII, times in UTC."""
    shown = {name.removesuffix("_text"): _plain(value) for name, value in row.items() if value is not None}
    return json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def link(prev_hash: bytes, row: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(prev_hash + canonical(row)).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if isinstance(value, (str, int)) else str(value)


def unsealed(*, back: int | None = None) -> QuerySet[AuditEvent]:
    """Return the events without a seal, oldest first; with `back`, only from so many ids behind the newest sealed one."""
    events = AuditEvent.objects.filter(~Exists(AuditSeal.objects.filter(event_id=OuterRef("pk")))).order_by("pk")
    if back is None:
        return events
    newest = AuditSeal.objects.aggregate(newest=Max("event_id"))["newest"] or 0
    return events.filter(pk__gt=newest - back)


def seal(*, back: int | None = None, limit: int = BATCH) -> int:
    """Seal up to `limit` committed events; return how many. One process at a time: another one's turn does nothing."""
    with advisory("audit-seal") as won:
        if not won:
            return 0
        found = list(rows(unsealed(back=back))[:limit])
        AuditSeal.objects.bulk_create(_links(found))
        return len(found)


def _links(found: Sequence[Mapping[str, Any]]) -> Iterable[AuditSeal]:
    heads = {chain: (seq, digest) for chain, seq, digest in _heads({row["organization_id"] for row in found})}
    for row in found:
        chain = row["organization_id"]
        seq, prev_hash = heads.get(chain, (0, GENESIS))
        digest = link(prev_hash, row)
        heads[chain] = (seq + 1, digest)
        yield AuditSeal(event_id=row["id"], organization_id=chain, seq=seq + 1, prev_hash=prev_hash, hash=digest)


def _heads(chains: Iterable[int | None]) -> Iterable[tuple[int | None, int, bytes]]:
    for chain in chains:
        of_chain = AuditSeal.objects.filter(organization_id=chain)
        newest = of_chain.order_by("-seq").values_list("organization_id", "seq", "hash").first()
        if newest is not None:
            yield newest[0], newest[1], bytes(newest[2])


def heads() -> list[tuple[int | None, int, bytes]]:
    """Return the newest seal of each chain: organization, number, hash."""
    newest = AuditSeal.objects.order_by("organization_id", "-seq").distinct("organization_id")
    return [(row.organization_id, row.seq, bytes(row.hash)) for row in newest]


def anchor(path: str) -> int:
    """Append the head of each chain to a file; return how many. A chain that is made anew no longer matches the file."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [
        json.dumps({"at": now, "organization": chain, "seq": seq, "hash": digest.hex()}) + "\n"
        for chain, seq, digest in heads()
    ]
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, "".join(lines).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    return len(lines)


class Sealer:
    """The loop's own memory: when it last looked how far back, folded refusals, anchored. One per worker process."""

    def __init__(self) -> None:
        self._done_at: dict[str, float] = {}

    def turn(self) -> float:
        """Do what is due; return for how many seconds there is nothing to do."""
        if self._is_due("fold", _FOLD_SECONDS):
            denials.fold()
        back: int | None = _BACK
        if self._is_due("all", _ALL_SECONDS):
            back = None
        elif self._is_due("far", _FAR_SECONDS):
            back = _FAR_BACK
        is_more = unsealed(back=back).exists() and seal(back=back) == BATCH
        if settings.AUDIT_ANCHOR and self._is_due("anchor", ANCHOR_SECONDS):
            anchor(settings.AUDIT_ANCHOR)
        return 0.0 if is_more else POLL_SECONDS

    def _is_due(self, name: str, every: float) -> bool:
        now = time.monotonic()
        if now - self._done_at.get(name, float("-inf")) < every:
            return False
        self._done_at[name] = now
        return True
