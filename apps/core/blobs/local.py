"""Blobs in a folder: of this machine, or one that all machines have mounted.

Write order makes a crash harmless: temporary file, fsync, rename, fsync of the folder; only then does a row refer to it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self, cast

from typing_extensions import override

from apps.core.blobs.store import Found, Missing, Store
from apps.core.errors import Unready

_CHUNK = 1 << 20


class LocalStore(Store):
    """`<root>/sha256/ab/cdef…` are the blobs, `<root>/incoming/` what is not yet whole."""

    is_local: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self.incoming = root / "incoming"

    def path_of(self, sha256: str) -> Path:
        return self._root / "sha256" / sha256[:2] / sha256[2:]

    @override
    def put(self, source: Path, sha256: str) -> None:
        target = self.path_of(sha256)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.replace(target)
        _sync_folder(target.parent)

    @override
    def open(self, sha256: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        try:
            file = self.path_of(sha256).open("rb")
        except FileNotFoundError:
            raise Missing from None
        file.seek(start)
        return file if stop is None else cast("BinaryIO", _Window(file, stop - start))

    @override
    def size_of(self, sha256: str) -> int | None:
        try:
            return self.path_of(sha256).stat().st_size
        except FileNotFoundError:
            return None

    @override
    def local_path(self, sha256: str) -> Path:
        return self.path_of(sha256)

    @override
    def delete(self, sha256: str) -> None:
        self.path_of(sha256).unlink(missing_ok=True)

    @override
    def walk(self) -> Iterator[Found]:
        for folder in sorted((self._root / "sha256").glob("??")):
            for path in folder.iterdir():
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    yield Found(folder.name + path.name, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

    @override
    def check(self) -> None:
        probe = self.incoming / f"probe-{os.getpid()}"
        try:
            self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            msg = f"The folder {self._root} cannot be written to: {error.strerror}."
            raise Unready(msg) from error

    @override
    def begin(self, name: str) -> str:
        self._folder(name).mkdir(parents=True, exist_ok=True, mode=0o700)
        return ""

    @override
    def put_part(self, name: str, ref: str, number: int, source: Path) -> None:
        try:
            source.replace(self._folder(name) / str(number))
        except FileNotFoundError:
            raise Missing from None

    @override
    def parts(self, name: str, ref: str) -> Mapping[int, int]:
        try:
            return {int(path.name): path.stat().st_size for path in self._folder(name).iterdir()}
        except FileNotFoundError:
            return {}

    @override
    def join(self, name: str, ref: str, count: int) -> Iterator[bytes]:
        for number in range(1, count + 1):
            try:
                with (self._folder(name) / str(number)).open("rb") as file:
                    yield from iter(lambda file=file: file.read(_CHUNK), b"")  # type: ignore[misc]
            except FileNotFoundError:
                raise Missing from None

    @override
    def publish(self, name: str, sha256: str, joined: Path | None) -> None:
        if joined is None:
            raise Missing
        self.put(joined, sha256)

    @override
    def abort(self, name: str, ref: str) -> None:
        shutil.rmtree(self._folder(name), ignore_errors=True)

    @override
    def leftovers(self, before: datetime) -> Iterator[str]:
        if not self.incoming.exists():
            return
        for path in list(self.incoming.iterdir()):
            with suppress(FileNotFoundError):
                if datetime.fromtimestamp(path.stat().st_mtime, UTC) >= before:
                    continue
                if path.is_dir():
                    yield path.name.removeprefix("parts-")
                else:
                    path.unlink()

    def _folder(self, name: str) -> Path:
        return self.incoming / f"parts-{name}"


class _Window:
    """The next so many bytes of a file, as a stream of their own."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def nothing() -> BinaryIO:
    """Return an empty stream."""
    return BytesIO()


def _sync_folder(folder: Path) -> None:
    descriptor: Any = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
