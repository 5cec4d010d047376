"""Writes on artifacts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.core import blobs, failpoints
from apps.core.blobs import Blob
from apps.core.errors import Conflict, Invalid, NotFound, TooLarge
from apps.core.locks import lock_row
from apps.quotas.models import QuotaNode
from apps.storage import services as storage
from apps.tracking import media, tickets
from apps.tracking.models import Artifact, Run
from apps.tracking.paths import ancestors, clean_path
from apps.tracking.services.charging import count, payer_of, require_room

_WORTH_ASKING = 1 << 20  # smaller ones are written sooner than it is asked whether they fit; it is judged when they are
_DIRECT_SECONDS = 60  # to begin in: removed access must not outlive it by much


def save_artifact(
    run: Run,
    path: str,
    chunks: Iterable[bytes],
    *,
    by: Any,
    content_type: str = "",
    sha256: str = "",
    size_bytes: int | None = None,
) -> tuple[Artifact, bool]:
    """Keep a file under its path, replacing what was there; the second result says whether the path is new.

    `sha256` and `size_bytes`, where given, are checked against what arrives.
    Raises: NotAllowed, Invalid, TooLarge, OverQuota, Conflict when a folder has this path, or one of its folders is a file.
    """
    policy.require(by, "log", run)
    name = clean_path(path)
    limit = settings.ARTIFACT_LIMIT_BYTES
    if size_bytes is not None and size_bytes > limit:
        msg = f"The upload is larger than {limit} bytes."
        raise TooLarge(msg)
    require_free(run, name)
    payer = payer_of(run, by=by)
    if (size_bytes or 0) > _WORTH_ASKING:
        require_room(payer, size_bytes or 0)
    blob = blobs.write(_whole(chunks, size_bytes), limit=limit, expected_sha256=sha256)
    failpoints.hit("artifact.after_write_before_row")
    return record(run, name, blob, payer=payer, content_type=content_type)


@transaction.atomic
def delete_artifact(artifact: Artifact, *, by: Any) -> None:
    """Take a file out of its run. Its bytes stay in the store until a collection. Audited. Raises: NotAllowed."""
    policy.require(by, "delete", artifact)
    # LOCKING: whoever replaces the file meanwhile pays for the new one, and this gives back what it found.
    lock_row(Run.objects.filter(pk=artifact.run_id))
    found = Artifact.objects.filter(pk=artifact.pk).select_related("quota_node").first()
    if found is None:
        return
    audit.record("delete", artifact, by=by, path=artifact.path, sha256=found.sha256)
    found.delete()
    if found.quota_node is not None:
        count(found.quota_node, -found.size_bytes)


@transaction.atomic
def delete_files(run: Run, path: str, *, by: Any) -> int:
    """Take a file, or all files below a folder ("" is the run's top), out of a run; return how many. Audited, as one.

    Raises: NotAllowed.
    """
    policy.require(by, "delete", run)
    lock_row(Run.objects.filter(pk=run.pk))
    files = Artifact.objects.filter(run=run)
    found = list((files.below(path) | files.filter(path=path)).select_related("quota_node"))
    if not found:
        return 0
    sizes: dict[QuotaNode, int] = defaultdict(int)
    for artifact in found:
        if artifact.quota_node is not None:
            sizes[artifact.quota_node] += artifact.size_bytes
    files.filter(pk__in=[artifact.pk for artifact in found]).delete()
    audit.record("delete_files", run, by=by, path=path, files=len(found))
    for node in sorted(sizes, key=lambda node: node.pk):
        count(node, -sizes[node])
    return len(found)


@transaction.atomic
def pin_artifact(artifact: Artifact, *, by: Any, pinned: bool = True) -> None:
    """Keep a file whatever the rule of its project says, or let the rule decide again. Audited. Raises: NotAllowed."""
    policy.require(by, "log", artifact)
    if Artifact.objects.filter(pk=artifact.pk).exclude(is_pinned=pinned).update(is_pinned=pinned):
        audit.record("pin" if pinned else "unpin", artifact, by=by, path=artifact.path)
    artifact.is_pinned = pinned


def find_artifact(run: Run, path: str) -> Artifact:
    """Return the file at a path; the caller has judged that the run may be viewed. Raises: NotFound, Invalid."""
    found = Artifact.objects.filter(run=run, path=clean_path(path)).first()
    if found is None:
        raise NotFound
    result: Artifact = found
    return result


def artifact_link(run: Run, path: str, *, by: Any) -> str:
    """Return a link to the file on the content origin, for `by` alone, good for five minutes."""
    return tickets.link(run.pk, path, by=by)


def direct_link(artifact: Artifact) -> str | None:
    """Return an address from which the store itself gives the bytes for a minute, as a download; None: it does not.

    The caller has judged that the artifact may be viewed.
    """
    name = artifact.path.rpartition("/")[2]
    return blobs.store().sign_get(artifact.sha256, name, seconds=_DIRECT_SECONDS)


@transaction.atomic
def record(
    run: Run, path: str, blob: Blob, *, payer: QuotaNode, content_type: str, is_paid: bool = False
) -> tuple[Artifact, bool]:
    """Make what is in the store visible under a path, counted in the quota of `payer` (unless that was done: `is_paid`).

    For the services of this app: the caller has judged. Raises: Conflict, OverQuota, Unready.
    """
    storage.require_kept(blob.sha256)
    # LOCKING: one upload of a run is recorded at a time, so that no file and folder can have the same path.
    lock_row(Run.objects.filter(pk=run.pk))
    require_free(run, path)
    before = Artifact.objects.filter(run=run, path=path).select_related("quota_node").first()
    kept = {
        "sha256": blob.sha256,
        "size_bytes": blob.size_bytes,
        "content_type": media.content_type_of(path, content_type),
        "quota_node": payer,
    }
    if before is None:
        artifact: Artifact = Artifact.objects.create(run=run, path=path, **kept)
    else:
        Artifact.objects.filter(pk=before.pk).update(created_at=Now(), **kept)
        artifact = Artifact.objects.get(pk=before.pk)
    _settle(before, payer, 0 if is_paid else blob.size_bytes)
    return artifact, before is None


def _settle(before: Artifact | None, payer: QuotaNode, more: int) -> None:
    """Count the new and give the old back, in one step where one place pays for both."""
    if before is None or before.quota_node is None:
        count(payer, more)
    elif before.quota_node == payer:
        count(payer, more - before.size_bytes)
    else:
        count(before.quota_node, -before.size_bytes)
        count(payer, more)


def require_free(run: Run, path: str) -> None:
    """Refuse a path that a folder has, or below a file. Raises: Conflict."""
    files = Artifact.objects.filter(run=run)
    found = (files.filter(path__in=ancestors(path)) | files.below(path)).values_list("path", flat=True).first()
    if found is not None:
        msg = f"{path} is a folder." if found.startswith(f"{path}/") else f"{found} is a file, not a folder."
        raise Conflict(msg)


def _whole(chunks: Iterable[bytes], size_bytes: int | None) -> Iterator[bytes]:
    """Pass the chunks on; refuse an upload that ends before its announced size, as a lost connection makes it."""
    received = 0
    for chunk in chunks:
        received += len(chunk)
        yield chunk
    if size_bytes is not None and received != size_bytes:
        msg = f"The upload ended after {received} of {size_bytes} bytes."
        raise Invalid(msg)
