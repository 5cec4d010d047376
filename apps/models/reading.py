"""The body of an upload: what was announced has to arrive, or nothing of it counts."""

from collections.abc import Iterator
from typing import Any

_CHUNK = 1 << 20


class UploadCut(Exception):
    """The body ended before its announced size, as a lost connection makes it."""


class Announced:
    """A stream that knows how long it has to be."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream, self._size, self._received = stream, size, 0

    def read(self, size: int = -1) -> bytes:
        """Read on. Raises: UploadCut where it ends too early."""
        data: bytes = self._stream.read(_CHUNK if size < 0 else size)
        self._received += len(data)
        if not data and size and self._received < self._size:
            msg = f"The upload ended after {self._received} of {self._size} bytes."
            raise UploadCut(msg)
        return data

    def chunks(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_CHUNK), b"")

    def finish(self) -> None:
        """Read what an archive left behind its end. Raises: UploadCut."""
        for _chunk in self.chunks():
            pass
