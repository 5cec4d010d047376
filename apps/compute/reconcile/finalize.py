"""After the end: store the rest of the log, then let the backend forget the attempt."""

from django.db.models.functions import Now

from apps.compute import logs
from apps.compute.backends.base import Backend, Inventory
from apps.compute.choices import TERMINAL
from apps.compute.models import Attempt, Workload
from apps.compute.reconcile.advance import backend_of
from apps.core import failpoints
from apps.core.announcements import announce

_PIECE = 1 << 20
_PIECES_PER_TURN = 16


def finalize(workload: Workload) -> None:
    """Account for every ended attempt of a finished or requeued workload; then nothing looks at it any more.

    Raises: Unavailable; the next turn goes on.
    """
    rows = Workload.objects.filter(pk=workload.pk, lease_epoch=workload.lease_epoch, state__in=TERMINAL)
    for attempt in workload.attempts.filter(removed_at=None).exclude(verdict="").select_related("cluster"):
        if not drain(backend_of(attempt), attempt):
            rows.update(lease_until=None)
            return
        announce(workload.subject, {"type": "log.end"})
        forget(attempt)
    rows.update(next_reconcile_at=None, lease_until=None)


def drain(backend: Backend, attempt: Attempt) -> bool:
    """Copy the rest of the log; false when there is more than one turn's worth."""
    if attempt.log_ended_at is not None:
        return True
    for _ in range(_PIECES_PER_TURN):
        if not collect(backend, attempt):
            logs.end(attempt.pk)
            return True
    return False


def collect(backend: Backend, attempt: Attempt) -> int:
    """Copy one piece of the log into the store and return its length; 0 when there is nothing new."""
    chunk = backend.read_log(attempt.handle, offset=attempt.log_bytes, limit=_PIECE)
    if not chunk.data:
        return 0
    if logs.append(attempt.pk, attempt.log_bytes, chunk.data):
        attempt.log_bytes += len(chunk.data)
    else:
        attempt.refresh_from_db(fields=["log_bytes", "log_ended_at"])
    failpoints.hit("log.after_chunk")
    return len(chunk.data)


def forget(attempt: Attempt) -> None:
    backend = backend_of(attempt)
    failpoints.hit("finalizer.before_remove")
    if isinstance(backend, Inventory):
        backend.remove(attempt.handle)
    failpoints.hit("finalizer.after_remove")
    Attempt.objects.filter(pk=attempt.pk).update(removed_at=Now())
