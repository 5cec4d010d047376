"""The `Range` header (RFC 9110): one part of a file. Anything else it can say is answered with the whole file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ONE = re.compile(r"bytes=(?P<first>\d{1,18})?-(?P<last>\d{1,18})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int
    is_partial: bool = False


UNSATISFIABLE = Range(0, 0, is_partial=True)


def requested(headers: Mapping[str, str], *, size: int, etag: str) -> Range:
    """Return what is to be sent; UNSATISFIABLE when the part lies behind the end."""
    whole = Range(0, size)
    match = _ONE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", etag) != etag:
        return whole
    first, last = match["first"], match["last"]
    if first is None and last is None:
        return whole
    if first is None:
        length = min(int(last), size)
        return Range(size - length, size, is_partial=True) if length else UNSATISFIABLE
    start, stop = int(first), min(size, int(last) + 1 if last is not None else size)
    if last is not None and int(last) < start:
        return whole
    return Range(start, stop, is_partial=True) if start < size else UNSATISFIABLE
