"""Writes on artifacts."""

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
from apps.tracking import media, tickets
from apps.tracking.models import Artifact, Run
from apps.tracking.paths import ancestors, clean_path


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
    Raises: NotAllowed, Invalid, TooLarge, Conflict when a folder has this path, or one of its folders is a file.
    """
    policy.require(by, "log", run)
    name = clean_path(path)
    limit = settings.ARTIFACT_LIMIT_BYTES
    if size_bytes is not None and size_bytes > limit:
        msg = f"The upload is larger than {limit} bytes."
        raise TooLarge(msg)
    _require_free(run, name)
    blob = blobs.write(_whole(chunks, size_bytes), limit=limit, expected_sha256=sha256)
    failpoints.hit("artifact.after_write_before_row")
    return _record(run, name, blob, media.content_type_of(name, content_type))


@transaction.atomic
def delete_artifact(artifact: Artifact, *, by: Any) -> None:
    """Take a file out of its run. Its bytes stay in the store. Audited. Raises: NotAllowed."""
    policy.require(by, "delete", artifact)
    audit.record("delete", artifact, by=by, path=artifact.path, sha256=artifact.sha256)
    Artifact.objects.filter(pk=artifact.pk).delete()


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


@transaction.atomic
def _record(run: Run, path: str, blob: Blob, content_type: str) -> tuple[Artifact, bool]:
    # LOCKING: one upload of a run is recorded at a time, so that no file and folder can have the same path.
    lock_row(Run.objects.filter(pk=run.pk))
    _require_free(run, path)
    content = {"sha256": blob.sha256, "size_bytes": blob.size_bytes, "content_type": content_type, "created_at": Now()}
    artifact, is_new = Artifact.objects.update_or_create(run=run, path=path, defaults=content)
    artifact.refresh_from_db()
    return artifact, is_new


def _require_free(run: Run, path: str) -> None:
    files = Artifact.objects.filter(run=run)
    if (above := files.filter(path__in=ancestors(path)).first()) is not None:
        msg = f"{above.path} is a file, not a folder."
        raise Conflict(msg)
    if files.below(path).exists():
        msg = f"{path} is a folder."
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
