"""Reading an experiment's log, as text that never cuts a character in two."""

import codecs
from dataclasses import dataclass

from apps.compute import logs
from apps.compute.models import Attempt
from apps.core.errors import Invalid, NotFound
from apps.experiments.models import Experiment

LARGEST_PIECE = 1 << 20
DEFAULT_PIECE = 256 << 10
_LONGEST_CHARACTER = 4  # bytes of UTF-8
_CONTINUATION = range(0x80, 0xC0)  # the bytes of a character after its first


@dataclass(frozen=True, slots=True)
class LogText:
    offset: int
    next_offset: int
    data: str
    eof: bool
    attempt: int
    total_bytes: int


def attempt_of(experiment: Experiment, number: int | None) -> Attempt | None:
    """Return the attempt of that number, or the newest; None before the first. Raises: NotFound for an unknown number."""
    attempts = Attempt.objects.filter(workload_id=experiment.workload_id)
    if number is None:
        return attempts.order_by("-no").first()
    found = attempts.filter(no=number).first()
    if found is None:
        raise NotFound
    return found


def read_text(attempt: Attempt | None, *, offset: int, limit: int = DEFAULT_PIECE) -> LogText:
    """Return log text from byte `offset` on; a negative offset counts from the end, and skips the character it falls into.

    A limit below the longest character is taken as that, so that every call gets on. Raises: Invalid for a bad limit.
    """
    if not 0 < limit <= LARGEST_PIECE:
        raise Invalid(errors={"limit": [f"Between 1 and {LARGEST_PIECE} bytes."]})
    if attempt is None:
        return LogText(0, 0, "", eof=False, attempt=0, total_bytes=0)
    start = max(0, attempt.log_bytes + offset) if offset < 0 else offset
    piece = logs.read(attempt, offset=start, limit=max(limit, _LONGEST_CHARACTER))
    cut = _inside_character(piece.data) if offset < 0 and start else 0
    data = whole_characters(piece.data, final=piece.eof)[cut:]
    begin = piece.offset + cut
    return LogText(begin, begin + len(data), data.decode(errors="replace"), piece.eof, attempt.no, piece.total)


def whole_characters(data: bytes, *, final: bool) -> bytes:
    """Leave out a UTF-8 character whose rest is still to come; bytes that are no UTF-8 stay."""
    if final or not data:
        return data
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data[-_LONGEST_CHARACTER:])
    unfinished, _ = decoder.getstate()
    return data[: len(data) - len(unfinished)]


def _inside_character(data: bytes) -> int:
    """Return how many bytes at the start belong to a character that began before them."""
    head = data[: _LONGEST_CHARACTER - 1]
    return next((at for at, byte in enumerate(head) if byte not in _CONTINUATION), len(head))
