"""One step of one workload, given what its backend said. Every step is safe to repeat."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Case, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from apps.compute import handlers, held, registry
from apps.compute.backends.base import Backend, EnvironmentGone, Rejected, Unavailable
from apps.compute.choices import POLL_SECONDS, DesiredState, State
from apps.compute.contract import Observation, Phase, WorkloadSpec
from apps.compute.lifecycle import finish, transition
from apps.compute.models import Attempt, Workload
from apps.compute.reconcile.launch import build_spec, explained
from apps.compute.times import later
from apps.core import failpoints
from apps.core.blobs import Missing
from apps.core.errors import KeyUnavailable, SealBroken, Unready
from apps.credentials import services as credentials

logger = structlog.get_logger(__name__)

MISSING_TWICE = timedelta(seconds=2)  # between the two looks that must both find nothing
_OVERDUE = timedelta(seconds=30)  # how long after its limit the platform itself stops what the backend did not
_ACTOR = "reconcile"


def backend_of(attempt: Attempt) -> Backend:
    return registry.connect(attempt.cluster.kind, attempt.cluster.settings)


def start(workload: Workload, attempt: Attempt) -> None:
    """Hand an admitted attempt to its backend. Raises: Stale."""
    failpoints.hit("backend.before_create")
    spec = _spec(workload, attempt)
    if spec is None:
        return
    try:
        backend_of(attempt).submit(attempt.handle, spec)
    except Rejected as error:
        _end(workload, attempt, State.FAILED, Observation(Phase.FAILED, "Rejected", str(error)))
        return
    except EnvironmentGone as error:
        handlers.environments().forget(workload.template["environment"], attempt.cluster)
        _wait(workload, f"waiting: {error}; it is built again")
        return
    except Unavailable as error:
        _wait(workload, f"waiting: the cluster {attempt.cluster} cannot be reached ({error})")
        return
    failpoints.hit("backend.after_create")
    Attempt.objects.filter(pk=attempt.pk, submitted_at=None).update(submitted_at=Now())
    failpoints.hit("attempt.after_persist_handle")


def _spec(workload: Workload, attempt: Attempt) -> WorkloadSpec | None:
    """Return what its backend is given; None when it must wait for something of it, or has ended for want of it."""
    wanted, source = workload.template.get("environment"), workload.template.get("source")
    if source and not _has(workload, attempt, handlers.sources().prepare(source), held.UNFETCHED):
        return None
    built = handlers.environments().prepare(wanted, attempt.cluster) if wanted else None
    if built and not _has(workload, attempt, built, held.FAILED):
        return None
    try:
        return replace(build_spec(workload, attempt), environment=built.key if built else "")
    except (credentials.Refused, SealBroken) as error:
        _end(workload, attempt, State.FAILED, Observation(Phase.FAILED, "CredentialRefused", str(error)))
    except KeyUnavailable as error:
        _wait(workload, f"waiting: its credentials cannot be opened ({error})")
    except Unready as error:
        _wait(workload, f"waiting: its code cannot be read ({error})")
    except Missing as error:
        _end(workload, attempt, State.FAILED, Observation(Phase.FAILED, "CodeMissing", str(error)))
    return None


def _has(workload: Workload, attempt: Attempt, found: handlers.Prepared, reason: str) -> bool:
    """Say whether something it needs is there; if not, it waits for it, or has ended for want of it."""
    if found.has_failed:
        _end(workload, attempt, State.FAILED, Observation(Phase.FAILED, reason, found.said))
    elif not found.key:
        _wait(workload, found.said)
    return bool(found.key)


def advance(workload: Workload, attempt: Attempt, seen: Observation, asked_at: float) -> None:
    """Take the one step that follows from `seen`, for which the backend was asked at `asked_at` (monotonic).

    Raises: Stale when the lease was lost.
    """
    if seen.phase is Phase.UNKNOWN:
        _wait(workload, workload.message)
        return
    if seen.phase.is_final:
        failpoints.hit("observe.after_exit_seen")
        _end(workload, attempt, _verdict(workload, seen), seen)
        return
    # What runs is charged up to here: it may have ended since the backend was asked, whatever kept this worker meanwhile.
    Workload.objects.filter(pk=workload.pk).update(last_seen_at=later(asked_at - time.monotonic()))
    if seen.phase is Phase.MISSING:
        _missing(workload, attempt)
    elif workload.desired_state == DesiredState.STOP or _is_overdue(workload, attempt):
        _stop(workload, attempt)
    elif seen.phase is Phase.RUNNING and workload.state == State.STARTING:
        _running(workload, attempt, seen)
    else:
        _wait(workload, "" if seen.phase is Phase.RUNNING else seen.message)


def _verdict(workload: Workload, seen: Observation) -> str:
    if seen.phase is Phase.SUCCEEDED:
        return State.SUCCEEDED
    asked = workload.desired_state == DesiredState.STOP and seen.reason == "Stopped"
    return State.STOPPED if asked else State.FAILED


def _end(workload: Workload, attempt: Attempt, verdict: str, seen: Observation) -> None:
    seen = explained(workload, seen)
    message, reason = seen.message, seen.reason
    if verdict == State.STOPPED and workload.stop_cause:
        message = workload.stop_cause
    if verdict == State.FAILED and reason == "Stopped":
        reason, message = "TimedOut", f"stopped: it ran longer than its limit of {workload.timeout_seconds} s"
    finish(
        workload,
        attempt,
        verdict,
        epoch=workload.lease_epoch,
        actor=_ACTOR,
        reason=reason,
        message=message,
        exit_code=seen.exit_code,
        started_at=seen.started_at,
        finished_at=seen.finished_at,
        use=seen.use,
    )
    failpoints.hit("finish.after_commit")


def _missing(workload: Workload, attempt: Attempt) -> None:
    """It is not there. Never started: start it, or see that it never starts. Started: convict only after a second look."""
    if attempt.submitted_at is None:
        step = _stop if workload.desired_state == DesiredState.STOP else start
        step(workload, attempt)
        return
    rows = Workload.objects.filter(pk=workload.pk, lease_epoch=workload.lease_epoch)
    if workload.missing_since is None:
        rows.update(missing_since=Now(), next_reconcile_at=later(MISSING_TWICE.total_seconds()))
    elif rows.filter(missing_since__lte=later(-MISSING_TWICE.total_seconds())).exists():  # by the clock that wrote it
        gone = f"the cluster {attempt.cluster} no longer knows it: its process vanished without a verdict"
        stopped = workload.desired_state == DesiredState.STOP
        seen = Observation(Phase.MISSING, "Stopped" if stopped else "Vanished", gone)
        _end(workload, attempt, State.STOPPED if stopped else State.LOST, seen)


def _stop(workload: Workload, attempt: Attempt) -> None:
    try:
        backend_of(attempt).stop(attempt.handle, grace=timedelta(seconds=workload.grace_seconds))
    except Unavailable as error:
        _wait(workload, f"stopping: the cluster {attempt.cluster} cannot be reached ({error})")
        return
    failpoints.hit("cancel.after_kill")
    cause = workload.stop_cause or "its time limit has passed"
    if workload.state == State.STOPPING:
        _wait(workload, workload.message)
        return
    facts = {"reason": "Stopping", "message": cause, "missing_since": None}
    transition(workload, State.STOPPING, actor=_ACTOR, epoch=workload.lease_epoch, **facts)


def _is_overdue(workload: Workload, attempt: Attempt) -> bool:
    if workload.timeout_seconds is None or attempt.started_at is None:
        return False
    return timezone.now() > attempt.started_at + timedelta(seconds=workload.timeout_seconds) + _OVERDUE


def _running(workload: Workload, attempt: Attempt, seen: Observation) -> None:
    started: Any = seen.started_at or timezone.now()
    failpoints.hit("run.before_running_commit")
    submitted = Coalesce("submitted_at", Now())  # unless whoever submitted it died before he could say so
    Attempt.objects.filter(pk=attempt.pk, started_at=None).update(started_at=started, submitted_at=submitted)
    transition(
        workload,
        State.RUNNING,
        actor=_ACTOR,
        epoch=workload.lease_epoch,
        started_at=started,
        missing_since=None,
    )


def _wait(workload: Workload, message: str) -> None:
    """Nothing to do now: say why, look again later, the later the longer it has been so (up to 30 s)."""
    quiet = (timezone.now() - workload.state_changed_at).total_seconds()
    pause = min(30.0, max(POLL_SECONDS[workload.state], quiet / 60))
    rows = Workload.objects.filter(pk=workload.pk, lease_epoch=workload.lease_epoch)
    # A stop that was asked for since this workload was read must not wait for the pause to pass.
    unasked = When(desired_state=workload.desired_state, then=later(pause))
    rows.update(message=message, missing_since=None, next_reconcile_at=Case(unasked, default=Now()), lease_until=None)


def push_back(workload: Workload, seconds: float) -> None:
    """Look again in `seconds`, whatever happened."""
    rows = Workload.objects.filter(pk=workload.pk, lease_epoch=workload.lease_epoch)
    rows.update(next_reconcile_at=later(seconds), lease_until=None)
