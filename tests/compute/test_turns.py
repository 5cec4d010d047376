"""One turn after another: from the queue to an end, whatever the cluster says on the way."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import ApiToken
from apps.audit.models import AuditEvent
from apps.compute import lifecycle, services
from apps.compute.backends.fake.world import EPOCH, FakePlan
from apps.compute.choices import State
from apps.compute.contract import WorkloadSpec
from apps.compute.models import Attempt, Cluster, Workload, WorkloadEvent
from apps.compute.reconcile import advance, launch, turn
from apps.compute.times import later
from apps.core import blobs
from apps.core.errors import Conflict
from apps.experiments import services as experiments
from apps.experiments.models import CodeUpload, Experiment
from apps.quotas.models import Reservation
from tests.factories import Stage, assert_books_balance, attempt_of, fresh
from tests.people import Cast


def time_of(value: datetime | None) -> datetime:
    assert value is not None
    return value


def path(experiment: Experiment) -> list[str]:
    """The states it went through."""
    events = WorkloadEvent.objects.filter(workload_id=experiment.workload_id).order_by("seq")
    return list(events.values_list("to_state", flat=True))


def test_the_whole_life(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=60, exit_code=0, log=b"hello\n")
    experiment = stage.submit(cast.alice, resources={"cpu": 2})
    stage.turn(times=2)
    assert fresh(experiment).state == "running"
    assert_books_balance(live=1)
    stage.pass_time(61)
    stage.finish()
    workload, attempt = fresh(experiment), attempt_of(experiment)
    assert path(experiment) == ["queued", "starting", "running", "succeeded"]
    assert (workload.exit_code, workload.started_at, workload.finished_at) == (0, EPOCH, EPOCH + timedelta(seconds=60))
    assert (attempt.verdict, attempt.log_bytes) == ("succeeded", 6)
    assert attempt.removed_at is not None
    assert workload.next_reconcile_at is None
    assert stage.world.workloads == {}
    assert list(stage.world.starts.values()) == [1]
    assert_books_balance(live=0)


@pytest.mark.parametrize(
    ("plan", "exit_code", "reason"),
    [
        ({"exit_code": 3}, 3, "ExitCode"),
        ({"signal": 9}, 137, "Signal"),
        ({"oom": True}, 137, "OOMKilled"),
        ({"start_failure": "no such file"}, 127, "StartFailed"),
    ],
)
def test_failures_are_told_apart(cast: Cast, stage: Stage, plan: dict[str, Any], exit_code: int, reason: str) -> None:
    stage.plan(**plan)
    experiment = stage.submit(cast.alice)
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.exit_code, workload.reason) == ("failed", exit_code, reason)
    assert_books_balance(live=0)


def test_events_are_numbered_without_gaps(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    stage.finish()
    events = list(WorkloadEvent.objects.filter(workload_id=experiment.workload_id).order_by("seq"))
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.to_state for event in events[:-1]] == [event.from_state for event in events[1:]]


def test_unknown_for_an_hour_changes_nothing(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    before = fresh(experiment)
    with stage.world.unreachable():
        for _ in range(5):
            Workload.objects.update(state_changed_at=Now() - timedelta(hours=1))
            stage.turn()
    after = fresh(experiment)
    for name in (
        "state",
        "state_version",
        "attempt_no",
        "message",
        "reason",
        "last_seen_at",
        "started_at",
        "missing_since",
    ):
        assert getattr(after, name) == getattr(before, name), name
    assert attempt_of(experiment).verdict == ""
    assert_books_balance(live=1)
    stage.turn()
    assert time_of(fresh(experiment).last_seen_at) > time_of(before.last_seen_at)


def running(cast: Cast, stage: Stage, **spec: Any) -> Experiment:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice, **spec)
    stage.turn(times=2)
    assert fresh(experiment).state == "running"
    return experiment


def test_missing_once_is_no_verdict(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    stage.world.vanish(attempt_of(experiment).handle)
    stage.turn(times=3)
    workload = fresh(experiment)
    assert workload.state == "running"
    assert workload.missing_since is not None


def test_missing_twice_two_seconds_apart_is_lost(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    stage.world.vanish(attempt_of(experiment).handle)
    stage.turn()
    Workload.objects.update(missing_since=F("missing_since") - timedelta(seconds=2))
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.reason) == ("lost", "Vanished")
    assert "no longer knows it" in workload.message
    assert_books_balance(live=0)


def test_the_second_look_is_two_seconds_later(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    stage.world.vanish(attempt_of(experiment).handle)
    stage.turn()
    workload = fresh(experiment)
    assert time_of(workload.next_reconcile_at) - time_of(workload.missing_since) == advance.MISSING_TWICE


@pytest.mark.parametrize("between", ["seen", "unknown"])
def test_missing_counts_anew_after_another_answer(cast: Cast, stage: Stage, between: str) -> None:
    experiment = running(cast, stage)
    handle = attempt_of(experiment).handle
    stage.world.vanish(handle)
    stage.turn()
    if between == "seen":
        stage.world.workloads[handle].vanished_at = None
        stage.turn()
    else:
        with stage.world.unreachable():
            stage.turn()
    assert fresh(experiment).missing_since is None
    assert fresh(experiment).state == "running"


def test_missing_is_judged_by_the_clock_of_the_database(
    cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = running(cast, stage)
    stage.world.vanish(attempt_of(experiment).handle)
    stage.turn()
    monkeypatch.setattr(timezone, "now", lambda: EPOCH + timedelta(days=3650))
    stage.turn()
    assert fresh(experiment).state == "running"


def test_what_was_never_submitted_is_submitted_again_and_starts_once(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn()
    Attempt.objects.update(submitted_at=None)  # the process died between the submission and its record
    stage.turn(times=2)
    assert fresh(experiment).state == "running"
    handle = attempt_of(experiment).handle
    stage.world.workloads.pop(handle)
    Attempt.objects.update(submitted_at=None)
    stage.turn()
    assert stage.world.submits[handle] == 2
    assert attempt_of(experiment).submitted_at is not None


def test_an_unreachable_cluster_is_waited_for(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    with stage.world.unreachable():
        stage.turn(times=3)
        workload = fresh(experiment)
        assert workload.state == "starting"
        assert workload.message == "waiting: the cluster fake cannot be reached (the fake cluster is switched off)"
    stage.turn(times=2)
    assert fresh(experiment).state == "running"
    assert list(stage.world.starts.values()) == [1]
    assert_books_balance(live=1)


def test_a_rejected_spec_fails_with_the_clusters_sentence(cast: Cast, stage: Stage) -> None:
    stage.world.reject = lambda _spec: "no such image"
    experiment = stage.submit(cast.alice, retries=3)
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.reason, workload.message) == ("failed", "Rejected", "no such image")
    assert Attempt.objects.count() == 1  # what will never run is not tried again
    assert_books_balance(live=0)


def test_a_time_limit_of_the_cluster_is_a_failure(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice, timeout="10s", retries=2)
    stage.turn(times=2)
    stage.pass_time(11)
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.reason) == ("failed", "TimedOut")
    assert Attempt.objects.count() == 1


def test_what_the_cluster_does_not_stop_in_time_is_stopped(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice, timeout="10s", retries=2)
    stage.turn(times=2)
    Attempt.objects.update(started_at=Now() - timedelta(seconds=39))
    stage.turn()
    assert fresh(experiment).state == "running"
    Attempt.objects.update(started_at=Now() - timedelta(seconds=41))
    stage.turn()
    assert fresh(experiment).state == "stopping"
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.reason) == ("failed", "TimedOut")
    assert workload.message == "stopped: it ran longer than its limit of 10 s"


@pytest.mark.parametrize("ending", ["exit", "vanish"])
def test_what_ends_by_itself_while_it_is_stopped_is_not_run_again(cast: Cast, stage: Stage, ending: str) -> None:
    stage.plan(duration=None, ignores_stop=True)
    experiment = stage.submit(cast.alice, timeout="10s", retries=2, grace="300s")
    stage.turn(times=2)
    Attempt.objects.update(started_at=Now() - timedelta(seconds=100))
    stage.turn()
    if ending == "exit":
        stage.world.workloads[attempt_of(experiment).handle].plan = FakePlan(exit_code=4)
    else:
        stage.world.vanish(attempt_of(experiment).handle)
        stage.turn()
        Workload.objects.update(missing_since=F("missing_since") - timedelta(seconds=3))
    stage.finish()
    assert fresh(experiment).state == ("failed" if ending == "exit" else "lost")
    assert Attempt.objects.count() == 1
    assert_books_balance(live=0)


def test_a_failure_is_tried_again_as_a_new_attempt(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1, log=b"first\n")
    experiment = stage.submit(cast.alice, retries=2)
    stage.turn(times=2)
    workload = fresh(experiment)
    assert (workload.state, workload.retries_left, workload.attempt_no) == ("queued", 1, 1)
    assert_books_balance(live=0)
    stage.plan(duration=None, log=b"second\n")
    stage.turn(times=2)
    assert_books_balance(live=1)
    assert fresh(experiment).state == "running"
    assert Attempt.objects.filter(workload=workload).count() == 2
    assert set(stage.world.starts.values()) == {1}
    assert Reservation.objects.count() == 2


def test_the_log_of_a_failed_attempt_is_whole_before_the_next_one_ends(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1, log=b"first\n")
    experiment = stage.submit(cast.alice, retries=1)
    stage.turn(times=2)
    attempt = attempt_of(experiment)
    assert attempt.log_bytes == 6
    assert attempt.log_ended_at is not None
    assert attempt.removed_at is not None


def test_the_last_failure_is_the_verdict(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=7)
    experiment = stage.submit(cast.alice, retries=2)
    stage.finish()
    workload = fresh(experiment)
    assert (workload.state, workload.exit_code, workload.retries_left, workload.attempt_no) == ("failed", 7, 0, 3)
    assert path(experiment) == ["queued", "starting"] + ["queued", "starting"] * 2 + ["failed"]
    assert set(stage.world.starts.values()) == {1}
    assert_books_balance(live=0)


def test_a_vanished_attempt_is_tried_again(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage, retries=1)
    stage.world.vanish(attempt_of(experiment).handle)
    stage.turn()
    Workload.objects.update(missing_since=F("missing_since") - timedelta(seconds=3))
    stage.turn()
    assert fresh(experiment).state == "queued"
    stage.turn(times=2)
    assert (fresh(experiment).state, fresh(experiment).attempt_no) == ("running", 2)
    assert fresh(experiment).missing_since is None


@pytest.mark.parametrize("state", ["failed", "stopped", "lost"])
def test_a_person_retries_what_ended_badly(cast: Cast, stage: Stage, state: str) -> None:
    stage.plan(exit_code=1)
    experiment = stage.submit(cast.alice, retries=1)
    stage.finish()
    if state != "failed":
        ended_as(experiment, state)
    stage.plan(duration=None)
    experiments.retry_experiment(experiment, by=cast.alice)
    workload = fresh(experiment)
    assert (workload.state, workload.retries_left, workload.desired_state) == ("queued", 1, "run")
    assert (workload.started_at, workload.finished_at, workload.exit_code) == (None, None, None)
    assert AuditEvent.objects.filter(action="retry").count() == 1
    stage.turn(times=2)
    assert (fresh(experiment).state, fresh(experiment).attempt_no) == ("running", 3)
    assert Experiment.objects.get(pk=experiment.pk).run.status == "running"


def ended_as(experiment: Experiment, state: str) -> None:
    """Let it end once more, as `state`."""
    workload = fresh(experiment)
    lifecycle.transition(workload, State.QUEUED, actor="test")
    lifecycle.transition(workload, State.STARTING, actor="test")
    lifecycle.transition(workload, state, actor="test")


@pytest.mark.parametrize("seconds", [0, None])
def test_what_succeeded_or_runs_is_not_retried(cast: Cast, stage: Stage, seconds: int | None) -> None:
    stage.plan(duration=seconds)
    experiment = stage.submit(cast.alice)
    stage.turn(times=3)
    before = fresh(experiment).state_version
    with pytest.raises(Conflict):
        experiments.retry_experiment(experiment, by=cast.alice)
    assert fresh(experiment).state_version == before
    assert not AuditEvent.objects.filter(action="retry").exists()


def test_a_pause_grows_while_nothing_happens(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    Workload.objects.update(state_changed_at=Now() - timedelta(hours=10))
    stage.turn()
    wait = time_of(fresh(experiment).next_reconcile_at) - timezone.now()
    assert timedelta(seconds=25) < wait <= timedelta(seconds=30)


def test_a_stop_asked_for_during_a_look_does_not_wait(
    cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = running(cast, stage)
    Workload.objects.update(state_changed_at=Now() - timedelta(hours=10))
    look = turn.observe

    def interrupted(*args: Any) -> Any:
        services.request_stop(fresh(experiment), by=cast.alice)
        return look(*args)

    monkeypatch.setattr(turn, "observe", interrupted)
    stage.turn()
    assert Workload.objects.filter(next_reconcile_at__lte=later(0)).count() == 1


def test_one_bug_does_not_hold_up_the_others(cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.plan(duration=None)
    bad, good = stage.submit(cast.alice, name="bad"), stage.submit(cast.alice, name="good")
    build = launch.build_spec

    def buggy(workload: Workload, attempt: Attempt) -> WorkloadSpec:
        if workload.label == "bad":
            msg = "a bug"
            raise KeyError(msg)
        return build(workload, attempt)

    monkeypatch.setattr(advance, "build_spec", buggy)
    stage.turn(times=3)
    assert fresh(good).state == "running"
    assert fresh(bad).state == "starting"
    assert time_of(fresh(bad).next_reconcile_at) > timezone.now()
    monkeypatch.setattr(advance, "build_spec", build)
    stage.turn(times=2)
    assert fresh(bad).state == "running"


def test_a_cluster_with_settings_nobody_understands_is_unknown(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    Cluster.objects.update(settings={"nonsense": 1})
    stage.turn(times=2)
    assert fresh(experiment).state == "running"
    assert_books_balance(live=1)


def spied(stage: Stage) -> list[WorkloadSpec]:
    """Collect every specification that is submitted."""
    seen: list[WorkloadSpec] = []

    def look(spec: WorkloadSpec) -> str:
        seen.append(spec)
        return ""

    stage.world.reject = look
    return seen


def test_the_token_of_an_attempt_is_the_same_on_every_submission(cast: Cast, stage: Stage) -> None:
    specs = spied(stage)
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn()
    stage.world.workloads.clear()
    Attempt.objects.update(submitted_at=None)
    stage.turn()
    tokens = [spec.secrets["FATHOM_TOKEN"] for spec in specs]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert ApiToken.objects.get().bound_to == f"run:{experiment.pk}"


def test_the_token_ends_with_the_attempt(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage, retries=1)
    token = ApiToken.objects.get(bound_to=f"run:{experiment.pk}")
    assert token.is_live
    stage.world.workloads[attempt_of(experiment).handle].plan = FakePlan(exit_code=1)
    stage.turn()
    token.refresh_from_db()
    assert not token.is_live
    stage.plan(duration=None)
    stage.turn(times=2)
    assert ApiToken.objects.live().count() == 1


def test_a_job_gets_what_it_is_promised(cast: Cast, stage: Stage) -> None:
    specs = spied(stage)
    experiment = stage.submit(cast.alice, env={"A": "1"}, resources={"cpu": "250m", "memory": "64Mi", "gpu": 1})
    stage.turn()
    (spec,) = specs
    assert spec.command[-3:] == ("/bin/sh", "-c", "true")
    told = {name: spec.env[name] for name in ("A", "FATHOM_RUN_ID", "FATHOM_EXPERIMENT_ID", "FATHOM_ATTEMPT")}
    assert told == {
        "A": "1",
        "FATHOM_RUN_ID": str(experiment.pk),
        "FATHOM_EXPERIMENT_ID": str(experiment.pk),
        "FATHOM_ATTEMPT": "1",
    }
    assert set(spec.secrets) == {"FATHOM_TOKEN"}
    assert spec.env["MLFLOW_RUN_ID"] == experiment.pk.hex
    assert spec.env["MLFLOW_EXPERIMENT_ID"] == str(experiment.run.project.number)
    assert spec.env["MLFLOW_TRACKING_URI"] == settings.FATHOM_URL
    assert "MLFLOW_TRACKING_TOKEN" in spec.command[2]
    assert spec.secrets["FATHOM_TOKEN"] not in " ".join([*spec.command, *spec.env.values()])
    assert (spec.resources.cpu_milli, spec.resources.memory_bytes, spec.resources.gpu_milli) == (250, 64 << 20, 1000)


def test_a_job_with_a_tracking_server_of_its_own_is_left_alone(cast: Cast, stage: Stage) -> None:
    specs = spied(stage)
    stage.submit(cast.alice, env={"MLFLOW_TRACKING_URI": "http://elsewhere"})
    stage.turn()
    (spec,) = specs
    assert {name for name in spec.env if name.startswith("MLFLOW")} == {"MLFLOW_TRACKING_URI"}
    assert spec.command == ("/bin/sh", "-c", "true")


def test_a_job_is_given_its_code(cast: Cast, stage: Stage) -> None:
    CodeUpload.objects.create(owner=cast.alice, sha256="a" * 64, format="zip", size_bytes=7)
    specs = spied(stage)
    stage.submit(cast.alice, code={"upload": f"sha256:{'a' * 64}"})
    stage.turn()
    code = specs[0].code
    assert code is not None
    assert (code.sha256, code.format, code.size_bytes) == ("a" * 64, "zip", 7)
    assert code.path == str(blobs.path_of("a" * 64))


def test_a_database_that_goes_away_is_everybodys_trouble(
    cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any) -> None:
        raise OperationalError

    stage.submit(cast.alice)
    monkeypatch.setattr(advance, "build_spec", away)
    with pytest.raises(OperationalError):
        stage.turn()


def test_rows_are_named_in_words(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice, name="n")
    stage.turn()
    attempt = attempt_of(experiment)
    assert str(fresh(experiment)) == "n"
    assert str(attempt) == attempt.handle == f"fth-{experiment.workload_id.hex}-1"
    assert [str(event) for event in WorkloadEvent.objects.order_by("seq")] == [
        " \u2192 queued",
        "queued \u2192 starting",
    ]
