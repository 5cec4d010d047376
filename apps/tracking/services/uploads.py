"""Files that come in parts: begun, sent in any order and as often as need be, and visible when they are whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min, Sum
from django.db.models.functions import Now

from apps.access import policy
from apps.core import blobs, failpoints
from apps.core.blobs import MOST_PARTS, SMALLEST_PART, Blob
from apps.core.errors import Conflict, Invalid, NotFound, TooLarge
from apps.core.ids import new_id
from apps.storage.handlers import Group
from apps.tracking import tickets
from apps.tracking.models import Artifact, Run, Upload
from apps.tracking.paths import clean_path
from apps.tracking.services.artifacts import record, require_free
from apps.tracking.services.charging import count, payer_of, require_room

PART_BYTES = 16 << 20
_WHY = "uploads that were not completed in time"
LARGEST_PART = 512 << 20
MOST_OPEN = 200
MOST_LINKS = 100
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Link:
    """Where one part is to be put: at the store itself, or at the content origin."""

    number: int
    url: str
    is_direct: bool


def begin_upload(
    run: Run,
    path: str,
    *,
    by: Any,
    size_bytes: int,
    sha256: str,
    content_type: str = "",
    part_bytes: int = PART_BYTES,
) -> tuple[Upload | None, Artifact | None]:
    """Begin to send a file, or go on with the same file that was begun before.

    SECURITY: nobody gets bytes for their hash. The file is there at once, and nothing has to be sent, only when `by` may
    view a file with these bytes already; what others have is never told.
    Raises: NotAllowed, Invalid, TooLarge, OverQuota, Conflict.
    """
    policy.require(by, "log", run)
    name = clean_path(path)
    _check(size_bytes, sha256, part_bytes)
    require_free(run, name)
    begun = Upload.objects.open().of(by).filter(run=run, path=name, sha256=sha256, size_bytes=size_bytes).first()
    if begun is not None:
        return begun, None
    payer = payer_of(run, by=by)
    seen = Artifact.objects.visible_to(by, "view").filter(sha256=sha256, size_bytes=size_bytes)
    if seen.exists():
        return None, record(run, name, Blob(sha256, size_bytes), payer=payer, content_type=content_type)[0]
    part = max(part_bytes, -(-size_bytes // MOST_PARTS))
    upload = Upload(
        run=run,
        path=name,
        sha256=sha256,
        size_bytes=size_bytes,
        part_bytes=part,
        part_count=max(1, -(-size_bytes // part)),
        content_type=content_type[:120],
        quota_node=payer,
    )
    return _begin(upload, by), None


def begin_unmeasured_upload(run: Run, path: str, *, by: Any, parts: int, content_type: str = "") -> Upload:
    """Begin to send a file whose size and hash its sender does not tell. It is counted when it is whole.

    Raises: NotAllowed, Invalid, Conflict.
    """
    policy.require(by, "log", run)
    name = clean_path(path)
    if not 1 <= parts <= MOST_PARTS:
        raise Invalid(errors={"num_parts": [f"Between 1 and {MOST_PARTS}."]})
    require_free(run, name)
    payer = payer_of(run, by=by)
    require_room(payer, 1)
    return _begin(Upload(run=run, path=name, part_count=parts, content_type=content_type, quota_node=payer), by)


def _begin(upload: Upload, by: Any) -> Upload:
    if Upload.objects.open().of(by).count() >= MOST_OPEN:
        msg = f"You have {MOST_OPEN} uploads open. Complete or abort some of them."
        raise Conflict(msg)
    upload.id, upload.created_by_id = new_id(), by.pk
    upload.ref = blobs.store().begin(str(upload.pk))
    with transaction.atomic():
        upload.expires_at = Now() + timedelta(hours=settings.UPLOAD_HOURS)
        upload.save(force_insert=True)
        count(upload.quota_node, upload.size_bytes or 0)
    upload.refresh_from_db()
    return upload


def _check(size_bytes: int, sha256: str, part_bytes: int) -> None:
    limit = settings.ARTIFACT_LIMIT_BYTES
    if size_bytes > limit:
        msg = f"The upload is larger than {limit} bytes."
        raise TooLarge(msg)
    problems = {}
    if size_bytes < 0:
        problems["size_bytes"] = ["Must not be negative."]
    if len(sha256) != _SHA256_DIGITS or set(sha256) - set("0123456789abcdef"):
        problems["sha256"] = ["Expected 64 hexadecimal digits in small letters."]
    if not SMALLEST_PART <= part_bytes <= LARGEST_PART:
        problems["part_bytes"] = [f"Between {SMALLEST_PART} and {LARGEST_PART}."]
    if problems:
        raise Invalid(errors=problems)


def received_parts(upload: Upload) -> Mapping[int, int]:
    """Return the parts that are there: number and size. The caller has judged."""
    return {} if upload.completed_at else blobs.store().parts(str(upload.pk), upload.ref)


def part_links(upload: Upload, numbers: Sequence[int], *, by: Any) -> list[Link]:
    """Return where to put some parts: for `by` alone and for an hour. Raises: NotAllowed, Invalid, Conflict."""
    policy.require(by, "log", upload)
    _require_open(upload)
    if len(numbers) > MOST_LINKS or any(not 1 <= number <= upload.part_count for number in numbers):
        raise Invalid(errors={"parts": [f"At most {MOST_LINKS} numbers between 1 and {upload.part_count}."]})
    return [_link(upload, number, by) for number in numbers]


def _link(upload: Upload, number: int, by: Any) -> Link:
    size = upload.size_of(number)
    # What is not measured before would not be before it lies in the store: it comes through us.
    direct = size and blobs.store().sign_part(str(upload.pk), upload.ref, number, size, seconds=tickets.PART_SECONDS)
    return Link(number, direct or tickets.part_link(upload.pk, number, by=by), is_direct=bool(direct))


def largest_part(upload: Upload, number: int) -> int:
    """Return how many bytes a part may have. Raises: Invalid, Conflict."""
    _require_open(upload)
    if not 1 <= number <= upload.part_count:
        raise Invalid(errors={"part": [f"Between 1 and {upload.part_count}."]})
    size = upload.size_of(number)
    return min(LARGEST_PART, settings.ARTIFACT_LIMIT_BYTES) if size is None else size


def keep_part(upload: Upload, number: int, source: Path) -> None:
    """Keep one part, whose size was checked as it came, replacing what was sent as that part before.

    The caller has judged. Raises: NotFound when the upload is gone, TooLarge, Unready.
    """
    if upload.size_bytes is None:
        others = sum(size for part, size in received_parts(upload).items() if part != number)
        if others + source.stat().st_size > settings.ARTIFACT_LIMIT_BYTES:
            msg = f"The upload is larger than {settings.ARTIFACT_LIMIT_BYTES} bytes."
            raise TooLarge(msg)
    blobs.store().put_part(str(upload.pk), upload.ref, number, source)
    failpoints.hit("upload.after_part")


def complete_upload(upload: Upload, *, by: Any) -> Artifact:
    """Make one file of the parts, check it against what was promised, and show it. May be repeated.

    What turns out not to be what was promised is thrown away whole.
    Raises: NotAllowed, Conflict when parts are missing, Invalid, OverQuota, Unready.
    """
    policy.require(by, "log", upload.run)
    if upload.completed_at is not None:
        return _finished(upload)
    _require_open(upload)
    _require_parts(upload)
    try:
        blob = _joined(upload)
    except blobs.Missing:
        return _faster(upload)
    except Invalid:
        _forget(upload)
        raise
    failpoints.hit("upload.after_join_before_row")
    artifact = _show(upload, blob)
    blobs.store().abort(str(upload.pk), upload.ref)
    return artifact


def _joined(upload: Upload) -> Blob:
    expected = None if upload.size_bytes is None else Blob(upload.sha256, upload.size_bytes)
    return blobs.join(
        str(upload.pk), upload.ref, upload.part_count, expected=expected, limit=settings.ARTIFACT_LIMIT_BYTES
    )


@transaction.atomic
def _show(upload: Upload, blob: Blob) -> Artifact:
    if not Upload.objects.filter(pk=upload.pk, completed_at=None).update(completed_at=Now(), sha256=blob.sha256):
        fresh = Upload.objects.filter(pk=upload.pk).first()
        return _finished(fresh)
    shown, _ = record(
        upload.run,
        upload.path,
        blob,
        payer=upload.quota_node,
        content_type=upload.content_type,
        is_paid=upload.size_bytes is not None,
    )
    return shown


def _faster(upload: Upload) -> Artifact:
    """Return what a twin of this request has completed meanwhile. Raises: NotFound when it was aborted, Conflict."""
    fresh = Upload.objects.filter(pk=upload.pk).first()
    if fresh is not None and fresh.completed_at is None:
        msg = "Parts of it are missing. Send them again."
        raise Conflict(msg)
    return _finished(fresh)


def _finished(upload: Upload | None) -> Artifact:
    """Return what came of an upload that is complete. Raises: NotFound when it is not, or was replaced since."""
    found = None if upload is None else outcome_of(upload)
    if found is None:
        raise NotFound
    return found


def outcome_of(upload: Upload) -> Artifact | None:
    """Return the file that an upload became; None before, and when it was replaced since. The caller has judged."""
    if upload.completed_at is None:
        return None
    found: Artifact | None = Artifact.objects.filter(run=upload.run_id, path=upload.path, sha256=upload.sha256).first()
    return found


def _require_open(upload: Upload) -> None:
    if upload.completed_at is not None or not Upload.objects.open().filter(pk=upload.pk).exists():
        msg = "This upload is over. Begin again."
        raise Conflict(msg)


def _require_parts(upload: Upload) -> None:
    there = received_parts(upload)
    if not there and not blobs.store().is_local:
        return  # an earlier call may have joined them: the store will tell
    wanted = {number: upload.size_of(number) for number in range(1, upload.part_count + 1)}
    missing = [number for number, size in wanted.items() if there.get(number) != size and (size or number not in there)]
    if missing:
        shown = ", ".join(str(number) for number in missing[:20])
        msg = f"{len(missing)} of {upload.part_count} parts are missing or have another size: {shown}."
        raise Conflict(msg, missing=missing[:1000])


def abort_upload(upload: Upload, *, by: Any) -> None:
    """Give an upload up. Idempotent; what is complete stays. Raises: NotAllowed."""
    policy.require(by, "log", upload.run)
    _forget(upload)


def _forget(upload: Upload) -> bool:
    with transaction.atomic():
        gone = Upload.objects.filter(pk=upload.pk, completed_at=None).delete()[0]
        if gone:
            count(upload.quota_node, -(upload.size_bytes or 0))
    if gone:
        blobs.store().abort(str(upload.pk), upload.ref)
    return bool(gone)


class Expiry:
    """What was begun and not completed in time, before a collection of the store."""

    def preview(self) -> Sequence[Group]:
        """Say what would be given up now."""
        rows = Upload.objects.run_out().filter(completed_at=None).values("created_by__username", "run__project__name")
        found = rows.order_by("created_by__username").annotate(
            files=Count("pk"), size=Sum("size_bytes"), first=Min("created_at")
        )
        return [
            Group(
                row["created_by__username"],
                row["run__project__name"],
                row["files"],
                row["size"] or 0,
                row["first"],
                _WHY,
            )
            for row in found
        ]

    def carry_out(self) -> tuple[int, int]:
        """Give it up; what was completed long ago is only forgotten."""
        Upload.objects.run_out().exclude(completed_at=None).delete()
        ended, size = 0, 0
        for upload in Upload.objects.run_out().select_related("quota_node"):
            if _forget(upload):
                ended, size = ended + 1, size + (upload.size_bytes or 0)
        return ended, size
