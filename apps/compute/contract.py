"""What compute and its backends say to each other: plain dataclasses, no Django.

A backend is given a `WorkloadSpec` and a name; it answers with `Observation`s and `LogChunk`s.
Units: CPU and GPU in milli-units, memory and disk in bytes, durations in seconds, times in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Phase(StrEnum):
    """What a backend can say about a workload it was asked for."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"  # looked, and it is not there
    UNKNOWN = "unknown"  # could not look; the caller must change nothing

    @property
    def is_final(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class Capability(StrEnum):
    """Optional abilities of a backend; asked for by name, never by backend kind."""

    ISOLATES_TENANTS = "isolates_tenants"
    LIMITS_MEMORY = "limits_memory"
    LIMITS_CPU = "limits_cpu"
    GPUS = "gpus"
    ENVIRONMENTS = "environments"  # it builds environments: its backend is an `EnvironmentBuilder`
    CHEAP_OBSERVE = "cheap_observe"  # observe() costs microseconds: it may be called many times a second


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica asks for. Zero means "none asked for", never "unlimited"."""

    cpu_milli: int = 1000
    memory_bytes: int = 1 << 30
    gpu_milli: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CodeArchive:
    """A content-addressed archive of the user's code, unpacked as the job's working directory."""

    sha256: str
    path: str  # where the backend can read the archive (a local file)
    format: str = "tar.gz"  # "tar.gz" | "zip"
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an environment is made of. `packages` are lines of a requirements file: names with versions, nothing else."""

    python: str = ""  # "3.11"; empty: the cluster's own
    packages: tuple[str, ...] = ()
    r_packages: tuple[str, ...] = ()
    image: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One attempt of one workload, ready to start.

    `command` is an argument vector; a shell line arrives as ("/bin/sh", "-c", line).
    `env` never carries secrets: those are in `secrets` (name -> value, text or bytes), which a backend delivers as a
    file readable by the job alone, with `<NAME>_FILE` in the environment naming it, and masks in the log.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str | bytes] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    code: CodeArchive | None = None
    image: str = ""
    environment: str = ""  # the key under which the backend built it; empty: the cluster's own interpreter
    timeout: timedelta | None = None
    max_log_bytes: int = 64 << 20
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """What a workload has used: CPU time since its start, memory now and at most. None: the cluster cannot tell."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What the backend saw. Times come from the backend's own evidence, not from the observer's clock."""

    phase: Phase
    reason: str = ""  # machine word: "OOMKilled", "Signal", "ExitCode", "ImagePullBackOff"
    message: str = ""  # one sentence for a human
    exit_code: int | None = None
    signal: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    use: Use = field(default_factory=Use)  # in all, of what has ended


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Bytes of the log from `offset` on. `eof` is true when nothing will ever follow `offset + len(data)`."""

    offset: int
    data: bytes
    eof: bool = False


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """Whether the cluster can be used now, in words an SRE can act on."""

    ok: bool
    message: str = ""
    capabilities: frozenset[Capability] = frozenset()
    capacity: Mapping[str, int] = field(default_factory=dict)  # {"cpu": milli, "memory": bytes, "gpu": milli}
    warnings: tuple[str, ...] = ()
