"""Work and what came out of it: experiments, runs, metrics, artifacts, projects, code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from fathom.models.fields import as_float, as_time, raw_json

ACTIVE_STATES = ("queued", "starting", "running", "stopping")
FINAL_STATES = ("succeeded", "failed", "stopped", "lost")


@dataclass(frozen=True, slots=True)
class Ref:
    """Something named elsewhere: a project of a run, for example."""

    id: str
    name: str

    @classmethod
    def from_json(cls, data: Any) -> Self:
        if isinstance(data, Mapping):
            return cls(str(data.get("id", "")), str(data.get("name", "")))
        return cls("", str(data or ""))


@dataclass(frozen=True, slots=True)
class Source:
    """Code that the platform fetches: `state` is queued, fetching, ready or failed; the commit is known when it is ready."""

    kind: str
    url: str
    ref: str
    subfolder: str
    submodules: bool
    state: str
    message: str
    commit: str
    branch: str
    is_dirty: bool
    sha256: str
    size_bytes: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        texts = ("kind", "url", "ref", "subfolder", "state", "message", "commit", "branch", "sha256")
        return cls(
            **{name: str(data.get(name) or "") for name in texts},
            submodules=bool(data.get("submodules")),
            is_dirty=bool(data.get("is_dirty")),
            size_bytes=int(data.get("size_bytes") or 0),
        )


@dataclass(frozen=True, slots=True)
class Experiment:
    """One submitted piece of work. `reason` is the machine's word for its state, `message` the sentence for people.

    `resources` is what it asks for in base units, with `gpu_model` and `other`.
    """

    id: str
    name: str
    kind: str
    state: str
    reason: str
    message: str
    desired_state: str
    project: Ref
    owner: str
    team: str | None
    visibility: str
    spec: Mapping[str, Any]
    source: Source | None
    priority: int
    priority_class: str
    resources: Mapping[str, Any]
    cluster: str | None
    attempt: int
    exit_code: int | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    tags: Mapping[str, str]
    url: str
    actions: tuple[str, ...]
    raw: Mapping[str, Any] = raw_json()

    @property
    def is_final(self) -> bool:
        """Whether it ended. (A retry can start it again.)"""
        return self.state in FINAL_STATES

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data["id"]),
            name=str(data.get("name", "")),
            kind=str(data.get("kind", "")),
            state=str(data["state"]),
            reason=str(data.get("reason") or ""),
            message=str(data.get("message") or ""),
            desired_state=str(data.get("desired_state") or ""),
            project=Ref.from_json(data.get("project")),
            owner=str(data.get("owner") or ""),
            team=data.get("team"),
            visibility=str(data.get("visibility") or ""),
            spec=data.get("spec") or {},
            source=Source.from_json(data["source"]) if data.get("source") else None,
            priority=int(data.get("priority") or 0),
            priority_class=str(data.get("priority_class") or ""),
            resources=data.get("resources") or {},
            cluster=data.get("cluster"),
            attempt=int(data.get("attempt") or 0),
            exit_code=data.get("exit_code"),
            created_at=as_time(data.get("created_at")),
            started_at=as_time(data.get("started_at")),
            finished_at=as_time(data.get("finished_at")),
            duration_seconds=as_float(data.get("duration_seconds")),
            tags=data.get("tags") or {},
            url=str(data.get("url") or ""),
            actions=tuple(data.get("actions") or ()),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One change of an experiment's state, with who caused it and why."""

    seq: int
    at: datetime | None
    from_state: str
    to_state: str
    actor: str
    reason: str
    message: str
    attempt: int
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            seq=int(data.get("seq") or 0),
            at=as_time(data.get("at")),
            from_state=str(data.get("from_state") or ""),
            to_state=str(data.get("to_state") or ""),
            actor=str(data.get("actor") or ""),
            reason=str(data.get("reason") or ""),
            message=str(data.get("message") or ""),
            attempt=int(data.get("attempt") or 0),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to execute an experiment. `verdict` is how it ended, empty while it has not."""

    number: int
    verdict: str
    exit_code: int | None
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None
    cpu_seconds: float | None = None
    """CPU time used, in seconds of one CPU; None where nobody measured."""
    peak_memory_bytes: int | None = None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            number=int(data.get("no") or 0),
            verdict=str(data.get("verdict") or ""),
            exit_code=data.get("exit_code"),
            reason=str(data.get("reason") or ""),
            message=str(data.get("message") or ""),
            started_at=as_time(data.get("started_at")),
            finished_at=as_time(data.get("finished_at")),
            cpu_seconds=data.get("cpu_seconds"),
            peak_memory_bytes=data.get("peak_memory_bytes"),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of an attempt's log; offsets count bytes."""

    offset: int
    next_offset: int
    data: str
    eof: bool
    attempt: int
    total_bytes: int
    truncated: bool

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            offset=int(data["offset"]),
            next_offset=int(data["next_offset"]),
            data=str(data["data"]),
            eof=bool(data.get("eof")),
            attempt=int(data.get("attempt") or 0),
            total_bytes=int(data.get("total_bytes") or 0),
            truncated=bool(data.get("truncated")),
        )


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """The last value of a metric and what is known of all of them."""

    value: float | None
    step: int | None
    time: Any
    min: float | None
    max: float | None
    count: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            value=as_float(data.get("value")),
            step=data.get("step"),
            time=data.get("time"),
            min=as_float(data.get("min")),
            max=as_float(data.get("max")),
            count=int(data.get("count") or 0),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What was tracked: parameters, metrics, tags. An experiment and its run have the same id."""

    id: str
    name: str
    project: Ref
    status: str
    owner: str
    team: str | None
    visibility: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, MetricSummary]
    created_at: datetime | None
    finished_at: datetime | None
    experiment: str | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data["id"]),
            name=str(data.get("name", "")),
            project=Ref.from_json(data.get("project")),
            status=str(data.get("status") or ""),
            owner=str(data.get("owner") or ""),
            team=data.get("team"),
            visibility=str(data.get("visibility") or ""),
            params=data.get("params") or {},
            tags=data.get("tags") or {},
            metrics={key: MetricSummary.from_json(value) for key, value in (data.get("metrics") or {}).items()},
            created_at=as_time(data.get("created_at")),
            finished_at=as_time(data.get("finished_at")),
            experiment=data.get("experiment"),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One point of a curve. In a down-sampled series it stands for several, whose extremes are `min` and `max`."""

    step: int | None
    time: datetime | None
    value: float | None
    min: float | None
    max: float | None

    @classmethod
    def from_json(cls, data: list[Any]) -> Self:
        step, time_ms, *numbers = data
        value, low, high = (as_float(number) for number in [*numbers, None, None, None][:3])
        moment = datetime.fromtimestamp(time_ms / 1000, UTC) if time_ms is not None else None
        return cls(step, moment, value, value if low is None else low, value if high is None else high)


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """A metric's curve. `count` is how many points were logged, `downsampled` whether fewer are here."""

    key: str
    points: tuple[MetricPoint, ...]
    count: int
    downsampled: bool
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            key=str(data["key"]),
            points=tuple(MetricPoint.from_json(point) for point in data.get("points") or ()),
            count=int(data.get("count") or 0),
            downsampled=bool(data.get("downsampled")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file (or folder) that a run left. `url` is a signed link that works for a short time."""

    path: str
    is_dir: bool
    size_bytes: int
    sha256: str
    content_type: str
    created_at: datetime | None
    url: str = field(repr=False, default="")
    is_pinned: bool = False
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            is_pinned=bool(data.get("is_pinned")),
            path=str(data["path"]),
            is_dir=bool(data.get("is_dir")),
            size_bytes=int(data.get("size_bytes") or 0),
            sha256=str(data.get("sha256") or ""),
            content_type=str(data.get("content_type") or ""),
            created_at=as_time(data.get("created_at")),
            url=str(data.get("url") or ""),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class SavedView:
    """A run table under a name; `query` is the query string of its page."""

    id: str
    project: str
    name: str
    query: str
    is_shared: bool
    owner: str
    updated_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data["id"]),
            project=str(data.get("project") or ""),
            name=str(data.get("name") or ""),
            query=str(data.get("query") or ""),
            is_shared=bool(data.get("is_shared")),
            owner=str(data.get("owner") or ""),
            updated_at=as_time(data.get("updated_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    description: str
    team: str | None
    visibility: str
    owner: str
    created_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data["id"]),
            name=str(data.get("name", "")),
            description=str(data.get("description") or ""),
            team=data.get("team"),
            visibility=str(data.get("visibility") or ""),
            owner=str(data.get("owner") or ""),
            created_at=as_time(data.get("created_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class CodeUpload:
    """Code that the platform holds; `ref` goes into a spec as `code: {upload: ref}`."""

    ref: str
    size_bytes: int
    format: str
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data["ref"]), int(data.get("size_bytes") or 0), str(data.get("format") or ""), data)
