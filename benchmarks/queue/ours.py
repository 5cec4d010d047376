"""The order that is in use: `apps.compute.queue.Walk` over real books and shares; only the queue and the clock are simulated."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from uuid import UUID

from apps.compute.queue import Candidate, Start, Walk
from apps.quotas.books import Books, Line, Share
from benchmarks.queue.world import DAY, LONGEST, Job, Shape, World

# As in config/settings/base.py.
ENTRY_SECONDS, HALF_LIFE, PATIENCE, ASSUMED = 60.0, DAY / 8, 7 * DAY, LONGEST
_GPU = 1_000.0  # what a GPU counts per second in fair share: ten CPUs
_ROOT, _CLUSTER = 1, 2
_Key = tuple[float, float, int]  # size, time, number


class Memory:
    """A queue in memory, each leaf in its order; nobody gives priorities."""

    def __init__(self, waiting: dict[int, list[_Key]], known: dict[int, Candidate], now: float) -> None:
        self._waiting, self._known, self._now = waiting, known, now

    def overdue(self) -> Sequence[Candidate]:
        late = [one[1:] for rows in self._waiting.values() for one in rows if one[1] < self._now - PATIENCE]
        return [self._known[number] for _, number in sorted(late)[:100]]

    def heads(self) -> Sequence[Candidate]:
        return [self._known[rows[0][-1]] for rows in self._waiting.values()]

    def after(self, candidate: Candidate, count: int) -> Sequence[Candidate]:
        rows = self._waiting[candidate.leaf]
        place = bisect_right(rows, _key(candidate))
        return [self._known[number] for *_, number in rows[place : place + count]]


def _key(candidate: Candidate) -> _Key:
    return (candidate.size, candidate.queued_at, candidate.id.int)


class FairTree:
    """Fair Tree with an entry penalty, and EASY backfill with claims."""

    name = "Fathom"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.waiting: dict[int, list[_Key]] = {}
        self.known: dict[int, Candidate] = {}
        self.jobs: dict[int, Job] = {}
        self.used: dict[int, float] = {}
        self.rate: dict[int, float] = {}
        self.fresh: list[Job] = []
        self.at = 0.0
        lines = [Line(1, _CLUSTER, "gpu", shape.gpus, 0, 0, 0, "cluster", "c")]
        lines += [
            Line(node, node, "gpu", shape.user_limit, 0, 0, 3, "user", f"u{node}")
            for node in (self._user(user) for user in range(shape.users))
        ]
        self.books = Books.of(lines)
        self.weights = {_ROOT: 1}
        for team in range(shape.teams):
            self.weights[self._team(team)] = shape.weight(team)
            above = self._organization(shape.organization_of(team))
            self.weights[above] = self.weights.get(above, 0) + shape.weight(team)

    def _organization(self, number: int) -> int:
        return 10 + number

    def _team(self, number: int) -> int:
        return 10 + self.shape.organizations + number

    def _user(self, number: int) -> int:
        return 10 + self.shape.organizations + self.shape.teams + number

    def came(self, job: Job) -> None:
        if job.number not in self.known:
            path = (
                _ROOT,
                self._organization(self.shape.organization_of(job.team)),
                self._team(job.team),
                self._user(job.user),
            )
            entry = job.gpus * _GPU * ENTRY_SECONDS
            size = job.gpus * _GPU * (ASSUMED if job.limit is None else job.limit)
            self.known[job.number] = Candidate(
                UUID(int=job.number), path[-1], path, _CLUSTER, {"gpu": job.gpus}, job.limit, 0, job.at, entry, size
            )
            self.jobs[job.number] = job
        insort(self.waiting.setdefault(self.known[job.number].leaf, []), _key(self.known[job.number]))

    def ended(self, job: Job, at: float) -> None:
        one = self.known[job.number]
        self.books.give(one.node_ids, one.need)
        self.fresh = [other for other in self.fresh if other is not job]
        for node in one.path:
            self.rate[node] -= job.gpus * _GPU
            # what it did since the last turn
            self.used[node] = self.used.get(node, 0.0) + job.gpus * _GPU * max(
                0.0, at - max(self.at, (job.started or 0) + ENTRY_SECONDS)
            )

    def turn(self, world: World) -> None:
        self._pass(world.now)
        if not self.waiting:
            return
        nodes = {node for leaf in self.waiting for node in self.known[self.waiting[leaf][0][-1]].path}
        shares = {node: Share(self.used.get(node, 0.0), self.weights.get(node, 1)) for node in nodes}
        ends = [(job, max(world.now, (job.started or 0.0) + (job.limit or ASSUMED))) for job in world.running.values()]

        def ends_of(node: int, _resource: str) -> list[tuple[int, float]]:
            return [(job.gpus, end) for job, end in ends if node in (_CLUSTER, self._user(job.user))]

        begun = []
        queue = Memory(self.waiting, self.known, world.now)
        for candidate, outcome in Walk(queue, self.books, shares, ends_of, world.now, assumed=ASSUMED):
            if isinstance(outcome, Start):
                begun.append(candidate)
        for candidate in begun:
            job = self.jobs[candidate.id.int]
            rows = self.waiting[candidate.leaf]
            rows.remove(_key(candidate))
            if not rows:
                del self.waiting[candidate.leaf]
            world.start(job)
            self.fresh.append(job)
            for node in candidate.path:
                self.used[node] = self.used.get(node, 0.0) + candidate.entry
                self.rate[node] = self.rate.get(node, 0.0) + job.gpus * _GPU
        if any((most := line.most) is not None and line.used > most for line in self._lines(begun)):
            msg = "a limit is exceeded"
            raise AssertionError(msg)

    def _lines(self, begun: list[Candidate]) -> list[Line]:
        pairs = {(node, "gpu") for one in begun for node in one.node_ids}
        return [self.books.lines[pair] for pair in pairs if pair in self.books.lines]

    def _pass(self, now: float) -> None:
        """Let time pass: use halves with its half-life, what runs counts, but for what it paid in advance."""
        passed, self.at = now - self.at, now
        kept = 0.5 ** (passed / HALF_LIFE)
        for node in self.used:
            self.used[node] = self.used[node] * kept + self.rate.get(node, 0.0) * passed
        for job in self.fresh:
            for node in self.known[job.number].path:
                self.used[node] -= job.gpus * _GPU * min(passed, ENTRY_SECONDS)
        self.fresh = []
