"""Whose work a charge was for, told by the app that knows (it registers itself here): this one is below it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

# (who asks, subjects as "run:<id>") -> subject -> (key, name), of those that he may see.
Namer = Callable[[Any, Collection[str]], Mapping[str, tuple[str, str]]]
_namers: list[Namer] = []


def name_subjects(namer: Namer) -> Namer:
    """Register who names what charges were for: the project of a run."""
    _namers.append(namer)
    return namer


def names_of(by: Any, subjects: Collection[str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for namer in _namers:
        found |= namer(by, subjects)
    return found
