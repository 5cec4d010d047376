"""Unpacking of uploaded code. Standard library only: it runs inside the job, as the job's own user.

SECURITY: an archive is hostile input. Nothing here trusts a name or a size in it. Every path is walked from the open
target folder, one component at a time, never through a symbolic link; every byte is counted as it is written.
"""

import gzip
import hashlib
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

for _codec in ("cp437", "latin-1", "ascii"):  # loaded now, because the job's user may not be able to read them
    "".encode(_codec)

CHUNK = 1 << 18
MAX_PATH = 1024
MAX_DEPTH = 48
RATIO_FROM_BYTES = 16 << 20  # smaller archives may compress as well as they like
HEADERS_BYTES = 8 << 20  # what tar headers may add to the files' own bytes, beside 4 KiB for each file


class BadArchive(Exception):
    """The archive cannot be unpacked, or must not be. The message is for the person who sent it."""


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Limits:
    """What an archive may become."""

    max_bytes: int
    max_files: int
    max_ratio: int


def check_content(source: IO[bytes], expected: str) -> None:
    """Compare the whole of `source` with its SHA-256, and go back to its beginning. Raises: BadArchive."""
    digest = hashlib.sha256()
    while data := source.read(1 << 20):
        digest.update(data)
    if expected and digest.hexdigest() != expected.removeprefix("sha256:"):
        msg = "the stored archive is damaged: its content does not have the expected SHA-256"
        raise BadArchive(msg)
    source.seek(0)


def unpack(source: IO[bytes], archive_format: str, folder: int, limits: Limits) -> None:
    """Unpack `source` into the open, empty `folder`.

    Raises: BadArchive. What was unpacked until then stays; the job does not start.
    """
    size = os.fstat(source.fileno()).st_size
    budget = _Budget(limits, size)
    try:
        if archive_format == "tar.gz":
            _unpack_tar(source, _Tree(folder, budget), limits)
        elif archive_format == "zip":
            _unpack_zip(source, _Tree(folder, budget))
        else:
            msg = f"unknown archive format {archive_format!r}"
            raise BadArchive(msg)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        msg = f"not a readable {archive_format} archive: {error}"
        raise BadArchive(msg) from error
    except (NotImplementedError, RuntimeError, ValueError, OverflowError) as error:  # encrypted, odd method, odd field
        msg = f"unsupported {archive_format} archive: {error}"
        raise BadArchive(msg) from error
    except MemoryError as error:
        msg = "the archive needs too much memory to be read"
        raise BadArchive(msg) from error
    except OSError as error:
        msg = f"cannot unpack: {error.strerror or error}"
        raise BadArchive(msg) from error


class _Budget:
    """Counts what is unpacked."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._packed = max(1, packed_bytes)
        self._files = 0
        self._bytes = 0

    def count_file(self) -> None:
        self._files += 1
        if self._files > self._limits.max_files:
            msg = f"the code has more than {self._limits.max_files} files and folders"
            raise BadArchive(msg)

    def count_bytes(self, amount: int) -> None:
        self._bytes += amount
        if self._bytes > self._limits.max_bytes:
            msg = f"the code is larger than {self._limits.max_bytes} bytes when unpacked"
            raise BadArchive(msg)
        if self._bytes > RATIO_FROM_BYTES and self._bytes > self._packed * self._limits.max_ratio:
            msg = f"the archive grows more than {self._limits.max_ratio} times when unpacked"
            raise BadArchive(msg)


class _Metered:
    """A stream that ends in an error when more is read from it than the limits can explain."""

    def __init__(self, stream: _Readable, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            msg = "the archive is larger than its limits when unpacked"
            raise BadArchive(msg)
        return data


class _Tree:
    """Writes below one open folder, never outside of it."""

    def __init__(self, root: int, budget: _Budget) -> None:
        self._root = root
        self._budget = budget

    def make_folder(self, name: str) -> None:
        self._budget.count_file()
        parts = _parts(name)
        if parts:
            os.close(self._open_folder(parts))

    def write_file(self, name: str, content: _Readable, *, executable: bool, modified: float | None = None) -> None:
        self._budget.count_file()
        parent, leaf = self._place(name)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(leaf, flags, 0o700 if executable else 0o600, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            while data := content.read(CHUNK):
                self._budget.count_bytes(len(data))
                _write_all(fd, data)
            if modified is not None:
                os.utime(fd, (modified, modified))
        finally:
            os.close(fd)

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link that stays inside.

        ".." is allowed at the beginning only, and no deeper than the link lies: what follows it can then only go down,
        or through another link for which the same holds.
        """
        self._budget.count_file()
        parts = _parts(name)
        steps = [step for step in target.split("/") if step not in ("", ".")]
        ups = next((i for i, step in enumerate(steps) if step != ".."), len(steps))
        if target.startswith("/") or not target or ups > len(parts) - 1 or ".." in steps[ups:] or "\0" in target:
            msg = f"{_shown(name)}: a link that leads out of the code"
            raise BadArchive(msg)
        parent, leaf = self._place(name)
        try:
            os.symlink(target, leaf, dir_fd=parent)
        finally:
            os.close(parent)

    def hard_link(self, name: str, target: str) -> None:
        """Make a hard link to a regular file of this archive."""
        self._budget.count_file()
        steps = _parts(target)
        if not steps:
            msg = f"{_shown(name)}: a link to nothing"
            raise BadArchive(msg)
        source = self._open_folder(steps[:-1])
        try:
            if not stat.S_ISREG(os.stat(steps[-1], dir_fd=source, follow_symlinks=False).st_mode):
                msg = f"{_shown(name)}: a link to something that is not a file"
                raise BadArchive(msg)
            parent, leaf = self._place(name)
            try:
                os.link(steps[-1], leaf, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(parent)
        except FileNotFoundError as error:
            msg = f"{_shown(name)}: a link to a file that is not in the archive before it"
            raise BadArchive(msg) from error
        finally:
            os.close(source)

    def _place(self, name: str) -> tuple[int, str]:
        """Return the open parent folder and the last component of `name`, with nothing there."""
        parts = _parts(name)
        if not parts:
            msg = f"{_shown(name)}: not a name for a file"
            raise BadArchive(msg)
        parent = self._open_folder(parts[:-1])
        try:
            os.unlink(parts[-1], dir_fd=parent)  # a later member replaces an earlier one, as tar has it
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(parent)
            msg = f"{_shown(name)}: a file where there is a folder"
            raise BadArchive(msg) from error
        return parent, parts[-1]

    def _open_folder(self, parts: list[str]) -> int:
        """Open the folder, making what is missing; a link or a file on the way is an error."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        here = os.open(".", flags, dir_fd=self._root)
        for part in parts:
            try:
                try:
                    os.mkdir(part, 0o700, dir_fd=here)
                    self._budget.count_file()
                except FileExistsError:
                    pass
                below = os.open(part, flags, dir_fd=here)
            except OSError as error:
                msg = f"{_shown('/'.join(parts))}: not a folder"
                raise BadArchive(msg) from error
            finally:
                os.close(here)
            here = below
        return here


def _parts(name: str) -> list[str]:
    """Split a member's name into its components. Raises: BadArchive for a name that is absolute, upward or absurd."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        msg = f"{_shown(name)}: a path that leads out of the code"
        raise BadArchive(msg)
    if len(name) > MAX_PATH or len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > 255 for part in parts):  # noqa: PLR2004 -- the longest file name
        msg = f"{_shown(name)}: a path that is too long or too deep"
        raise BadArchive(msg)
    return parts


def _shown(name: str) -> str:
    return ascii(name[:120])


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _unpack_tar(source: IO[bytes], tree: _Tree, limits: Limits) -> None:
    plain = _Metered(
        gzip.GzipFile(fileobj=source, mode="rb"), limits.max_bytes + 4096 * limits.max_files + HEADERS_BYTES
    )
    with tarfile.open(fileobj=plain, mode="r|", bufsize=64 * 512) as tar:  # type: ignore[call-overload]
        member: tarfile.TarInfo
        for member in _members(tar):
            if member.isdir():
                tree.make_folder(member.name)
            elif member.isreg():
                content = tar.extractfile(member)
                if content is not None:
                    tree.write_file(
                        member.name, content, executable=bool(member.mode & 0o100), modified=max(0.0, member.mtime)
                    )
            elif member.issym():
                tree.link(member.name, member.linkname)
            elif member.islnk():
                tree.hard_link(member.name, member.linkname)
            else:
                msg = f"{_shown(member.name)}: a device or another special file"
                raise BadArchive(msg)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Walk the members without letting the tar object keep them all."""
    while (member := tar.next()) is not None:
        yield member
        tar.members.clear()  # type: ignore[attr-defined]


def _unpack_zip(source: IO[bytes], tree: _Tree) -> None:
    with zipfile.ZipFile(source) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                tree.make_folder(member.filename)
            elif kind == stat.S_IFLNK:
                with packed.open(member) as content:
                    tree.link(member.filename, os.fsdecode(content.read(MAX_PATH)))
            elif kind in (0, stat.S_IFREG):
                with packed.open(member) as content:
                    tree.write_file(member.filename, content, executable=bool((member.external_attr >> 16) & 0o100))
            else:
                msg = f"{_shown(member.filename)}: a device or another special file"
                raise BadArchive(msg)
