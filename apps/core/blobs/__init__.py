"""The content-addressed store: bytes named by their SHA-256, written once, never changed.

Where they lie is the settings' affair (docs/adr/0026): a folder, or a bucket of an S3 server. Whoever keeps a hash in a
row tells the store's keeper (`apps.storage`), so that what nobody refers to any more can be swept.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from apps.core.blobs.local import LocalStore
from apps.core.blobs.store import MOST_PARTS, SMALLEST_PART, Blob, Found, Missing, Store
from apps.core.errors import Invalid, TooLarge

__all__ = [
    "MOST_PARTS",
    "SMALLEST_PART",
    "Blob",
    "Found",
    "Missing",
    "Store",
    "before_publishing",
    "join",
    "local_path",
    "open_blob",
    "path_of",
    "receive",
    "store",
    "write",
]

# Called with each blob before its bytes are in the store under their hash: the sweep must know that it is wanted.
_hooks: list[Callable[[Blob], None]] = []


def before_publishing(hook: Callable[[Blob], None]) -> None:
    """Let the keeper of the store know of each blob before it can be found."""
    _hooks.append(hook)


def store() -> Store:
    """Return the store that the settings name."""
    return _store(settings.ARTIFACT_STORE, str(settings.BLOB_ROOT), *(getattr(settings, name) for name in _SAID))


_SAID = ("S3_ENDPOINT", "S3_PUBLIC_ENDPOINT", "S3_REGION", "S3_ACCESS_KEY", "S3_SECRET_KEY")


@lru_cache(maxsize=4)
def _store(name: str, root: str, *_said: str) -> Store:
    """Keep one store per settings: its connections are kept alive."""
    local = LocalStore(Path(root))
    if not name:
        return local
    from apps.core.blobs.s3 import S3Store  # noqa: PLC0415 -- only an installation with S3 pays for loading it

    return S3Store(name, local)


def path_of(sha256: str) -> Path:
    """Return where the blob lies (or would lie) in the folder of this machine.

    Raises: ValueError for anything but 64 lower-case hex digits.
    """
    return LocalStore(Path(settings.BLOB_ROOT)).path_of(_checked(sha256))


def local_path(sha256: str) -> Path:
    """Return a file of this machine with these bytes, fetched if need be. Raises: Missing, Unready."""
    return store().local_path(_checked(sha256))


def open_blob(sha256: str, start: int = 0, stop: int | None = None) -> BinaryIO:
    """Return the bytes from `start` up to, not including, `stop`, as a stream to read and close.

    Raises: Missing, Unready.
    """
    return store().open(_checked(sha256), start, stop)


def write(chunks: Iterable[bytes], *, limit: int, expected_sha256: str = "") -> Blob:
    """Store a stream. Writing the same bytes again is harmless.

    Raises: TooLarge beyond `limit` bytes, Invalid when the bytes do not have the hash that was promised, Unready.
    """
    with receive(chunks, limit=limit, expected_sha256=expected_sha256) as (path, blob):
        _announce(blob)
        store().put(path, blob.sha256)
    return blob


def join(name: str, ref: str, count: int, *, expected: Blob | None, limit: int) -> Blob:
    """Make a blob of the parts of an upload, if it is the one that was promised. `expected`: None when nobody promised.

    Raises: Missing when parts are gone, Invalid when they are not what was promised, TooLarge, Unready.
    """
    chosen = store()
    chunks = chosen.join(name, ref, count)
    if chosen.is_local:
        with receive(chunks, limit=limit) as (path, blob):
            _require_same(blob, expected)
            _announce(blob)
            chosen.publish(name, blob.sha256, path)
        return blob
    blob = _hashed(chunks)
    _require_same(blob, expected)
    _announce(blob)
    chosen.publish(name, blob.sha256, None)
    return blob


def _require_same(blob: Blob, expected: Blob | None) -> None:
    if expected is not None and blob != expected:
        raise Invalid(errors={"sha256": [f"The {blob.size_bytes} bytes received have the hash {blob.sha256}."]})


@contextmanager
def receive(chunks: Iterable[bytes], *, limit: int, expected_sha256: str = "") -> Iterator[tuple[Path, Blob]]:
    """Write a stream to a file of this machine, which is gone afterwards unless the caller has moved it.

    Raises: TooLarge beyond `limit` bytes, Invalid when the bytes do not have the hash that was promised.
    """
    root = Path(settings.BLOB_ROOT) / "incoming"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=root)
    try:
        with os.fdopen(descriptor, "wb") as file:
            blob = _hashed(_kept(chunks, file, limit))
        if expected_sha256 and blob.sha256 != expected_sha256:
            raise Invalid(errors={"sha256": [f"The bytes received have the hash {blob.sha256}."]})
        yield Path(name), blob
    finally:
        Path(name).unlink(missing_ok=True)


def _announce(blob: Blob) -> None:
    for hook in _hooks:
        hook(blob)


def _kept(chunks: Iterable[bytes], file: BinaryIO, limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            msg = f"The upload is larger than {limit} bytes."
            raise TooLarge(msg)
        file.write(chunk)
        yield chunk


def _hashed(chunks: Iterable[bytes]) -> Blob:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        digest.update(chunk)
    return Blob(digest.hexdigest(), size)


def _checked(sha256: str) -> str:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):  # noqa: PLR2004 -- length of a SHA-256
        msg = "not a SHA-256"
        raise ValueError(msg)
    return sha256
