"""Keeping the store: which blobs are wanted, and the collection of those that are not.

LOCKING: a blob's row is locked while its bytes are deleted, although that may be a call to another machine: whoever
begins to keep the same bytes waits for it, finds the row gone and writes them anew. Any other order has a moment in which
a fresh upload is lost (docs/adr/0026).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Min, Sum
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.audit import services as audit
from apps.core import blobs, failpoints
from apps.core.blobs import Blob as Stored
from apps.core.errors import Unready
from apps.core.locks import claim_rows, pin_rows
from apps.storage import handlers
from apps.storage.handlers import Group
from apps.storage.models import Blob, Collection
from apps.storage.querysets import grace

logger = structlog.get_logger(__name__)

_AT_ONCE = 100
_TOUCH = """
    INSERT INTO storage_blob AS b (sha256, size_bytes, touched_at) SELECT %s, %s, clock_timestamp() {quick}
        ON CONFLICT (sha256) DO UPDATE SET touched_at = clock_timestamp(), doomed_at = NULL
"""


@dataclass(frozen=True, slots=True)
class Heap:
    """So many blobs, with the time of the oldest."""

    count: int
    bytes: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a collection would do now: rows that expire, blobs that would be marked, and those that would be swept."""

    expiring: Sequence[Group]
    markable: Heap
    waiting: Heap
    sweepable: Heap
    grace: timedelta

    @property
    def does_nothing(self) -> bool:
        return not (self.expiring or self.markable.count or self.sweepable.count)


def note_blob(blob: Stored) -> None:
    """Write down that somebody begins to keep these bytes; called before they can be found in the store."""
    # This commit need not wait for the disk: what a crash takes back of it, the age of the bytes themselves says. Within
    # somebody's transaction it would be his that does not wait.
    quick = "" if connection.in_atomic_block else "FROM set_config('synchronous_commit', 'off', true)"
    with connection.cursor() as cursor:
        cursor.execute(_TOUCH.format(quick=quick), [blob.sha256, blob.size_bytes])


def require_kept(*sha256: str) -> None:
    """Hold blobs in the transaction that writes rows which refer to them. Raises: Unready when one was swept meanwhile."""
    if not pin_rows(Blob, set(sha256)):
        msg = "These bytes were not kept meanwhile. Send them again."
        raise Unready(msg)


def preview(*, by: Any) -> Preview:
    """Say what a collection would do now. Changes nothing. Raises: NotAllowed unless `by` may look at the store."""
    if not getattr(by, "is_auditor", False):
        policy.require_admin(by)
    rows = Blob.objects.all()
    return Preview(
        expiring=[group for expiry in handlers.expiries() for group in expiry.preview()],
        markable=_heap(rows.markable(), "touched_at"),
        waiting=_heap(rows.doomed(), "doomed_at"),
        sweepable=_heap(rows.sweepable(), "doomed_at"),
        grace=grace(),
    )


def collect(*, by: Any, reason: str = "") -> Collection:
    """Let expire what its rule says, mark the blobs that nobody refers to, sweep those marked long enough. Audited.

    Safe to interrupt, to repeat and to run twice at once. Raises: NotAllowed, Unready when the store does not answer.
    """
    policy.require_admin(by)
    done = Collection(asked_by=str(by)[:150])
    for expiry in handlers.expiries():
        count, size = expiry.carry_out()
        done.expired += count
        done.expired_bytes += size
    _adopt_strays()
    with transaction.atomic():
        done.marked = Blob.objects.markable().update(doomed_at=Now())
    _tidy()
    try:
        while (swept := _sweep_some()) is not None:
            done.swept += swept[0]
            done.swept_bytes += swept[1]
    finally:
        _write_down(done, by, reason)
    return done


@transaction.atomic
def _write_down(done: Collection, by: Any, reason: str) -> None:
    if done.expired or done.marked or done.swept or reason:
        done.save(force_insert=True)
        told = {"expired": done.expired, "marked": done.marked, "swept": done.swept, "bytes": done.swept_bytes}
        audit.record("collect", done, by=by, reason=reason, **told)


@transaction.atomic
def _sweep_some() -> tuple[int, int] | None:
    """Delete the bytes and the rows of some blobs; None when there is nothing left to sweep."""
    claimed = claim_rows(Blob.objects.sweepable().order_by("pk"), limit=_AT_ONCE, no_key=False)
    # Judged again now that they are locked: what was referred to or touched before the lock was there stays.
    rows = list(Blob.objects.filter(pk__in=[row.pk for row in claimed]).sweepable())
    if not rows:
        return None
    store = blobs.store()
    for row in rows:
        failpoints.hit("garbage.before_delete")
        store.delete(row.pk)
        failpoints.hit("garbage.after_delete")
        logger.info("blob_swept", sha256=row.pk, bytes=row.size_bytes)
    Blob.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows), sum(row.size_bytes for row in rows)


def _adopt_strays() -> None:
    """Give a row to what lies in the store without one, so that it is marked and swept like everything else."""
    before = timezone.now() - grace()
    page = []
    for found in blobs.store().walk():
        if found.modified_at < before:
            page.append(found)
        if len(page) >= _AT_ONCE * 10:
            _adopt(page)
            page = []
    _adopt(page)


def _adopt(page: list[blobs.Found]) -> None:
    rows = [Blob(sha256=found.sha256, size_bytes=found.size_bytes, touched_at=found.modified_at) for found in page]
    Blob.objects.bulk_create(rows, ignore_conflicts=True)


def _tidy() -> None:
    """Remove from the store what uploads left that were broken off long ago and that no row knows."""
    before = timezone.now() - timedelta(hours=settings.UPLOAD_HOURS) - grace()
    for name in blobs.store().leftovers(before):
        logger.info("upload_left_over", name=name)
        blobs.store().abort(name, "")


def _heap(rows: Any, field: str) -> Heap:
    found = rows.aggregate(count=Count("pk"), bytes=Sum("size_bytes"), oldest=Min(field))
    return Heap(found["count"], int(found["bytes"] or 0), found["oldest"])
