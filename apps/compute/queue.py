"""The order of the queue, and what of it may start: decided on numbers in memory, by the same code for admission, for a
forecast, for a what-if and for a simulation.

Order: the oldest of what has waited longer than anybody has to; then the priority class; then fair share, as in Slurm's Fair Tree:
organizations are compared first, then teams, each by what it used lately over its weight, in steps of half as much again, so that
those who are about level are level; then people, each by what he used lately and this work may use; then time.

What comes first and does not fit has a claim on everything it needs, where others compete with it: later work passes it
only if that cannot delay it, because it will have ended by the time the first can start, or because there is enough for
both even then (EASY backfill: Lifka, The ANL/IBM SP Scheduling System, 1995). Whose teams used least passes first, and of
those that are level the smallest and shortest: it keeps the others waiting least (Tsafrir, Etsion, Feitelson: Backfilling
Using System-Generated Predictions, 2007).
"""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from apps.quotas.services import Books, Full, Line, Share

_LOOKS_PER_LEAF = 20  # how far behind its first one a person's work is looked through, for what may pass
_LOOKS_PER_WALK = 200
_STEP_FROM = 360_000  # a CPU hour: who used less lately has used nothing to speak of
_STEP = math.log(1.5)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One waiting workload, as the order sees it. Times are seconds of one clock."""

    id: UUID
    leaf: int
    path: tuple[int, ...]  # quota nodes, root first, leaf last
    cluster_node: int
    need: Mapping[str, int]
    seconds: float | None  # how long it may run at most; None: nobody knows
    rank: int  # of its priority class; what it ranks among its owner's own work is the queue's business
    queued_at: float
    entry: float = 0.0  # what its start counts at once in fair share
    size: float = 0.0  # what it may use at most, as fair share counts it

    @property
    def node_ids(self) -> tuple[int, ...]:
        return (*self.path, self.cluster_node)

    def holds(self, node_id: int, resource: str) -> bool:
        return resource in self.need and node_id in self.node_ids

    def end(self, start: float) -> float | None:
        """Return when it will have ended at the latest, if it starts then."""
        return None if self.seconds is None else start + self.seconds


def step(score: float) -> int:
    """Return how often what was used lately has grown by a half, from a CPU hour on: those on one step are level."""
    return 1 + int(math.log(score / _STEP_FROM) / _STEP) if score >= _STEP_FROM else 0


def standing(path: Sequence[int], shares: Mapping[int, Share]) -> tuple[int, ...]:
    """Return what is compared of a place before people are: the step of each node above a person's own, who may be the first below the root.

    Who has used nothing to speak of is level with all such.
    """
    steps = [step(shares[node].score) if node in shares else 0 for node in path[1:-1] or path[1:]]
    while steps and not steps[-1]:
        steps.pop()
    return tuple(steps)


def rank_of(candidate: Candidate, shares: Mapping[int, Share]) -> tuple[Any, ...]:
    """Return what the queue compares: the less, the earlier its turn."""
    own = shares[candidate.leaf].score if candidate.leaf in shares else 0.0
    scores = standing(candidate.path, shares)
    return (-candidate.rank, scores, own + candidate.size, candidate.queued_at, candidate.id)


class Queue(Protocol):
    """Where candidates come from."""

    def overdue(self) -> Sequence[Candidate]:
        """Return what has waited too long, oldest first. Of those that compete only the first goes before its turn."""

    def heads(self) -> Sequence[Candidate]:
        """Return the first of every leaf."""

    def after(self, candidate: Candidate, count: int) -> Sequence[Candidate]:
        """Return the next `count` of the same leaf."""


# From a limit that is full: what is held there, each as (amount, when it will have ended at the latest, or None).
Ends = Callable[[int, str], Sequence[tuple[int, float | None]]]


@dataclass(frozen=True, slots=True)
class Start:
    """It fits, and nobody before it would be delayed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It does not fit. `over`: every limit it exceeds, from the top."""

    full: Full
    over: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Behind:
    """It would fit, but an earlier one has a claim on what it needs."""

    full: Full
    ahead: UUID


@dataclass(frozen=True, slots=True)
class Skip:
    """It waits for something that is no quota, and was looked at a moment ago."""


Outcome = Start | Wait | Behind | Skip


Pair = tuple[int, str]  # a node and a resource


@dataclass
class Claim:
    """What an earlier candidate needs once it can start: how much is left beside it, and from when on it will need it."""

    holder: UUID
    full: Full
    spare: dict[Pair, int]
    start: Callable[[], tuple[float | None, dict[Pair, int]]]  # when it can start, and what is left over then
    _known: tuple[float | None, dict[Pair, int]] | None = None

    def lets_pass(self, candidate: Candidate, pairs: Sequence[Pair], end: float | None) -> bool:
        """Say whether `candidate`, which wants some of `pairs` as well and ends at `end`, delays the holder in nothing."""
        if all(candidate.need[pair[1]] <= self.spare[pair] for pair in pairs):
            return True
        if end is None:
            return False
        if self._known is None:
            self._known = self.start()
        start, freed = self._known
        if start is None:
            return False
        return end <= start or all(candidate.need[pair[1]] <= self.spare[pair] + freed.get(pair, 0) for pair in pairs)

    def note(self, candidate: Candidate, pairs: Sequence[Pair], end: float | None) -> None:
        """Remember that `candidate` starts: unless it will have ended in time, it takes from what is left."""
        start = self._known[0] if self._known else None
        if start is not None and end is not None and end <= start:
            return
        for pair in pairs:
            self.spare[pair] -= candidate.need[pair[1]]


@dataclass
class Walk:
    """One walk along the queue: yields each candidate with what is decided of it, and counts what starts."""

    queue: Queue
    books: Books
    shares: dict[int, Share]
    ends: Ends
    now: float
    skipped: frozenset[UUID] = frozenset()
    assumed: float | None = None  # how long work without a time limit is taken to run
    _claims: dict[Pair, Claim] = field(default_factory=dict)  # of each, the first that claims it
    _begun: list[Candidate] = field(default_factory=list)
    _seen: set[UUID] = field(default_factory=set)
    _looks: int = 0

    def __iter__(self) -> Iterator[tuple[Candidate, Outcome]]:
        for candidate in self.queue.overdue():
            if not self._is_claimed(candidate):  # by an older one: it has its turn after that, like all others
                yield from self._judged(candidate)
        passing: list[Candidate] = []
        yield from self._in_order(passing)
        for candidate in sorted(passing, key=self._passes):
            yield from self._judged(candidate)

    def _in_order(self, passing: list[Candidate]) -> Iterator[tuple[Candidate, Outcome]]:
        """Judge by fair share; what fits and would pass an earlier one is put into `passing`."""
        # What was overdue is passed, what follows it is not.
        heap = [(self._rank(one), one) for one in self.queue.heads()]
        heapq.heapify(heap)
        waited: dict[int, int] = {}
        following: dict[int, list[Candidate]] = {}
        while heap:
            rank, candidate = heapq.heappop(heap)
            if (moved := self._rank(candidate)) > rank:  # its owner started something meanwhile
                heapq.heappush(heap, (moved, candidate))
                continue
            if self._would_pass(candidate):
                passing.append(candidate)
                self._count_look(candidate, waited)
            else:
                for one, outcome in self._judged(candidate):
                    if not isinstance(outcome, Start):
                        self._count_look(one, waited)
                    yield one, outcome
            if waited.get(candidate.leaf, 0) < _LOOKS_PER_LEAF and self._looks < _LOOKS_PER_WALK:
                following.setdefault(candidate.leaf, [])
                if (found := self._next(candidate, following[candidate.leaf])) is not None:
                    heapq.heappush(heap, (self._rank(found), found))

    def _count_look(self, candidate: Candidate, waited: dict[int, int]) -> None:
        waited[candidate.leaf] = waited.get(candidate.leaf, 0) + 1
        self._looks += 1

    def _is_claimed(self, candidate: Candidate) -> bool:
        if not self._claims:
            return False
        return any((node_id, name) in self._claims for node_id in candidate.node_ids for name in candidate.need)

    def _would_pass(self, candidate: Candidate) -> bool:
        return (
            candidate.id not in self._seen
            and candidate.id not in self.skipped
            and self._is_claimed(candidate)
            and not self.books.over(candidate.node_ids, candidate.need)
        )

    def _end(self, candidate: Candidate) -> float | None:
        """Return when it will have ended if it starts now, as far as that is known or taken for known."""
        return self.now + self.assumed if candidate.seconds is None and self.assumed else candidate.end(self.now)

    def withdraw(self, candidate: Candidate) -> None:
        """Take back a `Start`: something that is no quota keeps it waiting, and what it would have held is free."""
        self.books.give(candidate.node_ids, candidate.need)
        self._begun.remove(candidate)

    def refuse(self, candidate: Candidate, over: Sequence[Line]) -> Wait:
        """Take back a `Start` that turned out not to fit: somebody else was faster."""
        self.withdraw(candidate)
        return self._claim(candidate, list(over))

    def _judged(self, candidate: Candidate) -> Iterator[tuple[Candidate, Outcome]]:
        if candidate.id in self._seen:
            return
        self._seen.add(candidate.id)
        yield candidate, self._judge(candidate)

    def _judge(self, candidate: Candidate) -> Outcome:
        if candidate.id in self.skipped:
            return Skip()
        if over := self.books.over(candidate.node_ids, candidate.need):
            earlier = self._claims.get((over[0].node_id, over[0].resource))
            return Behind(earlier.full, earlier.holder) if earlier else self._claim(candidate, over)
        touched: dict[UUID, tuple[Claim, list[Pair]]] = {}
        for pair in ((node_id, resource) for node_id in candidate.node_ids for resource in candidate.need):
            if (claim := self._claims.get(pair)) is not None:
                touched.setdefault(claim.holder, (claim, []))[1].append(pair)
        for claim, pairs in touched.values():
            if not claim.lets_pass(candidate, pairs, self._end(candidate)):
                return Behind(claim.full, claim.holder)
        for claim, pairs in touched.values():
            claim.note(candidate, pairs, self._end(candidate))
        self.books.take(candidate.node_ids, candidate.need)
        self._begun.append(candidate)
        for node_id in candidate.path:
            if node_id in self.shares:
                self.shares[node_id].used += candidate.entry
        return Start()

    def _claim(self, candidate: Candidate, over: list[Line]) -> Wait:
        full = over[0].full(candidate.need[over[0].resource])
        spare = {
            pair: max(0, free - candidate.need[pair[1]])
            for pair in ((node_id, name) for node_id in self._contested(candidate, over) for name in candidate.need)
            if pair not in self._claims
            and (line := self.books.lines.get(pair)) is not None
            and (free := line.free) is not None
        }
        obstacles = [(line.node_id, line.resource, candidate.need[line.resource], line.free or 0) for line in over]
        begun = list(self._begun)  # what starts after this has no part in when this can start

        def ends(node_id: int, resource: str) -> Sequence[tuple[int, float | None]]:
            here = [(one.need[resource], self._end(one)) for one in begun if one.holds(node_id, resource)]
            return [*self.ends(node_id, resource), *here]

        claim = Claim(candidate.id, full, spare, lambda: self.start_of(obstacles, ends, self.now))
        self._claims |= dict.fromkeys(spare, claim)
        return Wait(full, tuple(over))

    @staticmethod
    def _contested(candidate: Candidate, over: list[Line]) -> list[int]:
        """Return the nodes where others compete with it: from the widest that is full down to its own.

        Above that they have their own turn. Who is held up by a limit of his own has no claim on what others share.
        """
        full = {line.node_id for line in over}
        widest = next((place for place, node_id in enumerate(candidate.path) if node_id in full), len(candidate.path))
        below = list(candidate.path[widest:]) or [candidate.leaf]
        return [*below, candidate.cluster_node] if candidate.cluster_node in full else below

    @staticmethod
    def start_of(
        obstacles: Sequence[tuple[int, str, int, int]], ends: Ends, now: float
    ) -> tuple[float | None, dict[Pair, int]]:
        """Return when all `obstacles` will be gone, if what runs ends at its limit, and what is free beyond the need then.

        Nobody knows (None) when what is in the way has no limit of time.
        """
        start, held = now, {}
        for node_id, resource, need, free in obstacles:
            timed = sorted((one for one in ends(node_id, resource) if one[1] is not None), key=lambda one: one[1] or 0)
            held[node_id, resource] = timed
            left = free
            for amount, end in timed:
                if left >= need:
                    break
                left += amount
                start = max(start, end or start)
            if left < need:
                return None, {}
        return start, {
            (node_id, resource): free
            - need
            + sum(amount for amount, end in held[node_id, resource] if (end or 0) <= start)
            for node_id, resource, need, free in obstacles
        }

    def _rank(self, candidate: Candidate) -> tuple[Any, ...]:
        return rank_of(candidate, self.shares)

    def _passes(self, candidate: Candidate) -> tuple[Any, ...]:
        scores = standing(candidate.path, self.shares)
        return (-candidate.rank, scores, candidate.entry, candidate.size, candidate.queued_at, candidate.id)

    def _next(self, candidate: Candidate, following: list[Candidate]) -> Candidate | None:
        while True:
            if not following:
                following += self.queue.after(candidate, _LOOKS_PER_LEAF)
                if not following:
                    return None
            found = following.pop(0)
            if found.id not in self._seen:
                return found
            candidate = found
