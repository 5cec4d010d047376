"""Which rows of other apps are nodes: each app says so of its own, at start, so that the walk knows none of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model


@dataclass(frozen=True, slots=True)
class Described:
    """How a node is shown: its name, a few words more, and its page on the platform or ""."""

    label: str
    hint: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class OwnedKind:
    """A kind of node that has an owner. `related` is loaded with its rows; the policy of `model` judges each."""

    name: str
    title: str
    model: type[Model]
    describe: Callable[[Any], Described]
    related: tuple[str, ...] = ()


_kinds: dict[str, OwnedKind] = {}


def register_kind(kind: OwnedKind) -> None:
    """Make rows of a model nodes; once per kind, in `AppConfig.ready`."""
    _kinds[kind.name] = kind


def owned_kinds() -> dict[str, OwnedKind]:
    return _kinds
