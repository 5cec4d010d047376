"""Whose an event is: told by the app that owns organizations (it registers itself here), cheaply enough for every write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

# Foreign keys through which an object belongs to a team. On hot paths the other row is loaded, so none costs a query.
_WAYS = (
    "run",
    "workload",
    "content_object",
    "project",
    "user",
    "node",
    "credential",
    "model",
    "environment",
    "version",
)


@dataclass(frozen=True, slots=True)
class Directory:
    """What the audit asks the app that owns organizations."""

    of_team: Callable[[int], int | None]  # a team's organization
    of_object: Callable[[Model], int | None]  # of an object that has no team column, without a query; else None
    find: Callable[[str], int | None]  # by slug
    names: Callable[[], Mapping[int, str]]  # id -> slug


_directory: Directory | None = None
_known: dict[int, int] = {}  # team -> organization: a team never changes its organization


def provide(directory: Directory) -> None:
    """Register who knows the organizations."""
    global _directory  # noqa: PLW0603 -- set once at start by the app that owns organizations
    _directory = directory


def organization_of(obj: Model) -> int | None:
    """Return the id of the organization whose `obj` is; None for what is the platform's or a person's own."""
    if _directory is None:
        return None
    if (found := _directory.of_object(obj)) is not None:
        return found
    team = _team_of(obj)
    if team is None:
        return None
    if team not in _known and (found := _directory.of_team(team)) is not None:
        _known[team] = found
    return _known.get(team)


def find(slug: str) -> int | None:
    """Return the id of the organization of that name, None when there is none."""
    return None if _directory is None else _directory.find(slug)


def names() -> Mapping[int, str]:
    """Return the slug of every organization, by id."""
    return {} if _directory is None else _directory.names()


def _team_of(obj: Any) -> int | None:
    for column in ("team_id", "service_of_id"):
        if (team := getattr(obj, column, None)) is not None:
            return int(team)
    for way in _WAYS:
        if obj.__dict__.get(f"{way}_id") is not None and (team := _team_of(getattr(obj, way))) is not None:
            return team
    return None
