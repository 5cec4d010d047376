"""The threads of a worker: they do the work by themselves, survive a bug and a lost database, and end when asked."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.compute import bootstep, tasks
from apps.compute.handlers import extra_loops
from apps.compute.models import Cluster, Loop
from apps.compute.reconcile import loop
from apps.compute.reconcile.loop import _HOUSE, _STORE, Reconciler
from apps.compute.reconcile.turn import run_turn
from apps.experiments.models import Experiment
from tests.factories import Stage, assert_books_balance, attempt_of, fresh
from tests.people import Cast
from tests.platform import wait_for


@pytest.fixture
def people(committed: None, cast: Cast) -> Cast:
    return cast


@pytest.fixture
def platform(committed: None, stage: Stage) -> Stage:
    return stage


@pytest.fixture
def worker(platform: Stage) -> Iterator[Reconciler]:
    made = Reconciler()
    made.start()
    yield made
    made.stop()
    assert not [thread.name for thread in threading.enumerate() if thread.name in {"due", "logs", "house"}]


def ended(experiment: Experiment) -> bool:
    return fresh(experiment).next_reconcile_at is None


def test_a_worker_does_it_all(people: Cast, platform: Stage, worker: Reconciler) -> None:
    platform.plan(duration=5, log=b"hello\n")
    experiment = platform.submit(people.alice)
    worker.wake()
    wait_for(lambda: fresh(experiment).state == "running", what="the start")
    wait_for(lambda: attempt_of(experiment).log_bytes == 6, what="the log")
    platform.pass_time(6)
    wait_for(lambda: ended(experiment), what="the end")
    assert fresh(experiment).state == "succeeded"
    wait_for(lambda: Cluster.objects.get().state == "ok", what="the look at its health")
    slow = {*_HOUSE, *_STORE, *(loop.name for loop in extra_loops())}
    wait_for(
        lambda: set(Loop.objects.exclude(ran_at=None).values_list("name", flat=True)) == slow, what="the slow loops"
    )
    assert_books_balance(live=0)


def test_a_lost_database_and_a_bug_are_survived(people: Cast, platform: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    troubles: list[Exception] = [OperationalError("gone"), KeyError("a bug"), OperationalError("gone")]
    turn = run_turn

    def troubled(*args: Any, **facts: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return turn(*args, **facts)

    monkeypatch.setattr(loop, "run_turn", troubled)
    experiment = platform.submit(people.alice)
    worker = Reconciler()
    worker.start()
    try:
        wait_for(lambda: ended(experiment), what="the end")
    finally:
        worker.stop()
    assert fresh(experiment).state == "succeeded"


def test_there_is_one_set_of_loops_per_process(platform: Stage) -> None:
    tasks.reconcile()  # without loops a hint does nothing
    step = bootstep.ReconcileStep(None)
    step.start(None)
    first = loop._running
    try:
        assert loop.start_here() is first
        tasks.reconcile()
    finally:
        step.stop(None)
    assert loop._running is None
    step.stop(None)
    assert connection.vendor == "postgresql"
