"""Recomputing the chains: names what was changed, removed, slipped in, or left unsealed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.db.models.functions import Now

from apps.audit import organizations, rows, sealing
from apps.audit.models import AuditEvent, AuditSeal

UNSEALED_AFTER = timedelta(minutes=5)
LATE_AFTER = timedelta(hours=1)  # longer than any transaction of ours: what appears later was not written then
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
    names: dict[int | None, str] = {None: "platform", **organizations.names()}
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
    expected_seq, prev_hash, newest_at = 1, sealing.GENESIS, None
    for seal, row in _pairs(chain):
        report.events += 1
        about = {"event": seal.event_id, "organization": name, "seq": seal.seq}
        if seal.seq != expected_seq:
            gap = f"{expected_seq} to {seal.seq - 1}" if seal.seq - 1 > expected_seq else str(expected_seq)
            yield Problem("seal_missing", f"Seal {gap} of {name} is missing.", **about)
        elif bytes(seal.prev_hash) != prev_hash:
            yield Problem("chain_broken", f"Seal {seal.seq} of {name} does not follow the one before it.", **about)
        if row is None:
            yield Problem("event_missing", f"Event {seal.event_id} was deleted.", **about)
        elif sealing.link(bytes(seal.prev_hash), row) != bytes(seal.hash):
            yield Problem("event_changed", f"Event {seal.event_id} is not what was sealed.", **about)
        elif row["organization_id"] != chain:
            yield Problem("event_moved", f"Event {seal.event_id} is another organization's.", **about)
        elif newest_at is not None and row["at"] < newest_at - LATE_AFTER:
            detail = f"Event {seal.event_id} says {row['at']:%Y-%m-%d %H:%M}, and appeared after later ones were sealed."
            yield Problem("event_inserted", detail, **about)
        if row is not None:
            newest_at = max(filter(None, (newest_at, row["at"])))
        expected_seq, prev_hash = seal.seq + 1, bytes(seal.hash)


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
