"""Masking of secrets in a stream of bytes.

Standard library only, and little of it: the local backend's shim imports this in front of every job.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the shim cannot afford the imports
if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = b"***"


class Masker:
    """Replaces patterns in a stream that arrives in pieces, and holds back only what may be the start of one."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._patterns = sorted({p for p in patterns if p}, key=len, reverse=True)
        self._longest = len(self._patterns[0]) if self._patterns else 0
        self._held = b""
        self._covered = 0  # leading bytes of _held that a mask already written stands for

    def feed(self, data: bytes) -> bytes:
        """Take more of the stream; return what can be written now."""
        if not self._longest:
            return data
        buffer = self._held + data
        cut = self._hold_from(buffer)
        return self._emit(buffer, cut)

    def close(self) -> bytes:
        """Return the rest: the stream is over, so nothing held back can become a pattern any more."""
        return self._emit(self._held, len(self._held))

    def _hold_from(self, buffer: bytes) -> int:
        """Return where the longest tail begins that is the start of a pattern, but not yet all of it."""
        cut = len(buffer)
        for pattern in self._patterns:
            at = buffer.find(pattern[:1], max(0, len(buffer) - len(pattern) + 1))
            while 0 <= at < cut:
                if pattern.startswith(buffer[at:]):
                    cut = at
                    break
                at = buffer.find(pattern[:1], at + 1)
        return cut

    def _emit(self, buffer: bytes, cut: int) -> bytes:
        spans = self._spans(buffer)
        self._held = buffer[cut:]
        if not spans:
            return buffer[:cut]
        out = bytearray()
        position, covered_to = 0, self._covered
        for begin, end in spans:
            if begin >= cut:
                break
            out += buffer[position:begin]
            if begin or not self._covered:
                out += MASK
            position = min(end, cut)
            covered_to = end
        out += buffer[position:cut]
        self._covered = max(0, covered_to - cut)
        return bytes(out)

    def _spans(self, buffer: bytes) -> list[tuple[int, int]]:
        """Return where patterns are, overlapping and touching ones as one."""
        found = [(0, self._covered)] if self._covered else []
        for pattern in self._patterns:
            at = buffer.find(pattern)
            while at >= 0:
                found.append((at, at + len(pattern)))
                at = buffer.find(pattern, at + 1)
        found.sort()
        merged: list[tuple[int, int]] = []
        for begin, end in found:
            if merged and begin < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return merged
