"""A whole backend in one file, over a cluster in memory: for tests with a clock in hand, and for trying the platform.

In a platform without a test around it, a spec says in its environment what its workload shall do:
FAKE_START_AFTER, FAKE_DURATION (seconds, or "forever"), FAKE_EXIT, FAKE_SIGNAL, FAKE_OOM, FAKE_START_FAILURE,
FAKE_IGNORES_STOP, FAKE_VANISH_AFTER, FAKE_LOG, FAKE_CPUS, FAKE_MEMORY (bytes).
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import ClassVar

from typing_extensions import override

from apps.compute.backends.base import (
    Backend,
    BackendSettings,
    EnvironmentGone,
    Inventory,
    Meter,
    Rejected,
    Unavailable,
)
from apps.compute.backends.fake.environments import FakeEnvironments
from apps.compute.backends.fake.settings import FakeSettings
from apps.compute.backends.fake.world import Ending, FakePlan, FakeWorkload, FakeWorld
from apps.compute.backends.masking import Masker
from apps.compute.backends.secret_forms import secret_forms
from apps.compute.contract import (
    BackendHealth,
    Capability,
    LogChunk,
    Observation,
    Phase,
    Use,
    WorkloadSpec,
)


class FakeBackend(FakeEnvironments, Backend, Inventory, Meter):
    """Pretends to run workloads."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    settings_schema: ClassVar[type[BackendSettings]] = FakeSettings

    def __init__(self, settings: FakeSettings | None = None, *, world: FakeWorld | None = None) -> None:
        self.settings: FakeSettings = settings or FakeSettings()
        super().__init__(self.settings)
        self.world = world or FakeWorld.named(self.settings.world, live=self.settings.live)

    @override
    def submit(self, name: str, spec: WorkloadSpec) -> None:
        world = self._reach()
        with world.lock:
            world.submits[name] = world.submits.get(name, 0) + 1
            refusal = self._refusal(spec)
            if refusal:
                raise Rejected(refusal)
            if name in world.workloads:
                return
            if spec.environment and spec.environment not in world.environments:
                msg = "the environment is not on the fake cluster"
                raise EnvironmentGone(msg)
            plan = world.plan(name, spec) or _plan_of(spec)
            masker = Masker(secret_forms(spec.secrets.values()))
            world.workloads[name] = FakeWorkload(plan, spec, world.now, masker=masker)
            world.starts[name] = world.starts.get(name, 0) + 1
            world.say(name, plan.log)

    @override
    def observe(self, names: Collection[str]) -> dict[str, Observation]:
        world = self.world
        if not world.is_reachable:
            return {
                name: Observation(Phase.UNKNOWN, "Unreachable", "the fake cluster is switched off") for name in names
            }
        with world.lock:
            return {name: _look(world, world.workloads.get(name)) for name in names}

    @override
    def stop(self, name: str, *, grace: timedelta) -> None:
        world = self._reach()
        with world.lock:
            workload = world.workloads.get(name)
            if workload is None:
                world.workloads[name] = FakeWorkload(FakePlan(), None, world.now)
                return
            workload.stop_at = workload.stop_at or world.now
            force_at = world.now + grace
            workload.force_at = min(force_at, workload.force_at or force_at)

    @override
    def read_log(self, name: str, *, offset: int, limit: int) -> LogChunk:
        world = self._reach()
        with world.lock:
            workload = world.workloads.get(name)
            phase = _look(world, workload).phase
            is_over = phase.is_final or phase is Phase.MISSING
            log = world.read_log(workload, is_over=is_over) if workload else b""
        data = log[offset : offset + limit]
        return LogChunk(offset, data, eof=is_over and offset + len(data) >= len(log))

    @override
    def health(self) -> BackendHealth:
        if not self.world.is_reachable:
            return BackendHealth(ok=False, message="the fake cluster is switched off")
        return BackendHealth(ok=True, message="runs nothing", capabilities=self.capabilities, capacity=self._capacity())

    @override
    def list_names(self) -> list[str]:
        world = self._reach()
        with world.lock:
            return sorted(world.workloads)

    @override
    def remove(self, name: str) -> None:
        world = self._reach()
        with world.lock:
            world.workloads.pop(name, None)

    @override
    def measure(self, names: Collection[str]) -> dict[str, Use]:
        world = self._reach()
        with world.lock:
            running = {name: found for name in names if (found := world.workloads.get(name)) is not None}
            return {
                name: _use(workload, world.now)
                for name, workload in running.items()
                if workload.plan.cpus is not None and _look(world, workload).phase is Phase.RUNNING
            }

    def _reach(self) -> FakeWorld:
        if not self.world.is_reachable:
            msg = "the fake cluster is switched off"
            raise Unavailable(msg)
        return self.world

    def _capacity(self) -> dict[str, int]:
        settings = self.settings
        return {"cpu": settings.cpu_milli, "memory": settings.memory_bytes, "gpu": settings.gpu_milli}

    def _refusal(self, spec: WorkloadSpec) -> str:
        if not spec.command or not spec.command[0]:
            return "the command is empty"
        asked = {
            "cpu": spec.resources.cpu_milli,
            "memory": spec.resources.memory_bytes,
            "gpu": spec.resources.gpu_milli,
        }
        for resource, has in self._capacity().items():
            if asked[resource] > has:
                return f"{resource}: {asked[resource]} asked for, this cluster has {has}"
        return self.world.reject(spec)


def _plan_of(spec: WorkloadSpec) -> FakePlan:
    """Read the plan that the spec's environment carries. Raises: Rejected for a number that is none."""
    env = spec.env
    try:
        return FakePlan(
            start_after=timedelta(seconds=float(env.get("FAKE_START_AFTER", "0"))),
            duration=_duration(env.get("FAKE_DURATION", "0")),
            exit_code=int(env.get("FAKE_EXIT", "0")),
            signal=int(env["FAKE_SIGNAL"]) if "FAKE_SIGNAL" in env else None,
            oom=env.get("FAKE_OOM", "") == "1",
            start_failure=env.get("FAKE_START_FAILURE", ""),
            ignores_stop=env.get("FAKE_IGNORES_STOP", "") == "1",
            vanish_after=_duration(env.get("FAKE_VANISH_AFTER", "forever")),
            log=env.get("FAKE_LOG", "").encode(),
            cpus=float(env["FAKE_CPUS"]) if "FAKE_CPUS" in env else None,
            memory_bytes=int(env.get("FAKE_MEMORY", "0")),
        )
    except ValueError as error:
        msg = f"a FAKE_ variable is not a number: {error}"
        raise Rejected(msg) from error


def _duration(text: str) -> timedelta | None:
    return None if text == "forever" else timedelta(seconds=float(text))


def _look(world: FakeWorld, workload: FakeWorkload | None) -> Observation:
    if workload is None:
        return Observation(Phase.MISSING, "NotSubmitted", "it was never submitted here, or was removed")
    if world.has_vanished(workload):
        return Observation(Phase.MISSING, "Vanished", "it is gone, and how it ended is not known")
    ending = world.ending(workload)
    if ending is not None and ending.at <= world.now:
        return _ended(workload, ending)
    if world.now < workload.starts_at:
        return Observation(Phase.PENDING, "Starting", "it will start soon")
    return Observation(Phase.RUNNING, started_at=workload.starts_at)


def _ended(workload: FakeWorkload, ending: Ending) -> Observation:
    ran = workload.spec is not None and ending.at >= workload.starts_at and ending.reason != "StartFailed"
    return Observation(
        phase=ending.phase,
        reason=ending.reason,
        message=workload.plan.start_failure or ("" if ending.phase is Phase.SUCCEEDED else f"ended: {ending.reason}"),
        exit_code=ending.exit_code,
        signal=ending.signal,
        started_at=workload.starts_at if ran else None,
        finished_at=ending.at,
        use=_use(workload, ending.at) if ran else Use(),
    )


def _use(workload: FakeWorkload, until: datetime) -> Use:
    cpus, memory = workload.plan.cpus, workload.plan.memory_bytes
    if cpus is None:
        return Use()
    return Use(cpus * max(0.0, (until - workload.starts_at).total_seconds()), memory, memory)
