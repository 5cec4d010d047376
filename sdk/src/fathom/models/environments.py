"""Environments: versions, builds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class Environment:
    """A name under which versions are kept. `newest_number` is the number given last."""

    id: str
    name: str
    description: str
    owner: str
    team: str | None
    visibility: str
    newest_number: int
    created_at: datetime | None
    updated_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            name=str(data.get("name") or ""),
            description=str(data.get("description") or ""),
            owner=str(data.get("owner") or ""),
            team=data.get("team"),
            visibility=str(data.get("visibility") or ""),
            newest_number=int(data.get("newest_number") or 0),
            created_at=as_time(data.get("created_at")),
            updated_at=as_time(data.get("updated_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class EnvironmentBuild:
    """A version on a cluster. `lines` are those of its packages that broke it, from 1 on; `log` and `lock` only of one build."""

    cluster: str
    state: str
    message: str
    lines: Sequence[int]
    key: str
    size_bytes: int
    log: str
    lock: str
    started_at: datetime | None
    finished_at: datetime | None
    used_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @property
    def is_final(self) -> bool:
        return self.state in ("ready", "failed", "removed")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            cluster=str(data.get("cluster") or ""),
            state=str(data.get("state") or ""),
            message=str(data.get("message") or ""),
            lines=tuple(data.get("lines") or ()),
            key=str(data.get("key") or ""),
            size_bytes=int(data.get("size_bytes") or 0),
            log=str(data.get("log") or ""),
            lock=str(data.get("lock") or ""),
            started_at=as_time(data.get("started_at")),
            finished_at=as_time(data.get("finished_at")),
            used_at=as_time(data.get("used_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class EnvironmentVersion:
    """What an environment is made of; it never changes. `builds`: where it has been built."""

    id: str
    environment_id: str
    environment_name: str
    number: int
    python: str
    packages: Sequence[str]
    r_packages: Sequence[str]
    image: str
    variables: Mapping[str, str]
    created_by: str
    created_at: datetime | None
    builds: Sequence[EnvironmentBuild]
    raw: Mapping[str, Any] = raw_json()

    @property
    def name(self) -> str:
        """As a specification names it: sklearn@3."""
        return f"{self.environment_name}@{self.number}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        environment = data.get("environment") or {}
        return cls(
            id=str(data.get("id") or ""),
            environment_id=str(environment.get("id") or ""),
            environment_name=str(environment.get("name") or ""),
            number=int(data.get("number") or 0),
            python=str(data.get("python") or ""),
            packages=tuple(data.get("packages") or ()),
            r_packages=tuple(data.get("r_packages") or ()),
            image=str(data.get("image") or ""),
            variables=dict(data.get("variables") or {}),
            created_by=str(data.get("created_by") or ""),
            created_at=as_time(data.get("created_at")),
            builds=tuple(EnvironmentBuild.from_json(one) for one in data.get("builds") or ()),
            raw=data,
        )
