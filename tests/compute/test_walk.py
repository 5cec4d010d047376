"""The order of the queue and what may pass what, on numbers alone."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from apps.compute.queue import Behind, Candidate, Outcome, Start, Wait, Walk, standing
from apps.quotas.books import Books, Line, Share

HOUR = 360_000.0  # of a CPU, as fair share counts it
ROOT, TEAM_A, TEAM_B, ANA, BEN, EVE, CLUSTER = range(1, 8)
PATHS = {ANA: (ROOT, TEAM_A, ANA), BEN: (ROOT, TEAM_A, BEN), EVE: (ROOT, TEAM_B, EVE)}
KINDS = {ROOT: "platform", TEAM_A: "team", TEAM_B: "team", CLUSTER: "cluster"}


def line(node: int, resource: str = "gpu", limit: int | None = None, used: int = 0, borrow: int = 0) -> Line:
    depth = {ROOT: 0, TEAM_A: 1, TEAM_B: 1}.get(node, 2)
    return Line(node * 10, node, resource, limit, borrow, used, depth, KINDS.get(node, "user"), f"n{node}")


def one(
    number: int,
    leaf: int = ANA,
    *,
    priority: int = 0,
    seconds: float | None = None,
    queued_at: float | None = None,
    entry: float = 1.0,
    size: float = 0.0,
    **need: int,
) -> Candidate:
    at = float(number) if queued_at is None else queued_at
    return Candidate(
        UUID(int=number), leaf, PATHS[leaf], CLUSTER, need or {"gpu": 1}, seconds, priority, at, entry, size
    )


class Waiting:
    """A queue in memory, in the order of each leaf."""

    def __init__(self, *candidates: Candidate, patience: float = 1e9, now: float = 1000.0) -> None:
        self.late = now - patience
        self.rows = sorted(candidates, key=lambda one: (-one.rank, one.size, one.queued_at, one.id))

    def overdue(self) -> Sequence[Candidate]:
        return sorted((one for one in self.rows if one.queued_at < self.late), key=lambda one: one.queued_at)

    def heads(self) -> Sequence[Candidate]:
        return [next(one for one in self.rows if one.leaf == leaf) for leaf in {one.leaf for one in self.rows}]

    def after(self, candidate: Candidate, count: int) -> Sequence[Candidate]:
        same = [one for one in self.rows if one.leaf == candidate.leaf]
        return same[same.index(candidate) + 1 :][:count]


def walk(
    *candidates: Candidate,
    lines: Sequence[Line] = (),
    used: dict[int, float] | None = None,
    weights: dict[int, int] | None = None,
    ends: dict[int, list[tuple[int, float | None]]] | None = None,
    patience: float = 1e9,
    assumed: float | None = None,
) -> dict[int, Outcome]:
    """Walk once; return the number of each candidate with its outcome, in the order in which they were judged."""
    shares = {
        node: Share((used or {}).get(node, 0.0), (weights or {}).get(node, 1))
        for node in (ROOT, TEAM_A, TEAM_B, ANA, BEN, EVE)
    }
    queue = Waiting(*candidates, patience=patience)
    books = Books.of(replace(row) for row in lines)
    walked = Walk(queue, books, shares, lambda node, _: (ends or {}).get(node, []), 1000.0, assumed=assumed)
    return {candidate.id.int: outcome for candidate, outcome in walked}


def started(outcomes: dict[int, Outcome]) -> list[int]:
    return [number for number, outcome in outcomes.items() if isinstance(outcome, Start)]


# -- order


def test_priority_goes_before_everything() -> None:
    found = walk(one(1), one(2, BEN, priority=5), one(3, EVE), used={TEAM_A: 1e6, BEN: 1e6})
    assert next(iter(found)) == 2


def test_the_team_that_used_less_goes_first() -> None:
    assert next(iter(walk(one(1), one(2, EVE), used={TEAM_A: 10 * HOUR}))) == 2
    assert next(iter(walk(one(1), one(2, EVE), used={TEAM_B: 10 * HOUR}))) == 1


def test_teams_that_used_about_as_much_are_level_and_the_smaller_work_goes_first() -> None:
    used = {TEAM_A: 11 * HOUR, TEAM_B: 8 * HOUR}
    assert next(iter(walk(one(1, size=1 * HOUR), one(2, EVE, size=2 * HOUR), used=used))) == 1
    assert next(iter(walk(one(1, size=1 * HOUR), one(2, EVE, size=2 * HOUR), used={**used, TEAM_A: 20 * HOUR}))) == 2


def test_within_a_team_what_one_used_counts_as_much_as_what_the_work_may_use() -> None:
    small, large = one(1, size=1 * HOUR), one(2, BEN, size=3 * HOUR)
    assert next(iter(walk(small, large, used={ANA: 1 * HOUR}))) == 1
    assert next(iter(walk(small, large, used={ANA: 4 * HOUR}))) == 2


def test_teams_are_compared_before_people() -> None:
    """Somebody who used nothing, in a team that used much, waits for one who used much in a team that used little."""
    assert next(iter(walk(one(1), one(2, EVE), used={TEAM_A: 20 * HOUR, TEAM_B: 9 * HOUR, EVE: 9 * HOUR}))) == 2


def test_within_a_team_who_used_less_goes_first() -> None:
    assert next(iter(walk(one(1), one(2, BEN), used={ANA: 1.0}))) == 2


def test_weight_is_a_larger_share() -> None:
    assert next(iter(walk(one(1), one(2, EVE), used={TEAM_A: 20 * HOUR, TEAM_B: 18 * HOUR}, weights={TEAM_A: 2}))) == 1


def test_a_burst_alternates_with_the_others() -> None:
    """What starts counts at once: ten of one's own do not all go before another one's first."""
    burst = [one(number) for number in range(1, 11)]
    late = [one(number, EVE, queued_at=500.0) for number in (21, 22, 23)]
    order = started(walk(*burst, *late))
    assert [number > 20 for number in order[:6]] == [False, True, False, True, False, True]


def test_what_waited_too_long_goes_first_oldest_first() -> None:
    old = [one(1, ANA, priority=-5, queued_at=10.0), one(2, EVE, priority=-9, queued_at=5.0)]
    found = walk(one(3, BEN, priority=100, queued_at=900.0), *old, patience=500.0)
    assert list(found) == [2, 1, 3]


def test_of_what_waited_too_long_only_the_oldest_goes_before_its_turn() -> None:
    """The others may be as old: a queue that is too long for all would be first come, first served."""
    lines = [line(ROOT, limit=4, used=4)]
    old = [one(1, ANA, queued_at=1.0, gpu=4), one(2, BEN, queued_at=2.0), one(3, BEN, queued_at=3.0)]
    found = walk(*old, one(4, EVE, queued_at=990.0), lines=lines, patience=500.0, used={TEAM_A: 5 * HOUR})
    assert list(found) == [1, 4, 2, 3]
    assert isinstance(found[1], Wait)


def test_another_limit_has_an_oldest_of_its_own() -> None:
    lines = [line(TEAM_A, limit=4, used=4), line(TEAM_B, limit=4, used=4)]
    old = [one(1, ANA, queued_at=1.0), one(2, BEN, queued_at=2.0), one(3, EVE, queued_at=3.0)]
    found = walk(*old, one(4, EVE, queued_at=990.0, priority=9), lines=lines, patience=500.0)
    assert list(found) == [1, 3, 4, 2]


# -- what may pass


def test_what_does_not_fit_names_every_limit_from_the_top() -> None:
    lines = [line(CLUSTER, limit=4, used=4), line(ANA, limit=2, used=2), line(TEAM_A, limit=9, used=9)]
    outcome = walk(one(1), lines=lines)[1]
    assert isinstance(outcome, Wait)
    assert [found.node_id for found in outcome.over] == [TEAM_A, ANA, CLUSTER]


def test_nobody_passes_on_what_the_first_needs() -> None:
    found = walk(one(1, gpu=4), one(2, BEN, gpu=1), lines=[line(TEAM_A, limit=4, used=1)])
    assert isinstance(found[1], Wait)
    assert found[2] == Behind(found[1].full, UUID(int=1))


def test_what_ends_in_time_passes() -> None:
    ends: dict[int, list[tuple[int, float | None]]] = {TEAM_A: [(1, 1100.0)]}
    lines = [line(TEAM_A, limit=4, used=1)]
    assert started(walk(one(1, gpu=4), one(2, BEN, seconds=100.0), lines=lines, ends=ends)) == [2]
    assert started(walk(one(1, gpu=4), one(2, BEN, seconds=101.0), lines=lines, ends=ends)) == []
    assert started(walk(one(1, gpu=4), one(2, BEN), lines=lines, ends=ends)) == []


def test_the_smallest_passes_first_and_then_the_shortest() -> None:
    """Three would fit beside the first one, and there is room for two."""
    ends: dict[int, list[tuple[int, float | None]]] = {ROOT: [(5, 5000.0)]}
    first = one(1, ANA, gpu=8)
    shapes = (2, 50.0, 2), (3, 90.0, 1), (4, 60.0, 1)
    rows = [one(number, EVE, seconds=time, size=time, entry=float(gpu), gpu=gpu) for number, time, gpu in shapes]
    used = {TEAM_B: 5 * HOUR}
    found = walk(first, *rows, lines=[line(ROOT, limit=8, used=5)], ends=ends, used=used)
    assert started(found) == [4, 3]
    assert isinstance(found[2], Behind)


def test_whose_team_used_less_passes_first_even_with_larger_work() -> None:
    head = one(1, BEN, gpu=8, priority=1)
    mine, hers = one(2, ANA, seconds=60, size=1.0), one(3, EVE, seconds=120, size=2.0)
    lines = [line(ROOT, limit=8, used=7)]
    ends: dict[int, list[tuple[int, float | None]]] = {ROOT: [(7, 2000.0)]}
    used = {TEAM_A: 2 * HOUR, TEAM_B: 1 * HOUR}
    assert started(walk(head, mine, hers, lines=lines, ends=ends, used=used)) == [3]
    level = {TEAM_A: 1.2 * HOUR, TEAM_B: 1 * HOUR}
    assert started(walk(head, mine, hers, lines=lines, ends=ends, used=level)) == [2]


def test_work_without_a_limit_is_planned_with_what_is_assumed() -> None:
    lines = [line(TEAM_A, limit=4, used=1)]
    ends: dict[int, list[tuple[int, float | None]]] = {TEAM_A: [(1, 1100.0)]}
    rows = one(1, gpu=4), one(2, BEN)
    assert started(walk(*rows, lines=lines, ends=ends)) == []
    assert started(walk(*rows, lines=lines, ends=ends, assumed=200.0)) == []
    assert started(walk(*rows, lines=lines, ends=ends, assumed=100.0)) == [2]


def test_what_leaves_enough_for_both_passes() -> None:
    lines = [line(TEAM_A, limit=8, used=5)]
    ends: dict[int, list[tuple[int, float | None]]] = {TEAM_A: [(5, 1100.0)]}
    found = walk(
        one(1, gpu=6), one(2, BEN, seconds=999.0, gpu=2), one(3, BEN, seconds=999.0, gpu=1), lines=lines, ends=ends
    )
    assert started(found) == [2]


def test_nobody_passes_while_nobody_knows_when_the_first_can_start() -> None:
    lines = [line(TEAM_A, limit=4, used=1)]
    ends: dict[int, list[tuple[int, float | None]]] = {TEAM_A: [(1, None)]}
    assert started(walk(one(1, gpu=4), one(2, BEN, seconds=1.0), lines=lines, ends=ends)) == []


def test_a_claim_covers_the_other_things_that_are_needed() -> None:
    """The first waits for GPUs; the CPUs that it needs as well are not given away for longer than that."""
    lines = [line(TEAM_A, limit=2, used=2), line(TEAM_A, "cpu", limit=10, used=0)]
    first = one(1, gpu=2, cpu=8)
    assert started(walk(first, one(2, BEN, cpu=2), lines=lines)) == [2]
    assert started(walk(first, one(2, BEN, cpu=3), lines=lines)) == []


def test_what_is_overdue_and_does_not_fit_hides_nothing_behind_it() -> None:
    """It is the first of its owner: what he has besides, and what passes it, is looked at all the same."""
    lines = [line(ANA, limit=1)]
    waiting = Waiting(one(1, gpu=2, queued_at=1.0), one(2, gpu=1, queued_at=990.0), patience=100.0)
    shares = {node: Share(0.0, 1) for node in (ROOT, TEAM_A, ANA)}
    found = {
        candidate.id.int: outcome
        for candidate, outcome in Walk(waiting, Books.of(lines), shares, lambda *_: [], 1000.0)
    }
    assert isinstance(found[1], Wait)
    assert 2 in found


def test_who_is_held_up_by_a_limit_of_his_own_holds_up_nobody() -> None:
    lines = [line(ANA, limit=1, used=1), line(TEAM_A, limit=4, used=1), line(ROOT, limit=4, used=1)]
    assert started(walk(one(1, gpu=3), one(2, BEN, gpu=3), lines=lines)) == [2]


def test_other_branches_go_on() -> None:
    lines = [line(TEAM_A, limit=4, used=4), line(TEAM_B, limit=4), line(ROOT, limit=9, used=4)]
    assert started(walk(one(1), one(2, EVE), lines=lines)) == [2]


def test_what_was_refused_under_the_locks_claims_its_place() -> None:
    shares = {node: Share(0.0, 1) for node in (ROOT, TEAM_A, ANA, BEN)}
    full = line(TEAM_A, limit=4, used=0)
    walked = Walk(Waiting(one(1, gpu=4), one(2, BEN)), Books.of([full]), shares, lambda *_: [], 1000.0)
    steps = iter(walked)
    first, outcome = next(steps)
    assert isinstance(outcome, Start)
    full.used += 1  # what somebody else took meanwhile
    assert isinstance(walked.refuse(first, [full]), Wait)
    assert isinstance(next(steps)[1], Behind)


# -- properties

_JOBS = st.lists(
    st.tuples(
        st.sampled_from([ANA, BEN, EVE]),
        st.integers(1, 6),
        st.sampled_from([None, 10.0, 60.0, 500.0]),
        st.integers(-1, 1),
    ),
    min_size=1,
    max_size=12,
)


@given(_JOBS, st.integers(0, 8), st.integers(2, 9))
def test_never_more_than_the_limits(jobs: list[tuple[int, int, float | None, int]], used: int, team: int) -> None:
    lines = [line(ROOT, limit=10, used=min(used, 10)), line(TEAM_A, limit=team), line(CLUSTER, limit=9)]
    made = {
        number: one(number, leaf, seconds=seconds, priority=priority, gpu=gpu)
        for number, (leaf, gpu, seconds, priority) in enumerate(jobs, 1)
    }
    begun = [made[number] for number in started(walk(*made.values(), lines=lines))]
    for row in lines:
        assert row.used + sum(job.need["gpu"] for job in begun if row.node_id in job.node_ids) <= (row.limit or 0)


@given(_JOBS, st.lists(st.tuples(st.integers(1, 3), st.floats(1001, 2000)), min_size=1, max_size=4))
def test_the_first_is_never_delayed(
    jobs: list[tuple[int, int, float | None, int]], running: list[tuple[int, float]]
) -> None:
    """When what runs ends as late as it may, the first that waits starts when it would have with nobody passing it."""
    held = sum(amount for amount, _ in running)
    lines = [line(ROOT, limit=12, used=held)]
    made = {
        number: one(number, leaf, seconds=seconds, priority=priority, gpu=gpu)
        for number, (leaf, gpu, seconds, priority) in enumerate(jobs, 1)
    }
    found = walk(*made.values(), lines=lines, ends={ROOT: [*running]})
    head = next((number for number, outcome in found.items() if isinstance(outcome, Wait)), None)
    if head is None:
        return
    order = list(found)
    before = [made[number] for number in started(found) if order.index(number) < order.index(head)]
    passed = [made[number] for number in started(found) if order.index(number) > order.index(head)]

    def start(begun: list[Candidate]) -> float:
        ends = [*running, *((job.need["gpu"], 1000 + job.seconds) for job in begun if job.seconds is not None)]
        free = 12 - held - sum(job.need["gpu"] for job in begun)
        for amount, end in sorted(ends, key=lambda row: row[1]):
            free += amount
            if free >= made[head].need["gpu"]:
                return end
        return float("inf")

    assert start([*before, *passed]) <= start(before)


def test_who_used_nothing_is_level_with_all_such_however_deep() -> None:
    shares = {TEAM_A: Share(0.0, 1), ANA: Share(0.0, 1), EVE: Share(0.0, 1)}
    assert standing((ROOT, EVE), shares) == standing(PATHS[ANA], shares) == ()
    shares[TEAM_A].used = 0.9 * HOUR
    assert standing((ROOT, EVE), shares) == standing(PATHS[ANA], shares) == ()
    shares[TEAM_A].used = 4 * HOUR
    assert standing((ROOT, EVE), shares) < standing(PATHS[ANA], shares) == (4,)
    shares[EVE].used = 8 * HOUR  # who is in no team is compared with organizations
    assert standing((ROOT, EVE), shares) == (6,)
