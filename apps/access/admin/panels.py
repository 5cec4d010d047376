"""What other apps know of the object on a page: short tables beside it, each with a link to the whole, and links to pages
of their own.

The app that owns the page cannot know the apps above it; they add their panels to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

ROWS = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A table of at most a few rows; `url` leads to the list of all of them."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    url: str = ""
    empty: str = "None."


Provider = Callable[[Any, Any], Panel | None]
Linker = Callable[[Any], tuple[str, str] | None]
_providers: dict[str, list[Provider]] = {}
_linkers: dict[str, list[Linker]] = {}


def panel(label: str) -> Callable[[Provider], Provider]:
    """Add what the decorated function returns for `(object, by)` to the page of each object of the model `label`.

    None where it has nothing to say.
    """

    def add(provider: Provider) -> Provider:
        _providers.setdefault(label, []).append(provider)
        return provider

    return add


def panels_of(obj: Any, by: Any) -> list[Panel]:
    label = obj._meta.label_lower  # noqa: SLF001 -- documented Django API
    found = (provider(obj, by) for provider in _providers.get(label, ()))
    return [panel for panel in found if panel is not None]


def page_link(label: str) -> Callable[[Linker], Linker]:
    """Add the link (address, words) that the decorated function returns for an object to its page, for who may operate."""

    def add(linker: Linker) -> Linker:
        _linkers.setdefault(label, []).append(linker)
        return linker

    return add


def links_of(obj: Any) -> list[tuple[str, str]]:
    label = obj._meta.label_lower  # noqa: SLF001 -- documented Django API
    return [found for linker in _linkers.get(label, ()) if (found := linker(obj)) is not None]
