"""The content-addressed store: a file named by the SHA-256 of its bytes, written once, never changed.

Write order makes a crash harmless: temporary file, fsync, rename, fsync of the folder; only then does a row refer to it.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.core.errors import Invalid, TooLarge


@dataclass(frozen=True, slots=True)
class Blob:
    sha256: str
    size_bytes: int


def path_of(sha256: str) -> Path:
    """Return where the blob lies (or would lie). Raises: ValueError for anything but 64 lower-case hex digits."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):  # noqa: PLR2004 -- length of a SHA-256
        msg = "not a SHA-256"
        raise ValueError(msg)
    return Path(settings.BLOB_ROOT) / "sha256" / sha256[:2] / sha256[2:]


def write(chunks: Iterable[bytes], *, limit: int, expected_sha256: str = "") -> Blob:
    """Store a stream. Writing the same bytes again is harmless.

    Raises: TooLarge beyond `limit` bytes, Invalid when the bytes do not have the hash that was promised.
    """
    root = Path(settings.BLOB_ROOT) / "incoming"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    descriptor, name = tempfile.mkstemp(dir=root)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    msg = f"The upload is larger than {limit} bytes."
                    raise TooLarge(msg)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if expected_sha256 and digest.hexdigest() != expected_sha256:
            raise Invalid(errors={"sha256": [f"The bytes received have the hash {digest.hexdigest()}."]})
        _publish(name, path_of(digest.hexdigest()))
    finally:
        Path(name).unlink(missing_ok=True)
    return Blob(digest.hexdigest(), size)


def _publish(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    Path(name).replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
