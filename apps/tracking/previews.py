"""The beginning of an artifact as text, for a page."""

from contextlib import closing
from dataclasses import dataclass

from apps.core import blobs
from apps.core.errors import NotFound
from apps.tracking import media
from apps.tracking.models import Artifact

LARGEST = 64 << 10


@dataclass(frozen=True, slots=True)
class Preview:
    """`kind` is text, csv, json, image or other; `text` is empty for the last two; `truncated` when there is more."""

    kind: str
    text: str
    truncated: bool


def read_preview(artifact: Artifact) -> Preview:
    """Read the first 64 KiB. What is no text, whatever its type says, is "other".

    Raises: NotFound when the bytes are lost.
    """
    kind = media.kind_of(artifact.content_type)
    if kind == "image":
        return Preview(kind, "", truncated=False)
    try:
        with closing(blobs.open_blob(artifact.sha256, 0, min(LARGEST, artifact.size_bytes))) as file:
            data = b"".join(iter(lambda: file.read(LARGEST), b""))
    except blobs.Missing:
        msg = "The bytes of this artifact are missing from the store."
        raise NotFound(msg) from None
    text = _decoded(data)
    if text is None or (kind == "other" and artifact.content_type != "application/octet-stream"):
        return Preview("other", "", truncated=False)
    return Preview("text" if kind == "other" else kind, text, truncated=artifact.size_bytes > len(data))


def _decoded(data: bytes) -> str | None:
    """Return UTF-8 text, without a character that the cut went through; None for anything else."""
    if b"\x00" in data:
        return None
    for cut in range(min(4, len(data) + 1)):
        try:
            return data[: len(data) - cut].decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                return None
    return None
