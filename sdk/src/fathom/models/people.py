"""People, organizations, invitations: who may use the platform, and how they come and go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class User:
    """A person, or a service account of the team `service_of`.

    Of colleagues only the name is known: e-mail, role and state are None unless you are an admin or it is you.
    """

    username: str
    first_name: str
    last_name: str
    service_of: str | None
    email: str | None
    platform_role: str | None
    is_active: bool | None
    last_login: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            username=str(data.get("username") or ""),
            first_name=str(data.get("first_name") or ""),
            last_name=str(data.get("last_name") or ""),
            service_of=data.get("service_of"),
            email=data.get("email"),
            platform_role=data.get("platform_role"),
            is_active=data.get("is_active"),
            last_login=as_time(data.get("last_login")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of what an off-boarding did, or would do."""

    what: str
    count: int
    examples: tuple[str, ...]
    is_warning: bool


@dataclass(frozen=True, slots=True)
class Offboarding:
    """What an off-boarding did, or with `dry_run` would do."""

    username: str
    dry_run: bool
    effects: tuple[Effect, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        effects = (
            Effect(str(row["what"]), int(row["count"]), tuple(row.get("examples") or ()), bool(row.get("is_warning")))
            for row in data.get("effects") or ()
        )
        return cls(str(data.get("username") or ""), bool(data.get("dry_run")), tuple(effects), data)


@dataclass(frozen=True, slots=True)
class ImportLine:
    """What one line of a file does, or why it cannot."""

    line: int
    username: str
    does: str
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a file of people did, or would do. `links` has a one-time link per new person, this once."""

    applied: bool
    changes: int
    new_people: tuple[str, ...]
    lines: tuple[ImportLine, ...]
    links: Mapping[str, str] = field(repr=False)
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        lines = (
            ImportLine(int(row["line"]), str(row["username"]), str(row["does"]), tuple(row.get("errors") or ()))
            for row in data.get("lines") or ()
        )
        links = data.get("links") or ()  # a repeated answer has them empty: they are shown once
        return cls(
            applied=bool(data.get("applied")),
            changes=int(data.get("changes") or 0),
            new_people=tuple(data.get("new_people") or ()),
            lines=tuple(lines),
            links={str(row["username"]): str(row["url"]) for row in links},
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Registration:
    """Somebody who asked for an account by himself."""

    id: str
    username: str
    email: str
    note: str
    state: str
    created_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            username=str(data.get("username") or ""),
            email=str(data.get("email") or ""),
            note=str(data.get("note") or ""),
            state=str(data.get("state") or ""),
            created_at=as_time(data.get("created_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Organization:
    slug: str
    name: str
    archived: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data.get("slug") or ""), str(data.get("name") or ""), bool(data.get("archived")), data)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What a team's programs act as."""

    username: str
    role: str
    is_active: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data.get("username") or ""), str(data.get("role") or ""), bool(data.get("is_active")), data)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time link into teams. `url`, the link itself, is there only in the answer that made it."""

    id: str
    state: str
    email: str
    teams: Mapping[str, str]
    made_by: str | None
    for_user: str | None
    expires_at: datetime | None
    url: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            state=str(data.get("state") or ""),
            email=str(data.get("email") or ""),
            teams={str(row["team"]): str(row["role"]) for row in data.get("teams") or ()},
            made_by=data.get("made_by"),
            for_user=data.get("for_user"),
            expires_at=as_time(data.get("expires_at")),
            url=data.get("url"),
            raw=data,
        )
