"""The log of one job: append-only, masked, counted, limited. Standard library only: the shim imports this."""

import os

from apps.compute.backends.masking import Masker

try:
    from _sha256 import sha256 as _sha256  # type: ignore[import-not-found] # in the interpreter: no start-up cost
except ImportError:
    from hashlib import sha256 as _sha256


class LogFile:
    """Writes what a job says, as soon as it says it: at most `limit` bytes of it, and then a mark."""

    def __init__(self, folder: int, name: str, limit: int, masker: Masker) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(name, flags, 0o600, dir_fd=folder)
        self._mark = f"\n[fathom] the log is longer than {limit} bytes; the rest is not kept\n".encode()
        self._limit = limit
        self._masker = masker
        self._digest = _sha256()
        self.size = 0
        self.dropped = 0
        self.truncated = False

    def write(self, data: bytes) -> None:
        """Append what can be shown of `data` now. A full disk truncates the log; it never stops the job."""
        self._append(self._masker.feed(data))

    def close(self) -> None:
        """Append what was held back, and make the file durable."""
        self._append(self._masker.close())
        try:  # noqa: SIM105 -- contextlib is a slow import
            os.fsync(self._fd)
        except OSError:  # what is there is there; the verdict still has to be written
            pass
        os.close(self._fd)

    def sha256(self) -> str:
        """Return the digest of everything in the file."""
        return str(self._digest.hexdigest())

    def _append(self, data: bytes) -> None:
        if not data:
            return
        if self.truncated:
            self.dropped += len(data)
        elif self.size + len(data) <= self._limit:
            self._put(data)
        else:
            self._put_last(data)

    def _put_last(self, data: bytes) -> None:
        kept = self._limit - self.size
        self._put(data[:kept])
        self.dropped += len(data) - kept
        self.truncated = True
        self._put(self._mark)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                count = os.write(self._fd, view)
            except OSError:
                self.truncated = True
                self.dropped += len(view)
                return
            self._digest.update(view[:count])
            self.size += count
            view = view[count:]
