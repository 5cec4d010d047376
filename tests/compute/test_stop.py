"""Stopping wins in every state, and what ended by itself keeps its own verdict."""

import pytest
from django.db.models.functions import Now

from apps.audit.models import AuditEvent
from apps.compute import services
from apps.compute.models import Attempt, Workload
from apps.core.errors import Conflict, NotAllowed, NotFound
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.tracking.models import Run
from tests.factories import Stage, assert_books_balance, attempt_of, fresh
from tests.people import Cast


def stop(experiment: Experiment, cast: Cast, reason: str = "") -> bool:
    return experiments.stop_experiment(experiment, by=cast.alice, reason=reason)


def assert_stopped(experiment: Experiment, stage: Stage) -> None:
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.reason) == ("stopped", "Stopped")
    assert workload.message.startswith("stopped by alice")
    assert workload.finished_at is not None
    assert Run.objects.get(pk=experiment.pk).status == "killed"
    assert stage.world.workloads == {}
    assert_books_balance(live=0)


def test_in_the_queue(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    assert stop(experiment, cast, "not needed")
    assert_stopped(experiment, stage)
    assert fresh(experiment).message == "stopped by alice: not needed"
    assert stage.world.starts == {}
    assert not Attempt.objects.exists()


def test_in_the_queue_of_a_second_attempt(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=1, exit_code=1)
    experiment = stage.submit(cast.alice, retries=1)
    stage.turn(times=2)
    stage.pass_time(2)
    stage.turn()
    assert fresh(experiment).state == "queued"
    stop(experiment, cast)
    stage.finish()
    assert fresh(experiment).state == "stopped"
    assert_books_balance(live=0)


def test_in_the_queue_behind_something_that_does_not_fit(cast: Cast, stage: Stage) -> None:
    services.drain_cluster(stage.cluster, by=cast.sre, reason="test")
    first, second = stage.submit(cast.alice), stage.submit(cast.alice)
    stop(second, cast)
    stage.turn()
    assert fresh(second).state == "stopped"
    assert fresh(first).state == "queued"


def test_admitted_but_never_submitted(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    with stage.world.unreachable():
        stage.turn()
    assert stop(experiment, cast)
    assert_stopped(experiment, stage)
    assert stage.world.starts == {}


def test_submitted_but_not_running(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None, start_after=60)
    experiment = stage.submit(cast.alice)
    stage.turn()
    stop(experiment, cast)
    assert_stopped(experiment, stage)


def test_running(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice, retries=5)
    stage.turn(times=2)
    assert stop(experiment, cast)
    stage.turn()
    assert fresh(experiment).state == "stopping"
    assert_stopped(experiment, stage)
    assert Attempt.objects.count() == 1


def test_stubborn_until_its_grace_is_over(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None, ignores_stop=True)
    experiment = stage.submit(cast.alice, grace="20s")
    stage.turn(times=2)
    stop(experiment, cast)
    stage.turn(times=3)
    stage.pass_time(19)
    stage.turn()
    assert fresh(experiment).state == "stopping"
    assert_books_balance(live=1)  # held until the end is confirmed
    stage.pass_time(2)
    assert_stopped(experiment, stage)


def test_while_the_cluster_is_away(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    stop(experiment, cast)
    with stage.world.unreachable():
        stage.turn(times=2)
        assert fresh(experiment).state == "running"
    assert_stopped(experiment, stage)


def test_unreachable_between_the_look_and_the_stop(cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    stop(experiment, cast)
    look = stage.world.ending

    def then_gone(workload: object) -> object:
        seen = look(workload)  # type: ignore[arg-type]
        stage.world.is_reachable = False
        return seen

    monkeypatch.setattr(stage.world, "ending", then_gone)
    stage.turn()
    assert (
        fresh(experiment).message == "stopping: the cluster fake cannot be reached (the fake cluster is switched off)"
    )
    monkeypatch.undo()
    stage.world.is_reachable = True
    assert_stopped(experiment, stage)


def test_gone_before_the_stop(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    stage.world.vanish(attempt_of(experiment).handle)
    stop(experiment, cast)
    stage.turn()
    Workload.objects.update(missing_since="2001-01-01T00:00:00Z")
    stage.finish()
    assert fresh(experiment).state == "stopped"
    assert_books_balance(live=0)


@pytest.mark.parametrize(("exit_code", "state"), [(0, "succeeded"), (5, "failed")])
def test_what_ended_by_itself_keeps_its_verdict(cast: Cast, stage: Stage, exit_code: int, state: str) -> None:
    stage.plan(duration=5, exit_code=exit_code)
    experiment = stage.submit(cast.alice, retries=3)
    stage.turn(times=2)
    stage.pass_time(6)
    assert stop(experiment, cast)
    stage.finish()
    assert (fresh(experiment).state, fresh(experiment).exit_code) == (state, exit_code)
    assert Attempt.objects.count() == 1


def test_asking_twice_is_no_news(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    assert stop(experiment, cast) is True
    assert stop(experiment, cast, "again") is False
    stage.finish()
    assert stop(experiment, cast) is False
    assert AuditEvent.objects.filter(action="stop").count() == 1
    assert fresh(experiment).message == "stopped by alice"


def test_what_has_ended_is_not_stopped(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    stage.finish()
    with pytest.raises(Conflict) as refusal:
        stop(experiment, cast)
    assert refusal.value.extra == {"state": "succeeded"}
    assert not AuditEvent.objects.filter(action="stop").exists()


@pytest.mark.parametrize(("name", "error"), [("bob", NotAllowed), ("charlie", NotFound), ("ivan", NotFound)])
def test_not_by_everybody(cast: Cast, stage: Stage, name: str, error: type[Exception]) -> None:
    experiment = stage.submit(cast.alice, team="vision")
    with pytest.raises(error):
        experiments.stop_experiment(experiment, by=cast.people[name])
    assert fresh(experiment).desired_state == "run"
    assert not AuditEvent.objects.filter(action="stop").exists()


def test_an_operator_stops_and_requeues(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    epoch = fresh(experiment).lease_epoch
    Workload.objects.update(lease_until=Now(), next_reconcile_at="2099-01-01T00:00:00Z")
    services.requeue_now(fresh(experiment), by=cast.sre, reason="stuck")
    workload = fresh(experiment)
    assert (workload.lease_until, workload.lease_epoch) == (None, epoch + 1)
    services.force_stop(workload, by=cast.sre, reason="needed")
    stage.finish()
    assert fresh(experiment).message == "stopped by sre: needed"
    audit = AuditEvent.objects.filter(actor=cast.sre)
    assert list(audit.order_by("pk").values_list("action", "reason")) == [
        ("requeue", "stuck"),
        ("force_stop", "needed"),
    ]


@pytest.mark.parametrize("name", ["alice", "mia", "charlie"])
def test_nobody_else_operates(cast: Cast, stage: Stage, name: str) -> None:
    experiment = stage.submit(cast.alice, team="vision")
    for act in (services.force_stop, services.requeue_now):
        with pytest.raises((NotFound, NotAllowed)):
            act(fresh(experiment), by=cast.people[name], reason="x")
    assert fresh(experiment).desired_state == "run"
