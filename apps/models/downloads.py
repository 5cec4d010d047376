"""A version's files on the content origin: one at a time, or all of them as a zip that is made while it is sent."""

import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from apps.audit.services import refused
from apps.core.errors import NotFound
from apps.models.files import open_file
from apps.models.models import ModelVersion, VersionFile
from apps.tracking.handlers import Made, Source
from apps.tracking.handlers import serve as served
from apps.tracking.services import content_link

_FILES, _ARCHIVES = "model-files", "model-archives"
_LABEL = "registry.modelversion"
_CHUNK = 256 << 10


def serve() -> None:
    """Make versions known to the content origin."""
    served(_FILES, Source(_LABEL, _file))
    served(_ARCHIVES, Source(_LABEL, _archive))


def file_link(version: UUID, path: str, *, by: Any) -> str:
    """Return a link to one file, for `by` alone, good for five minutes."""
    return content_link(version, path, by=by, kind=_FILES)


def archive_link(version: ModelVersion, *, by: Any) -> str:
    """Return a link to all files as a zip, for `by` alone, good for five minutes."""
    return content_link(version.pk, f"{_plain(version.model.name)}-{version.number}.zip", by=by, kind=_ARCHIVES)


def _file(user: Any, ticket: Any) -> VersionFile:
    rows: Any = VersionFile.objects.visible_to(user, "view")
    found = rows.filter(version_id=ticket.run, path=ticket.path, version__archived_at=None).first()
    if found is None:
        raise refused(user, "view", _LABEL, NotFound(), object_id=str(ticket.run))
    file: VersionFile = found
    return file


def _archive(user: Any, ticket: Any) -> Made:
    version = ModelVersion.objects.visible_to(user, "view").live().filter(pk=ticket.run).first()
    if version is None:
        raise refused(user, "view", _LABEL, NotFound(), object_id=str(ticket.run))
    files = list(version.files.order_by("path").values_list("path", "sha256"))
    return Made(ticket.path, "application/zip", lambda: _zipped(files))


def _zipped(files: list[tuple[str, str]]) -> Iterator[bytes]:
    """Yield a zip, stored without compression: models hardly shrink, and the first byte comes at once."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]  # it only writes
        for path, sha256 in files:
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o644 << 16
            with open_file(sha256) as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    yield from sink.taken()
            yield from sink.taken()
    yield from sink.taken()


class _Sink:
    """What a zip is written into: it holds what was not yet sent."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        return None

    def taken(self) -> Iterator[bytes]:
        held, self._held = b"".join(self._held), []
        if held:
            yield held


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)[:100] or "model"
