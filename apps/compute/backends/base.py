"""The contract every compute backend fulfils. A backend reports; it never decides.

A backend imports no Django, writes no row, keeps no state of its own between calls that the outside world does
not also hold, and never sleeps. It may be called from several threads and processes at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self

from apps.compute.contract import (
    BackendHealth,
    Capability,
    LogChunk,
    Observation,
    Recipe,
    Use,
    WorkloadSpec,
)


class BackendError(Exception):
    """Base of what a backend may raise on purpose; anything else is a bug."""


class Rejected(BackendError):
    """Permanent: the cluster will never run this spec. The user can fix it."""


class Unavailable(BackendError):
    """The cluster could not be asked. Try again later; conclude nothing."""


class EnvironmentGone(Unavailable):
    """The environment that a spec names is not on the cluster. It has to be built again."""


class BuildFailed(BackendError):
    """Permanent: this recipe cannot be built on this cluster. `lines`: which of its packages are to blame, from 1 on."""

    def __init__(self, message: str, lines: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting of a backend, as a form and a validator need it."""

    name: str
    type: type
    default: Any
    help: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """Base of a backend's settings: a frozen dataclass whose fields are described by `fields()`."""

    @classmethod
    def fields(cls) -> tuple[SettingField, ...]:
        return ()

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Build settings from a JSON object.

        Raises: ValueError, naming the field, for an unknown field or a value of the wrong type.
        """
        known = {f.name: f for f in cls.fields()}
        unknown = sorted(set(raw) - set(known))
        if unknown:
            msg = f"unknown setting: {', '.join(unknown)}"
            raise ValueError(msg)
        for name, value in raw.items():
            expected = known[name].type
            if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
                msg = f"{name}: expected {expected.__name__}, got {type(value).__name__}"
                raise ValueError(msg)
        return cls(**{name: raw.get(name, f.default) for name, f in known.items()})


class Backend(ABC):
    """Five methods. Names are chosen by the caller, are unique for ever, and never reused."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    settings_schema: ClassVar[type[BackendSettings]]

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def submit(self, name: str, spec: WorkloadSpec) -> None:
        """Start `spec` under `name`, or do nothing if `name` was ever submitted before.

        Calling it again with the same name, at any time, from any process, yields one workload.
        Returns when the cluster has durably accepted it, which may be before it runs.
        Raises: Rejected, Unavailable.
        """

    @abstractmethod
    def observe(self, names: Collection[str]) -> dict[str, Observation]:
        """Return one observation for every name asked for, in one look at the cluster.

        MISSING means that the cluster was asked and does not have it (never submitted, or vanished without a verdict).
        UNKNOWN means that the cluster could not be asked. Never raises Unavailable: it answers UNKNOWN.
        """

    @abstractmethod
    def stop(self, name: str, *, grace: timedelta) -> None:
        """Ask for the end of `name`: a polite signal now, force after `grace`. Does not wait; absent is fine.

        A name that was not submitted yet is barred: a later submit of it must not start anything.
        Raises: Unavailable.
        """

    @abstractmethod
    def read_log(self, name: str, *, offset: int, limit: int) -> LogChunk:
        """Return at most `limit` bytes of the log from byte `offset` on; empty when there is nothing yet.

        Secrets of the spec are already masked, and a log over the spec's limit ends in a truncation mark.
        Raises: Unavailable.
        """

    @abstractmethod
    def health(self) -> BackendHealth:
        """Say whether the cluster can be used, and what it has. Never raises."""


class Inventory(ABC):
    """What a backend that keeps things on its cluster offers beside `Backend`: finding and freeing them."""

    @abstractmethod
    def list_names(self) -> list[str]:
        """List every name the cluster still holds, running, ended or barred, and not yet removed.

        Complete or Unavailable, never partial: the sweep convicts orphans by it.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget `name` and free what it holds (files, cgroups), killing whatever may be left of it.

        Called only after its end and its log are recorded, or when nobody knows the name. Idempotent.
        Raises: Unavailable.
        """


class Meter(ABC):
    """What a backend that can tell what its workloads use offers beside `Backend`."""

    @abstractmethod
    def measure(self, names: Collection[str]) -> dict[str, Use]:
        """Return what those of `names` that run have used so far, in one look at the cluster.

        A name it knows nothing of is not in the answer. CPU time only grows. Raises: Unavailable.
        """


# Told what the tools of a build say, and at least once a second nothing; what it raises ends the build.
Tell = Callable[[bytes], None]


class EnvironmentBuilder(ABC):
    """What a backend that can build environments offers beside `Backend`: first a lock, then from it what jobs run in.

    Both may take minutes. A build stands whole under its key, or not at all, whenever it is cut off.
    """

    @abstractmethod
    def platform_of(self, recipe: Recipe) -> str:
        """Name what a lock of `recipe` is good for on this cluster: interpreter, system, machine.

        Raises: BuildFailed when the cluster has nothing that the recipe asks for, Unavailable.
        """

    @abstractmethod
    def lock(self, recipe: Recipe, tell: Tell) -> str:
        """Resolve a recipe: every package with its version and its hashes. Raises: BuildFailed, Unavailable."""

    @abstractmethod
    def build(self, key: str, recipe: Recipe, lock: str, tell: Tell) -> int:
        """Build what `lock` says under `key`, or do nothing when it stands there; return its size in bytes.

        Raises: BuildFailed, Unavailable.
        """

    @abstractmethod
    def has_environment(self, key: str) -> bool:
        """Say whether it stands. Raises: Unavailable."""

    @abstractmethod
    def remove_environment(self, key: str) -> None:
        """Free what it holds. Idempotent. No job may be running in it. Raises: Unavailable."""
