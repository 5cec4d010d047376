"""The bytes of a version's files: read here and nowhere else, so that where they lie is one module's business."""

from dataclasses import dataclass
from typing import IO

from apps.core import blobs
from apps.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class Kept:
    """A file whose bytes are in the store: what becomes a row of a version."""

    path: str
    sha256: str
    size_bytes: int
    content_type: str = ""


def open_file(sha256: str) -> IO[bytes]:
    """Open the bytes of a file. Raises: NotFound when they are lost."""
    try:
        return blobs.local_path(sha256).open("rb")
    except (OSError, blobs.Missing) as error:
        msg = "The bytes of this file are missing from the store."
        raise NotFound(msg) from error


def read_small(file: Kept | None, *, most: int = 1 << 20) -> str:
    """Return the text of a small file, "" when there is none, or it is no text."""
    if file is None or file.size_bytes > most:
        return ""
    try:
        with open_file(file.sha256) as opened:
            return opened.read().decode()
    except (NotFound, UnicodeDecodeError):
        return ""
