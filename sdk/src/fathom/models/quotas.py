"""Quotas and the queue: places of the tree, limits, requests for more, what waits and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_float, as_time, raw_json


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit in base units (thousandths of CPUs and GPUs, bytes, counts), and as people write it in `written`.

    `limit` and `free` are None where there is no limit; `borrow` is how much more may be held of what siblings leave unused.
    """

    limit: int | None
    borrow: int
    used: int
    free: int | None
    written: Mapping[str, str | None]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            limit=data.get("limit"),
            borrow=int(data.get("borrow") or 0),
            used=int(data.get("used") or 0),
            free=data.get("free"),
            written=data.get("written") or {},
        )


@dataclass(frozen=True, slots=True)
class QuotaNode:
    """One place of the quota tree; `path` holds the names from the top to it, `limits` is by resource."""

    id: int
    key: str
    kind: str
    name: str
    parent: int | None
    path: tuple[str, ...]
    weight: int
    limits: Mapping[str, Limit]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=int(data["id"]),
            key=str(data["key"]),
            kind=str(data.get("kind") or ""),
            name=str(data.get("name") or ""),
            parent=data.get("parent"),
            path=tuple(data.get("path") or ()),
            weight=int(data.get("weight") or 1),
            limits={name: Limit.from_json(limit) for name, limit in (data.get("limits") or {}).items()},
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """A request that a place may hold more. Amounts in base units; as people write them in `written`."""

    id: str
    node_id: int
    node_key: str
    node: str
    resource: str
    amount: int
    before: int
    given: int | None
    written: Mapping[str, str | None]
    reason: str
    until: datetime | None
    asked_by: str
    created_at: datetime | None
    state: str
    decided_by: str | None
    decided_at: datetime | None
    note: str
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        node = data.get("node") or {}
        return cls(
            id=str(data["id"]),
            node_id=int(node.get("id") or 0),
            node_key=str(node.get("key") or ""),
            node=str(node.get("name") or ""),
            resource=str(data.get("resource") or ""),
            amount=int(data.get("amount") or 0),
            before=int(data.get("before") or 0),
            given=data.get("given"),
            written=data.get("written") or {},
            reason=str(data.get("reason") or ""),
            until=as_time(data.get("until")),
            asked_by=str(data.get("asked_by") or ""),
            created_at=as_time(data.get("created_at")),
            state=str(data.get("state") or ""),
            decided_by=data.get("decided_by"),
            decided_at=as_time(data.get("decided_at")),
            note=str(data.get("note") or ""),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """One step of the way to a place in fair share: what a node used lately, its weight, and what follows."""

    node: str
    cpu_hours: float
    weight: int
    score: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            str(data.get("node") or ""),
            as_float(data.get("cpu_hours")) or 0.0,
            int(data.get("weight") or 1),
            as_float(data.get("score")) or 0.0,
        )


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """An experiment that waits, at its place among what one may see."""

    id: str
    name: str
    owner: str
    team: str | None
    cluster: str
    position: int
    reason: str
    message: str
    priority_class: str
    priority: int
    queued_at: datetime | None
    standing: tuple[Standing, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data["id"]),
            name=str(data.get("name") or ""),
            owner=str(data.get("owner") or ""),
            team=data.get("team"),
            cluster=str(data.get("cluster") or ""),
            position=int(data.get("position") or 0),
            reason=str(data.get("reason") or ""),
            message=str(data.get("message") or ""),
            priority_class=str(data.get("priority_class") or ""),
            priority=int(data.get("priority") or 0),
            queued_at=as_time(data.get("queued_at")),
            standing=tuple(Standing.from_json(step) for step in data.get("standing") or ()),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A limit that is in the way. `used` is None where others share it: that is told to operators only."""

    node: str
    kind: str
    resource: str
    limit: int
    used: int | None
    need: int
    sentence: str
    changed_by: tuple[str, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            node=str(data.get("node") or ""),
            kind=str(data.get("kind") or ""),
            resource=str(data.get("resource") or ""),
            limit=int(data.get("limit") or 0),
            used=data.get("used"),
            need=int(data.get("need") or 0),
            sentence=str(data.get("sentence") or ""),
            changed_by=tuple(data.get("changed_by") or ()),
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Why an experiment waits, what would help, and when its turn comes."""

    state: str
    reason: str
    sentence: str
    obstacles: tuple[Obstacle, ...]
    remedies: tuple[str, ...]
    position: int | None
    starts_at: datetime | None
    standing: tuple[Standing, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            state=str(data.get("state") or ""),
            reason=str(data.get("reason") or ""),
            sentence=str(data.get("sentence") or ""),
            obstacles=tuple(Obstacle.from_json(one) for one in data.get("obstacles") or ()),
            remedies=tuple(data.get("remedies") or ()),
            position=data.get("position"),
            starts_at=as_time(data.get("starts_at")),
            standing=tuple(Standing.from_json(step) for step in data.get("standing") or ()),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Starter:
    """Waiting work that would start."""

    id: str
    name: str
    owner: str
    team: str | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data["id"]), str(data.get("name") or ""), str(data.get("owner") or ""), data.get("team"))


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What would start `as_it_is`, and what `besides` with other limits."""

    as_it_is: tuple[Starter, ...]
    besides: tuple[Starter, ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            tuple(Starter.from_json(one) for one in data.get("as_it_is") or ()),
            tuple(Starter.from_json(one) for one in data.get("besides") or ()),
            data,
        )


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """A rank among everybody's work; `open_to` says who may use it: everyone, maintainers, admins."""

    name: str
    rank: int
    open_to: str
    description: str
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        told = str(data.get("description") or "")
        return cls(str(data["name"]), int(data.get("rank") or 0), str(data.get("open_to") or ""), told, data)


@dataclass(frozen=True, slots=True)
class Resource:
    """What can be limited. `weight`: what one unit counts in fair share, in hundredths of a CPU."""

    name: str
    title: str
    position: int
    weight: int
    built_in: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            name=str(data["name"]),
            title=str(data.get("title") or ""),
            position=int(data.get("position") or 0),
            weight=int(data.get("weight") or 0),
            built_in=bool(data.get("built_in")),
            raw=data,
        )
