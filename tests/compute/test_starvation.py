"""Nobody waits for ever and no limit is exceeded: the order of the queue, played through in virtual time."""

from dataclasses import dataclass
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.compute.queue import Candidate, Start, Walk
from apps.quotas.books import Books, Share
from tests.compute.test_walk import ANA, BEN, CLUSTER, EVE, PATHS, ROOT, TEAM_A, Waiting, line

_GPUS, _TEAM, _TURN, _PATIENCE, _LONGEST = 8, 6, 10.0, 300.0, 100.0
_JOBS = st.lists(
    st.tuples(
        st.sampled_from([ANA, BEN, EVE]),
        st.integers(1, _TEAM),
        st.floats(1.0, _LONGEST),  # how long it takes
        st.one_of(st.none(), st.floats(1.0, 3.0)),  # its limit, as a multiple of that
        st.integers(-1, 1),  # its class
        st.integers(0, 300),  # when it comes
    ),
    min_size=1,
    max_size=25,
)


@dataclass
class Running:
    candidate: Candidate
    ends: float
    limit: float | None


@given(_JOBS)
@settings(max_examples=60, deadline=None)
def test_everything_starts_in_time_and_no_limit_is_exceeded(
    jobs: list[tuple[int, int, float, float | None, int, int]],
) -> None:
    books = Books.of([line(ROOT, limit=_GPUS), line(TEAM_A, limit=_TEAM), line(CLUSTER, limit=_GPUS)])
    shares = {node: Share(0.0, 1) for path in PATHS.values() for node in path}
    takes, waiting, running = {}, [], []
    for number, (leaf, gpus, seconds, guess, rank, at) in enumerate(jobs, 1):
        limit = None if guess is None else seconds * guess
        takes[number] = seconds
        waiting.append(
            Candidate(UUID(int=number), leaf, PATHS[leaf], CLUSTER, {"gpu": gpus}, limit, rank, float(at), 60.0)
        )
    # What is overdue starts in the order of time; each waits at most for what runs and for those before it.
    bound = _PATIENCE + (len(jobs) + 1) * (_LONGEST + _TURN)
    now = 0.0
    while waiting or running:
        now += _TURN
        for one in [one for one in running if one.ends <= now]:
            running.remove(one)
            books.give(one.candidate.node_ids, one.candidate.need)
        here = [one for one in waiting if one.queued_at <= now]
        ends = {
            node: [(one.candidate.need["gpu"], one.limit) for one in running if node in one.candidate.node_ids]
            for node in (ROOT, TEAM_A, CLUSTER)
        }
        queue = Waiting(*here, patience=_PATIENCE, now=now)
        for candidate, outcome in Walk(queue, books, shares, lambda node, _, ends=ends: ends[node], now):  # type: ignore[misc]
            if isinstance(outcome, Start):
                waiting.remove(candidate)
                limit = candidate.end(now)
                running.append(Running(candidate, now + takes[candidate.id.int], limit))
                assert now - candidate.queued_at <= bound
        assert all(row.used <= (row.limit or 0) for row in books.lines.values())
        assert all(now - one.queued_at <= bound for one in waiting)
