"""Who may do what with an object, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class AccessLine:
    """Who has access, as what and through what. `is_share`: it can be changed and ended."""

    kind: str
    name: str
    role: str
    through: str
    expires_at: datetime | None
    granted_by: str
    is_share: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            kind=str(data.get("kind") or ""),
            name=str(data.get("name") or ""),
            role=str(data.get("role") or ""),
            through=str(data.get("through") or ""),
            expires_at=as_time(data.get("expires_at")),
            granted_by=str(data.get("granted_by") or ""),
            is_share=bool(data.get("is_share")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Access:
    """Of one object: whose it is, who sees it, and `lines`, each somebody who has access. `role` is the caller's."""

    kind: str
    id: str
    owner: str
    team: str
    visibility: str
    role: str
    lines: tuple[AccessLine, ...]
    more: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            kind=str(data.get("kind") or ""),
            id=str(data.get("id") or ""),
            owner=str(data.get("owner") or ""),
            team=str(data.get("team") or ""),
            visibility=str(data.get("visibility") or ""),
            role=str(data.get("role") or ""),
            lines=tuple(AccessLine.from_json(line) for line in data.get("results") or ()),
            more=bool(data.get("more")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class AccessPath:
    """One way to a role."""

    role: str
    through: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Why:
    """Why a person may, or may not. `scopes` are those of the token in use, when it is about oneself."""

    user: str
    action: str
    allowed: bool
    role: str
    needs: str
    paths: tuple[AccessPath, ...]
    missing: tuple[str, ...]
    scopes: tuple[str, ...] | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        paths = (
            AccessPath(str(path["role"]), str(path["through"]), as_time(path.get("expires_at")))
            for path in data.get("paths") or ()
        )
        scopes = data.get("scopes")
        return cls(
            user=str(data.get("user") or ""),
            action=str(data.get("action") or ""),
            allowed=bool(data.get("allowed")),
            role=str(data.get("role") or ""),
            needs=str(data.get("needs") or ""),
            paths=tuple(paths),
            missing=tuple(data.get("missing") or ()),
            scopes=None if scopes is None else tuple(scopes),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Somebody asks for a role on an object."""

    id: str
    kind: str
    object_id: str
    by: str
    role: str
    message: str
    state: str
    note: str
    decided_by: str
    created_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            kind=str(data.get("kind") or ""),
            object_id=str(data.get("object_id") or ""),
            by=str(data.get("by") or ""),
            role=str(data.get("role") or ""),
            message=str(data.get("message") or ""),
            state=str(data.get("state") or ""),
            note=str(data.get("note") or ""),
            decided_by=str(data.get("decided_by") or ""),
            created_at=as_time(data.get("created_at")),
            raw=data,
        )
