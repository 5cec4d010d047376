"""TensorBoard's event files: each record is a length, its checksum, an event and its checksum. Scalars are read, no more.

The file is hostile: what is read, kept and answered is bounded, and where it breaks off or its checksums are wrong the
reading ends with what came before.
"""

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

NAME = "events.out.tfevents."
MOST_BYTES = 64 << 20  # of one file
MOST_RECORDS = 200_000
MOST_POINTS = 200_000  # a record can hold many
MOST_TAGS = 200
LONGEST_TAG = 250
_LARGEST_RECORD = 1 << 20  # a larger one is a picture, a graph or a sound: it is passed over unread
_PIECE = 1 << 20
_HEAD = struct.Struct("<QI")
_CHECK = struct.Struct("<I")
_MASK = 0xA282EAD8
_FURTHEST = 1 << 63
_LATEST = 253_402_300_799  # the last second of the year 9999
_NUMBERS = {
    1: ("float_val", "f"),
    2: ("double_val", "d"),
    3: ("int_val", "i"),
    9: ("int64_val", "q"),
}  # by TensorFlow's types


@dataclass(slots=True)
class Track:
    """The points of one tag in the order of the file."""

    steps: "array[int]" = field(default_factory=lambda: array("q"))
    times: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class Events:
    """`problem` says why the reading ended before the file did, or is ""."""

    tracks: dict[str, Track] = field(default_factory=dict)
    points: int = 0
    problem: str = ""


def read(source: Callable[[int], bytes]) -> Events:
    """Read the scalars of a file; `source` is its `read`. Never raises for what stands in the file."""
    found = Events()
    pieces = _Pieces(source)
    left = MOST_BYTES
    for _ in range(MOST_RECORDS):
        head = pieces.take(_HEAD.size)
        if len(head) < _HEAD.size:
            found.problem = "It breaks off." if head else ""
            return found
        size, check = _HEAD.unpack(head)
        if check != _masked(head[:8]):
            found.problem = "It is no event file, or broken."
            return found
        left -= size
        if left < 0 or found.points >= MOST_POINTS:
            break
        if not _take(pieces, size, found):
            found.problem = found.problem or "It breaks off."
            return found
    if pieces.take(1):
        found.problem = "Only its beginning was read: it is too large."
    return found


class _Pieces:
    """Small reads from large ones: a store across the network answers each read by itself."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source, self._piece, self._at = source, b"", 0

    def take(self, size: int) -> bytes:
        """Return so many bytes, or what is left."""
        while len(self._piece) - self._at < size and (more := self._source(_PIECE)):
            self._piece, self._at = self._piece[self._at :] + more, 0
        data = self._piece[self._at : self._at + size]
        self._at += len(data)
        return data

    def skip(self, size: int) -> bool:
        """Pass over so many bytes; false where there are not so many."""
        while size > 0 and (taken := len(self.take(min(size, _PIECE)))):
            size -= taken
        return size <= 0


def _take(pieces: _Pieces, size: int, found: Events) -> bool:
    """Read one record; false where the file ends within it or its checksum is wrong."""
    if size > _LARGEST_RECORD:
        return pieces.skip(size + _CHECK.size)
    data, check = pieces.take(size), pieces.take(_CHECK.size)
    if len(data) < size or len(check) < _CHECK.size:
        return False
    if _CHECK.unpack(check)[0] != _masked(data):
        found.problem = "It is broken."
        return False
    event = _EVENT()
    try:
        event.ParseFromString(data)
    except (DecodeError, RecursionError):
        return True  # another event may be sound
    _keep(event, found)
    return True


def _keep(event: Any, found: Events) -> None:
    if not -_FURTHEST <= event.step < _FURTHEST or not 0 <= event.wall_time <= _LATEST:
        return
    for given in event.summary.value:
        value = _scalar(given)
        tag = given.tag.replace("\x00", "")[:LONGEST_TAG]
        if value is None or not tag:
            continue
        track = found.tracks.get(tag)
        if track is None:
            if len(found.tracks) >= MOST_TAGS:
                continue
            track = found.tracks[tag] = Track()
        track.steps.append(event.step)
        track.times.append(int(event.wall_time * 1000))
        track.values.append(value)
        found.points += 1


def _scalar(given: Any) -> float | None:
    """Return the number of a value: the old form has a field for it, the new one a tensor of one element."""
    form = given.WhichOneof("value")
    if form == "simple_value":
        return float(given.simple_value)
    if form != "tensor" or given.tensor.dtype not in _NUMBERS:
        return None
    name, code = _NUMBERS[given.tensor.dtype]
    listed = getattr(given.tensor, name)
    if len(listed) == 1:
        return float(listed[0])
    packed = given.tensor.tensor_content
    return float(struct.unpack(f"<{code}", packed)[0]) if len(packed) == struct.calcsize(f"<{code}") else None


def _masked(data: bytes) -> int:
    """Return the checksum as these files have it: rotated and moved, so that one of data with checksums is sound."""
    check: int = google_crc32c.value(data)
    return (((check >> 15) | (check << 17 & 0xFFFFFFFF)) + _MASK) & 0xFFFFFFFF


def _message(file: Any, name: str, fields: list[tuple[str, int, str, str]], oneof: str = "") -> None:
    """Describe a message by (name, number, kind, label); those of no label are one of which only one is set."""
    message = file.message_type.add(name=name)
    if oneof:
        message.oneof_decl.add(name=oneof)
    for field_name, number, kind, label in fields:
        made = message.field.add(name=field_name, number=number, label=_LABELS[label or "one"])
        if kind in _KINDS:
            made.type = _KINDS[kind]
        else:
            made.type, made.type_name = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, f".fathom.tfevents.{kind}"
        if not label:
            made.oneof_index = 0


_F = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "double": _F.TYPE_DOUBLE, "float": _F.TYPE_FLOAT, "int32": _F.TYPE_INT32, "int64": _F.TYPE_INT64,
    "string": _F.TYPE_STRING, "bytes": _F.TYPE_BYTES,
}  # fmt: skip
_LABELS = {"one": _F.LABEL_OPTIONAL, "many": _F.LABEL_REPEATED}


def _event_class() -> Any:
    """Make the class of the few fields that are read; the rest of an event is passed over by the parser."""
    file = descriptor_pb2.FileDescriptorProto(name="fathom/tfevents.proto", package="fathom.tfevents", syntax="proto3")
    numbers = [
        ("float_val", 5, "float"),
        ("double_val", 6, "double"),
        ("int_val", 7, "int32"),
        ("int64_val", 10, "int64"),
    ]
    _message(
        file,
        "Tensor",
        [("dtype", 1, "int32", "one"), ("tensor_content", 4, "bytes", "one"), *((*n, "many") for n in numbers)],
    )
    _message(
        file,
        "Value",
        [("tag", 1, "string", "one"), ("simple_value", 2, "float", ""), ("tensor", 8, "Tensor", "")],
        "value",
    )
    _message(file, "Summary", [("value", 1, "Value", "many")])
    _message(
        file,
        "Event",
        [("wall_time", 1, "double", "one"), ("step", 2, "int64", "one"), ("summary", 5, "Summary", "one")],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fathom.tfevents.Event"))


_EVENT = _event_class()
