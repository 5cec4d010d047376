"""What else the content origin serves: an app above says under which word, and finds and judges what a ticket names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from apps.tracking.tickets import Ticket


@dataclass(frozen=True, slots=True)
class Made:
    """Something that is made while it is sent, so that its length is not known before."""

    path: str
    content_type: str
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Source:
    """`find(user, ticket)` returns a file (path, sha256, size_bytes, content_type) or `Made`, or raises NotFound.

    `label` is what a refusal is written down under.
    """

    label: str
    find: Callable[[Any, Ticket], Any]


_sources: dict[str, Source] = {}


def serve(word: str, source: Source) -> None:
    """Serve `/<word>/<id>/<path>`; once per word, in `AppConfig.ready`."""
    _sources[word] = source


def source_of(word: str) -> Source | None:
    """Return who serves a word; None for artifacts, which are served here, and for a word nobody serves."""
    return _sources.get(word)


def label_of(word: str) -> str:
    found = _sources.get(word)
    return found.label if found else "tracking.run"
