"""What becomes of the jobs of somebody who leaves. Registered with accounts at start."""

from collections.abc import Iterator

from apps.accounts import services as accounts
from apps.accounts.choices import Jobs
from apps.accounts.handlers import Departure, Effect, some
from apps.audit import services as audit
from apps.compute.choices import DesiredState, State
from apps.compute.models import Workload
from apps.compute.services import request_stop

_NOTE = "Whose it is has left. It may finish; it is not tried again."


def settle_jobs(departure: Departure) -> Iterator[Effect]:
    """Cancel what waits. Stop what runs; or let it finish once, with a note on it and its run token alive.

    The loops do the stopping: here it is asked for, in the transaction that ends the account.
    """
    rows = Workload.objects.filter(user=departure.user).active().exclude(desired_state=DesiredState.STOP)
    active = list(rows.order_by("pk"))
    waiting = [row for row in active if row.state == State.QUEUED]
    running = [row for row in active if row.state != State.QUEUED]
    yield _stop(waiting, departure, "waiting jobs cancelled")
    if departure.jobs == Jobs.STOP:
        yield _stop(running, departure, "running jobs stopped")
        return
    accounts.keep_run_tokens(departure.user, [row.subject for row in running])
    for row in running:
        Workload.objects.filter(pk=row.pk).update(retries_left=0, message=_NOTE)
        audit.record("let_finish", row, by=departure.by, reason=departure.reason)
    yield Effect("running jobs left to finish", len(running), some(running))


def _stop(rows: list[Workload], departure: Departure, words: str) -> Effect:
    reason = f"{departure.user} has left: {departure.reason}"
    for row in rows:
        request_stop(row, by=departure.by, reason=reason)
        audit.record("stop", row, by=departure.by, reason=reason)
    return Effect(words, len(rows), some(rows))
