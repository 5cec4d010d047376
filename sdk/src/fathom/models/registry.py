"""Registered models: versions, aliases, moves, rules, requests, lineage."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name under which versions are kept. `aliases` maps each to the number of the version it points to."""

    id: str
    name: str
    description: str
    owner: str
    team: str | None
    visibility: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
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
            tags=data.get("tags") or {},
            aliases=data.get("aliases") or {},
            newest_number=int(data.get("newest_number") or 0),
            created_at=as_time(data.get("created_at")),
            updated_at=as_time(data.get("updated_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version. Files, signature, metrics and params are as they were when it was made."""

    id: str
    model_id: str
    model_name: str
    number: int
    stage: str
    aliases: tuple[str, ...]
    description: str
    tags: Mapping[str, str]
    run: str | None
    run_path: str
    signature: Mapping[str, Any] | None
    metrics: Mapping[str, Any]
    params: Mapping[str, str]
    datasets: tuple[Mapping[str, str], ...]
    scan: Mapping[str, Any]
    files_count: int
    size_bytes: int
    created_by: str
    created_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        model = data.get("model") or {}
        return cls(
            id=str(data.get("id") or ""),
            model_id=str(model.get("id") or ""),
            model_name=str(model.get("name") or ""),
            number=int(data.get("number") or 0),
            stage=str(data.get("stage") or "None"),
            aliases=tuple(data.get("aliases") or ()),
            description=str(data.get("description") or ""),
            tags=data.get("tags") or {},
            run=data.get("run"),
            run_path=str(data.get("run_path") or ""),
            signature=data.get("signature"),
            metrics=data.get("metrics") or {},
            params=data.get("params") or {},
            datasets=tuple(data.get("datasets") or ()),
            scan=data.get("scan") or {},
            files_count=int(data.get("files_count") or 0),
            size_bytes=int(data.get("size_bytes") or 0),
            created_by=str(data.get("created_by") or ""),
            created_at=as_time(data.get("created_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a version; `url` is a signed link, good for five minutes."""

    path: str
    size_bytes: int
    sha256: str
    url: str
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            path=str(data.get("path") or ""),
            size_bytes=int(data.get("size_bytes") or 0),
            sha256=str(data.get("sha256") or ""),
            url=str(data.get("url") or ""),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class ModelMove:
    """One move. Of an alias `before` and `after` are versions, of a stage they are stages; empty is nothing."""

    target: str
    name: str
    version: int
    before: str
    after: str
    by: str | None
    reason: str
    at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            target=str(data.get("target") or ""),
            name=str(data.get("name") or ""),
            version=int(data.get("version") or 0),
            before=str(data.get("before") or ""),
            after=str(data.get("after") or ""),
            by=data.get("by"),
            reason=str(data.get("reason") or ""),
            at=as_time(data.get("at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class ModelRule:
    """What a move of something protected needs. Without a name it is for every alias (or stage) without a rule."""

    id: str
    target: str
    name: str
    approvals: int
    separate_duties: bool
    thresholds: tuple[Mapping[str, Any], ...]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            target=str(data.get("target") or ""),
            name=str(data.get("name") or ""),
            approvals=int(data.get("approvals") or 0),
            separate_duties=bool(data.get("separate_duties")),
            thresholds=tuple(data.get("thresholds") or ()),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """A wish to move something protected, and the answers so far."""

    id: str
    model_id: str
    model_name: str
    version: int
    target: str
    name: str
    removes: bool
    reason: str
    state: str
    requested_by: str
    decisions: tuple[Mapping[str, Any], ...]
    created_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        model = data.get("model") or {}
        return cls(
            id=str(data.get("id") or ""),
            model_id=str(model.get("id") or ""),
            model_name=str(model.get("name") or ""),
            version=int(data.get("version") or 0),
            target=str(data.get("target") or ""),
            name=str(data.get("name") or ""),
            removes=bool(data.get("removes")),
            reason=str(data.get("reason") or ""),
            state=str(data.get("state") or ""),
            requested_by=str(data.get("requested_by") or ""),
            decisions=tuple(data.get("decisions") or ()),
            created_at=as_time(data.get("created_at")),
            raw=data,
        )


def register(
    name: str,
    source: "str | os.PathLike[str] | None" = None,
    *,
    run: str | None = None,
    path: str = "",
    team: str | None = None,
    **details: Any,
) -> ModelVersion:
    """Register the next version of a model, which comes into being when it is first meant.

    `source` is a local folder or file; or `run` is a run's id and `path` what of its artifacts. `team` is whose a new
    model is. `details`: description, tags, metrics, signature, datasets, environment.
    """
    from fathom.client import Client  # noqa: PLC0415 -- importing the models does without HTTP

    with Client() as client:
        return client.models.register(name, source, run=run, path=path, team=team, **details)
