"""Who refers to blobs, and what expires before a collection: told by the apps above, in `ready`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db.models import QuerySet

FIELD = "sha256"  # the name of the column in every holder's rows
Rows = Callable[[], QuerySet[Any]]
_holders: dict[str, Rows] = {}


@dataclass(frozen=True, slots=True)
class Group:
    """What of one owner in one project would go: how much, and how old the oldest is."""

    owner: str
    project: str
    count: int
    bytes: int
    oldest: datetime | None
    why: str


class Expiry(Protocol):
    """Rows that go by a rule, and let go of their blobs."""

    def preview(self) -> Sequence[Group]:
        """Say what would go now."""
        ...

    def carry_out(self) -> tuple[int, int]:
        """Let it go; return how many and how many bytes."""
        ...


_expiries: list[Expiry] = []


def register_holder(name: str, rows: Rows) -> None:
    """Let the rows of a model, each with a hash in `sha256`, keep their blobs."""
    _holders[name] = rows


def register_expiry(expiry: Expiry) -> None:
    """Let rows go by their rule before blobs are looked at."""
    _expiries.append(expiry)


def known(*, but: str = "") -> list[Rows]:
    """List the holders, without the one named `but`."""
    return [rows for name, rows in _holders.items() if name != but]


def expiries() -> list[Expiry]:
    return _expiries
