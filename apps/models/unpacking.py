"""Uploads: a file, or an archive, put into the store file by file. Rows come later, all at once or not at all."""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from django.conf import settings

from apps.core import blobs
from apps.core.errors import DomainError, Invalid, TooLarge
from apps.models.files import Kept
from apps.tracking.services import artifact_path, content_type_of

FORMATS = {"application/zip": "zip", "application/gzip": "tar", "application/x-tar": "tar"}
MOST_FILES = 10_000
_CHUNK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class _Room:
    """How much may still be stored: of bytes and of files, so that a small archive cannot become a large one."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.left = settings.ARTIFACT_LIMIT_BYTES

    def keep(self, name: str, chunks: Iterable[bytes]) -> None:
        path = artifact_path(name.removeprefix("./"))
        if len(self.kept) >= MOST_FILES:
            msg = f"A version may have {MOST_FILES} files."
            raise TooLarge(msg)
        if path in self.kept:
            raise Invalid(errors={"files": [f"{path} is there twice."]})
        blob = blobs.write(chunks, limit=self.left)
        self.left -= blob.size_bytes
        self.kept[path] = Kept(path, blob.sha256, blob.size_bytes, content_type_of(path))


def store_files(files: Iterable[tuple[str, Iterable[bytes]]]) -> list[Kept]:
    """Put files into the store. Raises: Invalid for a path, TooLarge."""
    room = _Room()
    for name, chunks in files:
        room.keep(name, chunks)
    return _whole(room)


def store_archive(stream: IO[bytes], content_type: str) -> list[Kept]:
    """Put what is in an archive (zip, tar, tar.gz) into the store. Links and devices are refused.

    Raises: Invalid for a broken archive or a path that leaves it, TooLarge.
    """
    room = _Room()
    unpack = _unzip if FORMATS[content_type] == "zip" else _untar
    try:
        for name, chunks in unpack(stream):
            room.keep(name, chunks)
    except DomainError:
        raise
    except _BROKEN as error:
        raise Invalid(errors={"archive": [f"It cannot be read: {error}"[:200]]}) from error
    return _whole(room)


def _whole(room: _Room) -> list[Kept]:
    paths = set(room.kept)
    for path in paths:
        parts = path.split("/")
        if any("/".join(parts[:count]) in paths for count in range(1, len(parts))):
            raise Invalid(errors={"files": [f"{path} lies in something that is a file."]})
    return list(room.kept.values())


def _untar(stream: IO[bytes]) -> Iterator[tuple[str, Iterable[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is None:
                raise Invalid(errors={"archive": [f"{member.name[:200]} is neither a file nor a folder."]})
            yield member.name, _chunks(opened)


def _unzip(stream: IO[bytes]) -> Iterator[tuple[str, Iterable[bytes]]]:
    with tempfile.TemporaryFile() as kept:  # the list of a zip is at its end
        size = 0
        for chunk in _chunks(stream):
            size += len(chunk)
            if size > settings.ARTIFACT_LIMIT_BYTES:
                msg = f"The upload is larger than {settings.ARTIFACT_LIMIT_BYTES} bytes."
                raise TooLarge(msg)
            kept.write(chunk)
        with zipfile.ZipFile(kept) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as opened:
                        yield member.filename, _chunks(opened)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(_CHUNK), b"")
