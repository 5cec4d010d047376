"""The virtual world: seeded work, a cluster, a clock, and what is measured of a policy."""

import heapq
import math
import random
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Protocol

DAY = 86_400.0
TURN_SECONDS = 120.0  # the policies look at the queue so often
LONGEST = 2 * DAY


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the world is, and how much work comes in, as a part of what the cluster could do."""

    gpus: int = 256
    organizations: int = 1  # the references know teams only
    teams: int = 20
    users: int = 2_000
    days: float = 14.0
    load: float = 0.95
    unlimited: float = 0.1  # how much of the work names no time limit
    user_limit: int = 64
    sizes: tuple[float, ...] = (60, 14, 12, 9, 3, 1.5, 0.5)  # how often work asks for 1, 2, 4 ... 64 GPUs
    hog: float = 0.0  # how much of the work comes from one person, in a few large bursts
    seed: int = 1

    def organization_of(self, team: int) -> int:
        return team % self.organizations

    def weight(self, team: int) -> int:
        """Some teams have paid for more: 1, 2 or 4; alike within an organization and summed up there."""
        return (1, 1, 2, 4)[team // self.organizations % 4]

    @property
    def weights(self) -> list[int]:
        return [self.weight(team) for team in range(self.teams)]


@dataclass(slots=True)
class Job:
    """One piece of work. `limit` is its time limit, None for none; `seconds`, how long it takes, no policy knows."""

    number: int
    user: int
    team: int
    gpus: int
    at: float
    seconds: float
    limit: float | None
    started: float | None = None
    runs: int = 0

    @property
    def work(self) -> float:
        return self.gpus * self.seconds


def jobs_of(shape: Shape) -> list[Job]:
    """Make the work: heavy-tailed durations, more by day, few people with most of it, bursts, gangs, limits that are guessed."""
    chance = random.Random(shape.seed)
    people = [1 / (rank + 20) for rank in range(shape.users)]
    teams = [user % shape.teams for user in range(shape.users)]
    chance.shuffle(teams)
    wanted, jobs = shape.load * shape.gpus * shape.days * DAY, []
    bursts = sorted(chance.random() * shape.days * DAY for _ in range(5)) if shape.hog else []
    for at in bursts:
        left = shape.hog * wanted / len(bursts)
        while left > 0:
            jobs.append(_job(chance, shape, 0, teams[0], chance.choice((1, 2)), at))
            left -= jobs[-1].work
    wanted *= 1 - shape.hog
    while wanted > 0:
        user = chance.choices(range(shape.users), people)[0]
        at = chance.random() * shape.days * DAY
        while chance.random() > 0.55 - 0.45 * math.cos(2 * math.pi * (at / DAY - 0.125)):  # the most in the afternoon
            at = chance.random() * shape.days * DAY
        is_burst = chance.random() < 0.01
        gpus = chance.choices((1, 2, 4, 8, 16, 32, 64), shape.sizes)[0]
        for _ in range(chance.randint(50, 150) if is_burst else 1):
            size = min(gpus, 2) if is_burst else gpus
            jobs.append(_job(chance, shape, user, teams[user], size, at))
            wanted -= jobs[-1].work
    jobs.sort(key=lambda job: job.at)
    for number, job in enumerate(jobs):
        job.number = number
    return jobs


def _job(chance: random.Random, shape: Shape, user: int, team: int, gpus: int, at: float) -> Job:
    seconds = min(LONGEST, max(60.0, chance.lognormvariate(math.log(3_600), 1.4)))
    guess = min(LONGEST, seconds * chance.uniform(1.1, 5.0))
    limit = None if chance.random() < shape.unlimited else math.ceil(guess / 600) * 600.0
    return Job(0, user, team, gpus, at + chance.random(), seconds, limit)


class Policy(Protocol):
    """Decides in each turn what of the world's waiting jobs starts, through `World.start`."""

    name: str

    def turn(self, world: "World") -> None: ...

    def came(self, job: Job) -> None:
        """Hear of a job that waits."""

    def ended(self, job: Job, at: float) -> None:
        """Hear of one that ended."""


@dataclass
class World:
    """What waits and runs. Refuses what does not fit: no policy exceeds a limit unseen."""

    shape: Shape
    now: float = 0.0
    free: int = 0
    running: dict[int, Job] = field(default_factory=dict)
    user_held: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    team_held: list[int] = field(default_factory=list)
    user_waiting: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    demand: list[int] = field(default_factory=list)  # of each team: what its people could hold, within their own limits
    lost: float = 0.0  # work that was stopped and has to be done again
    _ends: list[tuple[float, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free = self.shape.gpus
        self.team_held = [0] * self.shape.teams
        self.demand = [0] * self.shape.teams

    def fits(self, job: Job) -> bool:
        return job.gpus <= self.free and self.user_held[job.user] + job.gpus <= self.shape.user_limit

    def start(self, job: Job) -> None:
        if not self.fits(job):
            msg = f"a limit is exceeded by job {job.number}"
            raise AssertionError(msg)
        job.started, job.runs = self.now, job.runs + 1
        self.running[job.number] = job
        self._count(job, job.gpus, waits=-job.gpus)
        heapq.heappush(self._ends, (self.now + job.seconds, job.number, job.runs))

    def preempt(self, job: Job) -> None:
        """Stop one that runs: it begins anew later."""
        self.lost += (self.now - (job.started or 0.0)) * job.gpus
        del self.running[job.number]
        self._count(job, -job.gpus, waits=job.gpus)

    def wait(self, job: Job) -> None:
        self._count(job, 0, waits=job.gpus)

    def end_until(self, time: float) -> list[tuple[float, Job]]:
        found = []
        while self._ends and self._ends[0][0] <= time:
            at, number, run = heapq.heappop(self._ends)
            job = self.running.get(number)
            if job is not None and job.runs == run:
                del self.running[number]
                self._count(job, -job.gpus)
                found.append((at, job))
        return found

    def _count(self, job: Job, gpus: int, waits: int = 0) -> None:
        before = self._wanted(job.user)
        self.free -= gpus
        self.user_held[job.user] += gpus
        self.team_held[job.team] += gpus
        self.user_waiting[job.user] += waits
        self.demand[job.team] += self._wanted(job.user) - before

    def _wanted(self, user: int) -> int:
        return min(self.shape.user_limit, self.user_held[user] + self.user_waiting[user])


@dataclass
class Outcome:
    """What is measured of one policy. Waits in hours; shares as parts."""

    name: str
    utilisation: float  # useful work done while work came in
    busy: float  # how much was in use while at least as much was asked for as there is
    waits: list[float]
    slowdowns: list[float]  # bounded: (wait + run) / run, where a run of less than ten minutes counts as ten
    unfairness: float
    lost: float
    series: list[float]  # of each hour, how much was in use

    def wait(self, part: float) -> float:
        return quantile(self.waits, part)


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def fair(weights: list[int], demands: list[int], capacity: float) -> list[float]:
    """Share `capacity` by weight among those that want it, none more than it wants (max-min fair)."""
    given, left = [0.0] * len(weights), {team for team, demand in enumerate(demands) if demand}
    while left:
        unit = capacity / sum(weights[team] for team in left)
        filled = {team for team in left if demands[team] <= unit * weights[team]}
        for team in filled or left:
            given[team] = float(demands[team]) if filled else unit * weights[team]
        if not filled:
            break
        capacity -= sum(demands[team] for team in filled)
        left -= filled
    return given


def _turn(world: World, jobs: list[Job], coming: int, policy: Policy) -> int:
    """Tell `policy` what ended and what came, and let it decide; return the number of the next that comes."""
    for at, job in world.end_until(world.now):
        policy.ended(job, at)
    while coming < len(jobs) and jobs[coming].at <= world.now:
        world.wait(jobs[coming])
        policy.came(jobs[coming])
        coming += 1
    policy.turn(world)
    return coming


def run(shape: Shape, jobs: list[Job], policy: Policy) -> Outcome:
    """Let `policy` meet `jobs`. Measured while work comes in; what then still waits is let run to its end, to know its wait.

    Utilisation is useful work. Unfairness: what of their share (max-min, by weight) the teams that wanted more than they had
    did not get, summed up over the whole time.
    """
    world, coming, series, hour = World(shape), 0, [], []
    due, got, useful = [0.0] * shape.teams, [0.0] * shape.teams, 0.0
    began: dict[int, float] = {}
    busy: list[float] = []
    end, stop = shape.days * DAY, shape.days * DAY * 3
    while world.now < stop and (coming < len(jobs) or world.running or any(world.demand)):
        world.now += TURN_SECONDS
        coming = _turn(world, jobs, coming, policy)
        for number, job in world.running.items():
            if job.started == world.now:
                began.setdefault(number, world.now - job.at)
        if world.now <= end:
            useful += (shape.gpus - world.free) * TURN_SECONDS
            if sum(world.demand) >= shape.gpus:
                busy.append(1 - world.free / shape.gpus)
            for team, share in enumerate(fair(shape.weights, world.demand, shape.gpus)):
                if world.demand[team] > world.team_held[team]:
                    due[team] += share
                    got[team] += world.team_held[team]
            hour.append(1 - world.free / shape.gpus)
            if len(hour) * TURN_SECONDS >= 3600:
                series.append(sum(hour) / len(hour))
                hour = []
    useful -= world.lost
    waits = [began.get(job.number, stop - job.at) / 3600 for job in jobs]
    return Outcome(
        policy.name,
        useful / (shape.gpus * end),
        statistics.mean(busy),
        waits,
        [_slowdown(job, wait) for job, wait in zip(jobs, waits, strict=True)],
        sum(max(0.0, want - have) for want, have in zip(due, got, strict=True)) / (sum(due) or 1.0),
        world.lost / (shape.gpus * end),
        series,
    )


def _slowdown(job: Job, wait: float) -> float:
    return max(1.0, (wait * 3600 + job.seconds) / max(job.seconds, 600.0))
