"""Why a workload waits: what is in its way, with the numbers, who can change that, what would fit, and when it may start.

SECURITY: what others use of limits that tenants share (the platform's, a cluster's) is told to operators only; so is what
would follow from it: how much less would fit, and when it may start.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apps.compute import order
from apps.compute.choices import DesiredState, State
from apps.compute.models import Workload
from apps.compute.queue import Candidate
from apps.compute.reconcile.admit import freed_at, read_candidate
from apps.quotas import services as quotas
from apps.quotas.choices import in_units, words
from apps.quotas.models import QuotaNode, Resource


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A limit that the workload exceeds now. Amounts in base units; None where it is not for the reader."""

    node: str
    kind: str
    resource: str
    limit: int
    used: int | None
    need: int
    sentence: str
    changed_by: Sequence[str]
    node_id: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """One step of the way to a person's rank: what a node has used lately, its weight, and what follows from them."""

    node: str
    cpu_hours: float
    weight: int
    score: float


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. `remedies` are sentences; `position` counts from 1 among what the reader may see.

    `fits`: how much of what is short would fit now, in base units; empty where nothing of it would.
    """

    state: str
    reason: str
    sentence: str
    obstacles: Sequence[Obstacle] = ()
    remedies: Sequence[str] = ()
    position: int | None = None
    starts_at: datetime | None = None
    standing: Sequence[Standing] = field(default_factory=tuple)
    fits: Mapping[str, int] = field(default_factory=dict)


def explain(workload: Workload, *, by: Any, seen: Collection[Any] | None = None) -> Why:
    """Explain where a workload stands. `seen`: ids of the queued workloads that `by` may see, for the position; None: all.

    The caller has judged that `by` may see it.
    """
    if workload.state != State.QUEUED or workload.desired_state == DesiredState.STOP:
        return Why(workload.state, workload.reason, workload.message or f"It is {workload.state}.")
    candidate = read_candidate(workload)
    tells_all = _tells_all(by)
    books = quotas.look(candidate.node_ids, Resource.objects.names())
    over = books.over(candidate.node_ids, candidate.need)
    told = over if tells_all else [line for line in over if not line.full(0).is_shared]
    hidden = len(told) < len(over)
    fits = {} if hidden else _fits(candidate, books, over)
    return Why(
        workload.state,
        workload.reason or ("QuotaFull" if over else "Queued"),
        workload.message
        or ("It waits for its turn." if not over else over[0].full(candidate.need[over[0].resource]).message),
        [_obstacle(line, candidate, tells_all=tells_all) for line in over],
        _remedies(candidate, fits),
        order.place_of(workload.pk, seen),
        None if hidden else _starts_at(candidate, over),
        standing_of(candidate.path, by=by) if tells_all or _sees(by, candidate.leaf) else (),
        fits,
    )


def _sees(by: Any, leaf: int) -> bool:
    """SECURITY: who only looks at this experiment, through a share for example, is not told what its team has used lately."""
    return QuotaNode.objects.visible_to(by, "view").filter(pk=leaf).exists()


def _tells_all(by: Any) -> bool:
    return bool(by.is_superuser or getattr(by, "is_auditor", False) or getattr(by, "is_system", False))


def _obstacle(line: quotas.Line, candidate: Candidate, *, tells_all: bool) -> Obstacle:
    full = line.full(candidate.need[line.resource])
    used = full.used if tells_all or not full.is_shared else None
    sentence = full.message.removeprefix("waiting: ")
    who = quotas.who_can_change(line.node_id)
    return Obstacle(full.node, line.kind, line.resource, full.limit, used, full.need, sentence, who, line.node_id)


def _fits(candidate: Candidate, books: quotas.Books, over: Sequence[quotas.Line]) -> dict[str, int]:
    """Return what would fit at once of each resource that is short, if there is some of all of them."""
    found = {}
    for resource in dict.fromkeys(line.resource for line in over):
        most = books.at_most(candidate.node_ids, resource)
        if most is None or most <= 0:
            return {}
        found[resource] = most
    return found


def _remedies(candidate: Candidate, fits: Mapping[str, int]) -> list[str]:
    """Say what would fit at once: less of what is short."""
    fewer = {resource: candidate.need[resource] - most for resource, most in fits.items()}
    parts = [f"{in_units(resource, amount)} {words(resource)} fewer" for resource, amount in fewer.items()]
    return [f"With {' and '.join(parts)} it would start now."] if parts else []


def _starts_at(candidate: Candidate, over: Sequence[quotas.Line]) -> datetime | None:
    """Return when it could start at the latest, if what holds its place ends at its limit of time and nobody goes before."""
    if not over:
        return None
    free_from = [
        freed_at(line.node_id, line.resource, candidate.need[line.resource] - (line.free or 0)) for line in over
    ]
    known = [moment for moment in free_from if moment is not None]
    return max(known) if len(known) == len(over) else None


def standing_of(path: Sequence[int], *, by: Any) -> list[Standing]:
    """Return how a place in fair share comes about, from the organization down."""
    return standings_of([tuple(path)], by=by)[tuple(path)]


def standings_of(paths: Collection[tuple[int, ...]], *, by: Any) -> dict[tuple[int, ...], list[Standing]]:
    """As `standing_of`, for many. SECURITY: others than operators are told the steps to places of their own only."""
    told = {pk for path in paths for pk in path[1:]}
    if not _tells_all(by):
        own = QuotaNode.objects.visible_to(by, "view").filter(path__overlap=list(told))
        told &= {pk for path in own.values_list("path", flat=True) for pk in path}
    shares = quotas.shares_of(told)
    names = {node.pk: str(node) for node in QuotaNode.objects.filter(pk__in=told)}
    steps = {pk: _standing(names[pk], shares[pk]) for pk in told if pk in shares and pk in names}
    return {path: [steps[pk] for pk in path if pk in steps] for path in paths}


def _standing(name: str, share: quotas.Share) -> Standing:
    return Standing(name, round(share.used / _CPU_HOUR, 2), share.weight, round(share.score / _CPU_HOUR, 2))


_CPU_HOUR = 360_000  # in hundredths of CPU seconds
