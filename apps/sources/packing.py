"""From what was fetched to an archive of code: always the same bytes for the same content, with nothing in it that the
unpacking in a job would refuse. Hostile input: every name, link and size is judged, nothing is written by its name.
"""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from django.conf import settings

from apps.sources.box import too_large
from apps.sources.errors import FetchFailed
from apps.sources.judging import is_git, judge

_MOST_PATH = 1024
_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Count:
    """Files and bytes so far. Raises: FetchFailed beyond what the operator lets in."""

    def __init__(self) -> None:
        self._files = 0
        self._left = settings.FETCH_BYTES

    def add(self, size: int) -> None:
        self._files += 1
        self._left -= size
        if self._files > settings.FETCH_FILES:
            msg = f"it has more than {settings.FETCH_FILES} files and folders"
            raise FetchFailed(msg)
        if self._left < 0:
            raise FetchFailed(too_large())


class Packer:
    """Writes one archive from several trees, each at its place."""

    def __init__(self, raw: IO[bytes], modified: int) -> None:
        self._zipped = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
        self._archive = tarfile.open(fileobj=self._zipped, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 -- closed by close()
        self._modified = modified  # the same for all, so that a tree of a commit is always the same archive
        self._count = Count()

    def add(self, source: IO[bytes], prefix: str = "") -> None:
        """Add a tar archive below `prefix`. Raises: FetchFailed."""
        try:
            with tarfile.open(fileobj=source, mode="r|") as tree:
                for member in _members(tree):
                    self._add(tree, member, prefix)
        except _UNREADABLE as error:
            msg = f"its files cannot be read: {error}"
            raise FetchFailed(msg) from error

    def close(self) -> None:
        self._archive.close()
        self._zipped.close()

    def _add(self, tree: tarfile.TarFile, member: tarfile.TarInfo, prefix: str) -> None:
        name = prefix + member.name.rstrip("/")
        judge(name, member)
        if any(is_git(part) for part in name.split("/")):
            msg = f"{name[:120]!a}: a file or folder of that name would be taken for git's own"
            raise FetchFailed(msg)
        self._count.add(member.size)
        kept = tarfile.TarInfo(name)
        kept.type, kept.mtime, kept.linkname = member.type, self._modified, member.linkname
        kept.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        if member.isreg():
            kept.size = member.size
            self._archive.addfile(kept, tree.extractfile(member))
        else:
            self._archive.addfile(kept)


def check_archive(path: Path) -> str:
    """Return the format of an archive that was downloaded, after a look at all of it. Raises: FetchFailed."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        try:
            if magic.startswith(b"\x1f\x8b"):
                _check_tar(file)
                return "tar.gz"
            if magic.startswith(b"PK"):
                _check_zip(file)
                return "zip"
        except _UNREADABLE as error:
            msg = f"it is no readable archive: {error}"
            raise FetchFailed(msg) from error
    msg = "it is neither a .tar.gz nor a .zip archive"
    raise FetchFailed(msg)


def _check_tar(file: IO[bytes]) -> None:
    plain = _Metered(gzip.GzipFile(fileobj=file, mode="rb"), settings.FETCH_BYTES + 4096 * settings.FETCH_FILES)
    count = Count()
    with tarfile.open(fileobj=plain, mode="r|") as tree:
        for member in _members(tree):
            judge(member.name, member)
            count.add(member.size)


def _check_zip(file: IO[bytes]) -> None:
    count = Count()
    with zipfile.ZipFile(file) as packed:
        for entry in packed.infolist():
            member = tarfile.TarInfo(entry.filename)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind == stat.S_IFLNK:
                member.type, member.linkname = tarfile.SYMTYPE, packed.open(entry).read(_MOST_PATH).decode("utf-8")
            elif not entry.is_dir() and kind not in (0, stat.S_IFREG):
                member.type = tarfile.CHRTYPE
            judge(entry.filename, member)
            count.add(entry.file_size)


def _members(tree: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Walk the members without letting the tar object keep them all."""
    while (member := tree.next()) is not None:
        yield member
        tree.members.clear()  # type: ignore[attr-defined]


class _Metered(io.RawIOBase):
    """A stream that ends in an error when more is read from it than the limits can explain."""

    def __init__(self, stream: _Readable, limit: int) -> None:
        super().__init__()
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise FetchFailed(too_large())
        return data
