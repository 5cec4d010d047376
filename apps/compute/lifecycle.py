"""The only writer of `Workload.state`."""

from typing import Any

from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now

from apps.accounts import services as accounts
from apps.budgets import services as budgets
from apps.compute import handlers, uses
from apps.compute.choices import POLL_SECONDS, TERMINAL, TRANSITIONS, DesiredState, State
from apps.compute.contract import Use
from apps.compute.models import Attempt, Workload
from apps.compute.times import later, milliseconds
from apps.core import failpoints
from apps.core.transitions import compare_and_swap
from apps.quotas import services as quotas

_EVENT = """
    INSERT INTO compute_workloadevent (workload_id, seq, attempt_no, from_state, to_state, actor, reason, message)
    VALUES (%(workload)s, %(seq)s, %(attempt)s, %(from)s, %(to)s, %(actor)s, %(reason)s, %(message)s)
"""


_FOR_GOOD = frozenset(
    {"TimedOut", "Rejected", "CredentialRefused", "EnvironmentFailed", "CodeFailed"}
)  # tried again it would be no better


@transaction.atomic
def transition(workload: Workload, to: str, **facts: Any) -> None:
    """`move` in a transaction of its own. Raises: Stale."""
    move(workload, to, **facts)


def move(
    workload: Workload,
    to: str,
    *,
    actor: Any,
    reason: str = "",
    message: str = "",
    epoch: int | None = None,
    **changes: Any,
) -> None:
    """Move a workload to `to`: row, event, owners' handlers, all in the caller's transaction.

    With `epoch` the move holds only while the lease of that epoch is still the newest.
    Raises: Stale when somebody moved it, or took the lease, meanwhile.
    """
    from_state = workload.state
    guard = {} if epoch is None else {"lease_epoch": epoch}
    next_look = Now() if to in TERMINAL else later(POLL_SECONDS[to])
    stamps = {
        "reason": reason,
        "message": message,
        "state_changed_at": Now(),
        "next_reconcile_at": next_look,
        **changes,
    }
    compare_and_swap(workload, expected=from_state, to=to, allowed=TRANSITIONS, guard=guard, **stamps)
    _note(workload, from_state, actor=str(actor)[:150], reason=reason, message=message)
    handlers.tell(workload, from_state)


def _note(workload: Workload, from_state: str, **said: str) -> None:
    """Write the event: in SQL, since every job waits for two of them."""
    facts: dict[str, Any] = {
        "seq": workload.state_version,
        "attempt": workload.attempt_no,
        "from": from_state,
        "to": workload.state,
    }
    with connection.cursor() as cursor:
        cursor.execute(_EVENT, {"workload": workload.pk, **facts, **said})


@transaction.atomic
def finish(workload: Workload, attempt: Attempt, verdict: str, *, epoch: int, actor: Any, **facts: Any) -> None:
    """Record the end of an attempt, give back what it held, charge it, and end the workload or queue the next attempt.

    `facts`: reason, message, exit_code, started_at, finished_at (None: now), use. Raises: Stale.
    """
    started = facts.get("started_at") or attempt.started_at
    evidence = facts.get("finished_at")
    quotas.release(attempt.handle)  # LOCKING: limit rows, then those of budgets, before the workload row
    used = uses.columns(attempt, facts.get("use") or Use())
    seconds = used.get("cpu_seconds", attempt.cpu_seconds)
    ran = milliseconds(started, evidence or workload.missing_since or workload.last_seen_at)
    budgets.close(attempt.handle, ran, cpu_ms=uses.cpu_ms(seconds))
    end = max(evidence, started or evidence) if evidence else Greatest(Value(started), Now()) if started else Now()
    ended: dict[str, Any] = {"exit_code": facts.get("exit_code"), "started_at": started, "finished_at": end}
    told = {"reason": facts["reason"], "message": facts["message"]}
    Attempt.objects.filter(pk=attempt.pk, verdict="").update(verdict=verdict, **told, **ended, **used)
    accounts.revoke_bound_tokens(workload.subject)
    failpoints.hit("finish.before_commit")
    said: dict[str, Any] = {**told, "actor": actor, "epoch": epoch}
    if workload.resumes and workload.state == State.STOPPING:  # whatever it said when it was told to stop
        resumed: dict[str, Any] = {
            "desired_state": DesiredState.RUN,
            "stop_cause": "",
            "resumes": False,
            "missing_since": None,
        }
        said |= {"reason": "Preempted", "message": f"{workload.stop_cause}; it starts again when there is room"}
        move(workload, State.QUEUED, **said, **resumed)
        return
    if _runs_again(workload, verdict, facts["reason"]):
        move(workload, State.QUEUED, **said, retries_left=F("retries_left") - 1, queued_at=Now(), missing_since=None)
        return
    move(workload, verdict, **said, **ended, missing_since=None, resumes=False)


def _runs_again(workload: Workload, verdict: str, reason: str) -> bool:
    """Say whether an ended attempt is followed by another: not when it was being stopped, was too slow, or was refused."""
    is_wanted = workload.desired_state == DesiredState.RUN and workload.state != State.STOPPING
    failed = verdict in (State.FAILED, State.LOST) and reason not in _FOR_GOOD
    return is_wanted and failed and workload.retries_left > 0
