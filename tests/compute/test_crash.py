"""Dying at every point of the loop, and going on: one start per attempt, nothing leaked, no byte of the log missing."""

import zlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from apps.compute import services
from apps.compute.backends.fake.world import FakePlan
from apps.compute.models import Attempt, Workload, WorkloadEvent
from apps.compute.reconcile import keep
from apps.core import failpoints
from apps.experiments.models import Experiment
from tests.factories import Stage, assert_books_balance, attempt_of, fresh
from tests.people import Cast

LOG = b"".join(b"%d %08x line\n" % (number, zlib.crc32(b"%d" % number)) for number in range(500))

IN_THE_LOOP = [
    "lease.after_acquire",
    "quota.after_lock",
    "quota.before_commit",
    "quota.after_commit",
    "backend.before_create",
    "backend.after_create",
    "attempt.after_persist_handle",
    "run.before_running_commit",
    "observe.after_exit_seen",
    "release.before_commit",
    "finish.before_commit",
    "finish.after_commit",
    "log.after_chunk",
    "log.before_eof",
    "finalizer.before_remove",
    "finalizer.after_remove",
    "cancel.after_kill",
]
ELSEWHERE = {  # of the API, of stopping and of the sweep, tried below; of other apps
    "api.after_validate",
    "api.before_commit",
    "api.after_commit",
    "idem.after_insert",
    "cancel.after_desired",
    "sweep.before_delete",
}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Killer:
    """Dies at one point, the `nth` time it is passed."""

    def __init__(self, point: str, nth: int = 1) -> None:
        self.point, self.left, self.deaths = point, nth, 0

    def hit(self, name: str) -> None:
        assert name in failpoints.NAMES, name
        if name != self.point:
            return
        self.left -= 1
        if self.left == 0:
            self.deaths += 1
            raise Killed(name)


Arm = Callable[..., Killer]


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Arm:
    def arm(point: str, nth: int = 1) -> Killer:
        made = Killer(point, nth)
        monkeypatch.setattr(failpoints, "hit", made.hit)
        return made

    return arm


def turn(stage: Stage) -> None:
    """One turn of a process that may die in it; its successor has another name."""
    try:
        stage.turn(owner="first")
    except Killed:
        stage.turn(owner="second")


def whole_log(experiment: Experiment, number: int = 1) -> bytes:
    chunks = attempt_of(experiment, number).log_chunks.order_by("offset")
    return b"".join(bytes(chunk.data) for chunk in chunks)


def test_every_point_of_the_loop_is_tried() -> None:
    elsewhere = (
        "artifact.",
        "upload.",
        "garbage.",
        "code.",
        "metrics.",
        "secret.",
        "ledger.",
        "charge.",
        "alert.",
        "environment.",
        "source.",
    )
    others = {name for name in failpoints.NAMES if name.startswith(elsewhere)}
    assert set(IN_THE_LOOP) | ELSEWHERE | others == failpoints.NAMES


@pytest.mark.parametrize("point", IN_THE_LOOP)
@pytest.mark.parametrize("ending", ["succeeds", "fails once", "is stopped"])
def test_dying_anywhere_loses_and_doubles_nothing(
    cast: Cast, stage: Stage, killer: Arm, point: str, ending: str
) -> None:
    duration = None if ending == "is stopped" else timedelta(seconds=10)
    failing = "-1" if ending == "fails once" else "none"
    stage.world.plan = lambda name, _spec: FakePlan(duration=duration, exit_code=int(name.endswith(failing)), log=LOG)
    experiment = stage.submit(cast.alice, retries=1)
    armed = killer(point)
    for _ in range(3):
        turn(stage)
    if ending == "is stopped":
        services.request_stop(fresh(experiment), by=cast.alice)
    stage.pass_time(11)
    for _ in range(10):
        turn(stage)
        stage.pass_time(11)
    assert armed.deaths == (0 if point == "cancel.after_kill" and ending != "is stopped" else 1)
    assert_at_rest(experiment, stage, ending)


def assert_at_rest(experiment: Experiment, stage: Stage, ending: str) -> None:
    attempts = 2 if ending == "fails once" else 1
    workload = fresh(experiment)
    assert workload.state == ("stopped" if ending == "is stopped" else "succeeded")
    assert workload.next_reconcile_at is None
    assert list(stage.world.starts.values()) == [1] * attempts
    assert stage.world.workloads == {}
    assert Attempt.objects.filter(removed_at=None).count() == 0
    assert [whole_log(experiment, number + 1) for number in range(attempts)] == [LOG] * attempts
    events = WorkloadEvent.objects.filter(workload=workload).order_by("seq").values_list("seq", flat=True)
    assert list(events) == list(range(len(events)))
    assert_books_balance(live=0)


@pytest.mark.parametrize("nth", [2, 3])
@pytest.mark.parametrize("point", ["lease.after_acquire", "log.after_chunk"])
def test_dying_later_at_the_same_point(cast: Cast, stage: Stage, killer: Arm, point: str, nth: int) -> None:
    stage.plan(duration=10, exit_code=1, log=LOG)
    experiment = stage.submit(cast.alice, retries=1)
    killer(point, nth)
    for _ in range(10):
        turn(stage)
        stage.pass_time(11)
    assert fresh(experiment).state == "failed"
    assert set(stage.world.starts.values()) == {1}
    assert whole_log(experiment, 2) == LOG
    assert_books_balance(live=0)


def test_dying_while_a_stop_is_written_leaves_no_half_of_it(cast: Cast, stage: Stage, killer: Arm) -> None:
    experiment = stage.submit(cast.alice)
    killer("cancel.after_desired")
    with pytest.raises(Killed):
        services.request_stop(fresh(experiment), by=cast.alice)
    workload = fresh(experiment)
    assert (workload.desired_state, workload.stop_cause) == ("run", "")


def test_dying_in_the_sweep_leaves_the_rest_to_the_next(cast: Cast, stage: Stage, killer: Arm) -> None:
    stage.plan(duration=None)
    stage.submit(cast.alice)
    stage.turn(times=2)
    Attempt.objects.update(handle="renamed")  # as if the row had never been
    keep.sweep()
    killer("sweep.before_delete")
    with pytest.raises(Killed):
        keep.sweep()
    assert len(stage.world.workloads) == 1
    keep.sweep()
    assert stage.world.workloads == {}


def test_the_lease_of_a_dead_process_runs_out(cast: Cast, stage: Stage, killer: Arm) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn()
    killer("lease.after_acquire")
    with pytest.raises(Killed):
        stage.turn(owner="dead")
    held = fresh(experiment)
    assert held.lease_owner == "dead"
    assert held.lease_until is not None
    Workload.objects.update(lease_until="2001-01-01T00:00:00Z")
    stage.turn(owner="alive")
    assert fresh(experiment).state == "running"
