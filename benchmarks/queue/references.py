"""What others do, in a few lines each: first come first served, cohorts as in Kueue, multifactor priority as in Slurm."""

from benchmarks.queue.world import DAY, LONGEST, Job, Shape, World

_TESTED = 500  # jobs that a backfill pass looks at, as bf_max_job_test


class Fifo:
    """First come, first served; what does not fit holds up all others, unless it is its owner's own limit."""

    name = "FIFO"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.waiting: list[Job] = []

    def came(self, job: Job) -> None:
        self.waiting.append(job)

    def ended(self, job: Job, at: float) -> None:
        pass

    def turn(self, world: World) -> None:
        left = []
        for place, job in enumerate(self.waiting):
            if job.gpus > world.free:
                left += self.waiting[place:]
                break
            if world.fits(job):
                world.start(job)
            else:
                left.append(job)
        self.waiting = left


class Cohort(Fifo):
    """As Kueue: each team has a quota of its own and borrows what others leave; who wants his own back takes it.

    Within a team in the order of time, what does not fit is passed by (BestEffortFIFO, its default).
    """

    name = "Kueue-like"

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        total = sum(shape.weights)
        self.nominal = [shape.gpus * weight / total for weight in shape.weights]
        self.queues: list[list[Job]] = [[] for _ in range(shape.teams)]

    def came(self, job: Job) -> None:
        self.queues[job.team].append(job)

    def turn(self, world: World) -> None:
        passed = [0] * self.shape.teams
        while True:
            heads = [(team, head) for team in range(self.shape.teams) if (head := self._head(team, passed, world))]
            if not heads:
                return
            # Who does not borrow goes first, then who borrows least of what is his, then time.
            team, job = min(heads, key=lambda head: (self._borrows(head[1], world), head[1].at))
            if not world.fits(job) and not self._borrows(job, world):
                self._reclaim(job, world)
            if world.fits(job):
                world.start(job)
                self.queues[team].remove(job)
            else:
                passed[team] += 1

    def _head(self, team: int, passed: list[int], world: World) -> Job | None:
        """Return the next of a team that its owner may hold."""
        queue = self.queues[team]
        while passed[team] < min(_TESTED, len(queue)):
            job = queue[passed[team]]
            if world.user_held[job.user] + job.gpus <= self.shape.user_limit:
                return job
            passed[team] += 1
        return None

    def _borrows(self, job: Job, world: World) -> float:
        return max(0.0, (world.team_held[job.team] + job.gpus) / self.nominal[job.team] - 1)

    def _reclaim(self, job: Job, world: World) -> None:
        if world.user_held[job.user] + job.gpus > self.shape.user_limit:
            return
        missing, chosen, held = job.gpus - world.free, [], list(world.team_held)
        for other in sorted(world.running.values(), key=lambda one: -(one.started or 0.0)):
            if missing <= 0:
                break
            if other.team != job.team and held[other.team] > self.nominal[other.team]:
                chosen.append(other)
                held[other.team] -= other.gpus
                missing -= other.gpus
        if missing <= 0:
            for other in chosen:
                world.preempt(other)
                self.queues[other.team].append(other)
                self.queues[other.team].sort(key=lambda one: one.at)


class Multifactor(Fifo):
    """As Slurm's multifactor priority: age and fair share with a half-life, then EASY backfill (Lifka 1995).

    Every job has a limit there: what names none gets the longest that is allowed.
    """

    name = "Slurm-like"
    age_weight, share_weight, oldest, half_life = 1_000.0, 10_000.0, 7 * DAY, 7 * DAY

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.used = [0.0] * shape.teams
        self.at = 0.0

    def turn(self, world: World) -> None:
        kept, passed = 0.5 ** ((world.now - self.at) / self.half_life), world.now - self.at
        self.at = world.now
        self.used = [use * kept + held * passed for use, held in zip(self.used, world.team_held, strict=True)]
        total, weights = sum(self.used) or 1.0, self.shape.weights
        shares = [2 ** -(use / total / (weight / sum(weights))) for use, weight in zip(self.used, weights, strict=True)]

        def priority(job: Job) -> float:
            age = min(1.0, (world.now - job.at) / self.oldest)
            return -(self.age_weight * age + self.share_weight * shares[job.team])

        self.waiting.sort(key=priority)
        shadow, spare, begun = None, 0, set()
        for job in self.waiting[:_TESTED]:
            if world.user_held[job.user] + job.gpus > self.shape.user_limit:
                continue
            if shadow is None:
                if world.fits(job):
                    world.start(job)
                    begun.add(job.number)
                else:
                    shadow, spare = self._shadow(job, world)
            elif world.fits(job):
                in_time = world.now + (job.limit or LONGEST) <= shadow
                if in_time or job.gpus <= spare:
                    spare -= 0 if in_time else job.gpus
                    world.start(job)
                    begun.add(job.number)
        self.waiting = [job for job in self.waiting if job.number not in begun]

    @staticmethod
    def _shadow(job: Job, world: World) -> tuple[float, int]:
        free = world.free
        for end, gpus in sorted(
            ((one.started or 0.0) + (one.limit or LONGEST), one.gpus) for one in world.running.values()
        ):
            free += gpus
            if free >= job.gpus:
                return end, free - job.gpus
        return float("inf"), 0


class ShortMemory(Multifactor):
    """The same, with a half-life as short as the platform's: what of a difference is owed to that."""

    name = "Slurm-like, 3 h"
    half_life = DAY / 8
