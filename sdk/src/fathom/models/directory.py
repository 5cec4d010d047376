"""People and capacity: who am I, tokens, teams, clusters, usage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_float, as_time, raw_json


@dataclass(frozen=True, slots=True)
class Token:
    """An API token. `token`, the secret itself, is there only in the answer that created it."""

    id: str
    name: str
    kind: str
    scopes: tuple[str, ...]
    prefix: str
    user: str
    addresses: tuple[str, ...]
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    token: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            name=str(data.get("name") or ""),
            kind=str(data.get("kind") or ""),
            scopes=tuple(data.get("scopes") or ()),
            prefix=str(data.get("prefix") or ""),
            user=str(data.get("user") or ""),
            addresses=tuple(data.get("addresses") or ()),
            created_at=as_time(data.get("created_at")),
            expires_at=as_time(data.get("expires_at")),
            last_used_at=as_time(data.get("last_used_at")),
            token=data.get("token"),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which somebody is logged in. `elevated_until` says how long it acts as an admin."""

    id: str
    user: str
    ip: str
    user_agent: str
    created_at: datetime | None
    last_seen_at: datetime | None
    expires_at: datetime | None
    elevated_until: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data["id"]),
            user=str(data.get("user") or ""),
            ip=str(data.get("ip") or ""),
            user_agent=str(data.get("user_agent") or ""),
            created_at=as_time(data.get("created_at")),
            last_seen_at=as_time(data.get("last_seen_at")),
            expires_at=as_time(data.get("expires_at")),
            elevated_until=as_time(data.get("elevated_until")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Member:
    username: str
    role: str
    is_service: bool = False


@dataclass(frozen=True, slots=True)
class Team:
    """A team, with the caller's role in it. `members` is filled where the platform lists them."""

    slug: str
    name: str
    organization: str
    role: str
    members: tuple[Member, ...] = ()
    archived: bool = False
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        members = (
            Member(str(item["username"]), str(item["role"]), bool(item.get("is_service")))
            for item in data.get("members") or ()
        )
        organization = data.get("organization")
        return cls(
            slug=str(data.get("slug") or ""),
            name=str(data.get("name", "")),
            organization=str(organization.get("name") if isinstance(organization, Mapping) else organization or ""),
            role=str(data.get("role") or ""),
            members=tuple(members),
            archived=bool(data.get("archived")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Me:
    """Who the token speaks for. `token` is None when the request was authenticated otherwise."""

    username: str
    email: str
    is_admin: bool
    teams: tuple[Team, ...]
    token: Token | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            username=str(data["username"]),
            email=str(data.get("email") or ""),
            is_admin=bool(data.get("is_admin")),
            teams=tuple(Team.from_json(team) for team in data.get("teams") or ()),
            token=Token.from_json(data["token"]) if data.get("token") else None,
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """A place where jobs run. `message` says why it is not `ok`."""

    name: str
    kind: str
    state: str
    message: str
    isolation: str
    labels: Mapping[str, str]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            name=str(data["name"]),
            kind=str(data.get("kind") or ""),
            state=str(data.get("state") or ""),
            message=str(data.get("message") or ""),
            isolation=str(data.get("isolation") or ""),
            labels=data.get("labels") or {},
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Amount:
    """Of one resource, in base units (milli-CPU, milli-GPU, bytes, counts). `limit` None means unlimited."""

    used: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class UsageNode:
    """What one user, team, organization, cluster or the platform uses of what it may."""

    kind: str
    name: str
    resources: Mapping[str, Amount]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        resources = {
            name: Amount(as_float(value.get("used")) or 0.0, as_float(value.get("limit")))
            for name, value in (data.get("resources") or {}).items()
        }
        return cls(str(data.get("kind") or ""), str(data.get("name") or ""), resources)


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """An experiment that waits, and why."""

    id: str
    name: str
    position: int | None
    reason: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data["id"]), str(data.get("name", "")), data.get("position"), str(data.get("reason") or ""))


@dataclass(frozen=True, slots=True)
class Usage:
    nodes: tuple[UsageNode, ...]
    queue: tuple[QueueEntry, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            tuple(UsageNode.from_json(node) for node in data.get("nodes") or ()),
            tuple(QueueEntry.from_json(entry) for entry in data.get("queue") or ()),
            data,
        )
