"""Directories (LDAP, OpenID Connect): rules, what a sync would change, and what syncs did."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class DirectoryRule:
    """Who is in `group` gets `role` in `team`, or `platform_role`."""

    id: int
    source: str
    group: str
    team: str
    role: str
    platform_role: str
    order: int
    enabled: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=int(data["id"]),
            source=str(data.get("source") or ""),
            group=str(data.get("group") or ""),
            team=str(data.get("team") or ""),
            role=str(data.get("role") or ""),
            platform_role=str(data.get("platform_role") or ""),
            order=int(data.get("order") or 0),
            enabled=bool(data.get("enabled")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class DirectoryChange:
    """One thing that happens to one person; `text` says it in words."""

    kind: str
    username: str
    team: str
    before: str
    after: str
    text: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(*(str(data.get(name) or "") for name in ("kind", "username", "team", "before", "after", "text")))


@dataclass(frozen=True, slots=True)
class DirectoryPlan:
    """What a sync would change now. `held` says why it would not, unless forced."""

    digest: str
    seen: int
    held: str
    changes: tuple[DirectoryChange, ...]
    refusals: tuple[DirectoryChange, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            digest=str(data.get("digest") or ""),
            seen=int(data.get("seen") or 0),
            held=str(data.get("held") or ""),
            changes=tuple(DirectoryChange.from_json(item) for item in data.get("changes") or ()),
            refusals=tuple(DirectoryChange.from_json(item) for item in data.get("refusals") or ()),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class DirectorySync:
    """What came of a sync: `outcome` is done, held or failed; held and failed have changed nothing."""

    id: int
    outcome: str
    started_at: datetime | None
    ended_at: datetime | None
    asked_by: str
    message: str
    counts: Mapping[str, int]
    changes: tuple[str, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=int(data["id"]),
            outcome=str(data.get("outcome") or ""),
            started_at=as_time(data.get("started_at")),
            ended_at=as_time(data.get("ended_at")),
            asked_by=str(data.get("asked_by") or ""),
            message=str(data.get("message") or ""),
            counts=data.get("counts") or {},
            changes=tuple(data.get("changes") or ()),
            raw=data,
        )
