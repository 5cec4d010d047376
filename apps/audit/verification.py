"""Recomputing the chains: names what was changed, removed, slipped in, or left unsealed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.db.models.functions import Now

from apps.audit import organizations, querying, rows, sealing
from apps.audit.models import AuditEvent, AuditSeal

UNSEALED_AFTER = timedelta(minutes=5)
LATE_AFTER = querying.LONGEST_TRANSACTION  # what appears later was not written then
MOST_NAMED = 100
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written. `kind` is a stable word, `event` the id of the row."""

    kind: str
    detail: str
    event: int | None = None
    organization: str = ""
    seq: int | None = None


@dataclass(slots=True)
class Report:
    """What a verification found."""

    events: int = 0
    chains: int = 0
    problems: list[Problem] = field(default_factory=list)
    left_out: int = 0  # problems beyond MOST_NAMED

    @property
    def is_clean(self) -> bool:
        return not self.problems

    def add(self, problem: Problem) -> None:
        if len(self.problems) < MOST_NAMED:
            self.problems.append(problem)
        else:
            self.left_out += 1

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.is_clean, **asdict(self)}


def verify(*, organization: int | None = None) -> Report:
    """Check every chain, or that of one organization, against its events and the anchors."""
    report = Report()
    names: dict[int | None, str] = {None: querying.PLATFORM} | dict(organizations.names())
    found = set(AuditSeal.objects.order_by().values_list("organization_id", flat=True).distinct())
    for chain in [organization] if organization is not None else sorted(found, key=lambda known: known or 0):
        report.chains += 1
        for problem in _of_chain(chain, names.get(chain, str(chain)), report):
            report.add(problem)
    for problem in [*_of_unsealed(organization, names), *_of_anchors(organization, names)]:
        report.add(problem)
    if organization is None:
        for trigger in rows.unwatched():
            report.add(Problem("unwatched", f"The trigger {trigger} is switched off or gone: changes go by unseen."))
    return report


def _of_chain(chain: int | None, name: str, report: Report) -> Iterator[Problem]:
    before: AuditSeal | None = None
    newest_at: datetime | None = None
    for seal, row in _pairs(chain):
        report.events += 1
        for kind, detail in (_broken(before, seal, name), _forged(seal, row, chain, newest_at)):
            if kind:
                yield Problem(kind, detail, event=seal.event_id, organization=name, seq=seal.seq)
        before = seal
        if row is not None:
            newest_at = max(newest_at or row["at"], row["at"])


def _broken(before: AuditSeal | None, seal: AuditSeal, name: str) -> tuple[str, str]:
    """Return what is wrong between a seal and the one before it: kind and sentence, or two empty words."""
    seq, digest = (0, sealing.GENESIS) if before is None else (before.seq, bytes(before.hash))
    if seal.seq != seq + 1:
        return "seal_missing", f"The seals of {name} between {seq} and {seal.seq} are missing."
    if bytes(seal.prev_hash) != digest:
        return "chain_broken", f"Seal {seal.seq} of {name} does not follow the one before it."
    return "", ""


def _forged(
    seal: AuditSeal, row: dict[str, Any] | None, chain: int | None, newest_at: datetime | None
) -> tuple[str, str]:
    """Return what is wrong with a sealed event, likewise; `newest_at` is the latest time sealed before it."""
    if row is None:
        return "event_missing", f"Event {seal.event_id} was deleted."
    if sealing.link(bytes(seal.prev_hash), row) != bytes(seal.hash):
        return "event_changed", f"Event {seal.event_id} is not what was sealed."
    if row["organization_id"] != chain:
        return "event_moved", f"Event {seal.event_id} is another organization's."
    if newest_at is not None and row["at"] < newest_at - LATE_AFTER:
        when = f"{row['at']:%Y-%m-%d %H:%M}"
        return "event_inserted", f"Event {seal.event_id} says {when}, but appeared after later ones were sealed."
    return "", ""


def _pairs(chain: int | None) -> Iterator[tuple[AuditSeal, dict[str, Any] | None]]:
    """Yield each seal of a chain with its event, None where it is gone."""
    seals = AuditSeal.objects.filter(organization_id=chain)
    after = 0
    while part := list(seals.filter(seq__gt=after).order_by("seq")[:_CHUNK]):
        events = AuditEvent.objects.filter(pk__in=[seal.event_id for seal in part])
        found = {row["id"]: row for row in sealing.rows(events)}
        yield from ((seal, found.get(seal.event_id)) for seal in part)
        after = part[-1].seq


def _of_unsealed(organization: int | None, names: dict[int | None, str]) -> Iterator[Problem]:
    left = sealing.unsealed().filter(at__lt=Now() - UNSEALED_AFTER)
    if organization is not None:
        left = left.filter(organization_id=organization)
    sealed_to = AuditSeal.objects.aggregate(newest=Max("event_id"))["newest"] or 0
    for pk, at, chain in left.values_list("pk", "at", "organization_id")[: MOST_NAMED + 1]:
        why = "appeared among sealed ones" if pk < sealed_to else "the worker does not seal"
        detail = f"Event {pk} of {at:%Y-%m-%d %H:%M:%S} has no seal: {why}."
        yield Problem("unsealed", detail, event=pk, organization=names.get(chain, str(chain)))


def _of_anchors(organization: int | None, names: dict[int | None, str]) -> Iterator[Problem]:
    for line in _anchored():
        chain, seq, digest = line["organization"], line["seq"], bytes.fromhex(line["hash"])
        if organization is not None and chain != organization:
            continue
        seals = AuditSeal.objects.filter(seq=seq, organization_id=chain)
        found = seals.values_list("hash", flat=True).first()
        if found is None or bytes(found) != digest:
            name = names.get(chain, str(chain))
            detail = f"Seal {seq} of {name} is not the one that was anchored at {line['at']}: the chain was made anew."
            yield Problem("anchor_differs", detail, organization=name, seq=seq)


def _anchored() -> Iterator[dict[str, Any]]:
    path = Path(settings.AUDIT_ANCHOR)
    if settings.AUDIT_ANCHOR and path.exists():
        with path.open() as lines:
            yield from map(json.loads, lines)
