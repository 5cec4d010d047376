"""Clusters to run the contract on: how to say what a workload does, and how to let time pass, on each of them."""

import json
import os
import shutil
import signal
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.compute.backends.base import Backend
from apps.compute.backends.fake.backend import FakeBackend
from apps.compute.backends.fake.settings import FakeSettings
from apps.compute.backends.fake.world import FakeWorld
from apps.compute.backends.local import processes, rundir, sandbox
from apps.compute.backends.local.backend import LocalBackend
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.contract import Observation, Phase, Resources, WorkloadSpec

SMALL = Resources(cpu_milli=500, memory_bytes=128 << 20)
PATIENCE = 60.0  # seconds; a test that needs it all has failed, also on a machine that does much else
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Behaviour:
    """What a workload does, in words that every cluster understands."""

    seconds: float | None = 0.0  # None: for ever
    exit_code: int = 0
    signal: int | None = None
    ignores_stop: bool = False
    starts: bool = True
    log: str = ""
    is_busy: bool = False  # computes while it runs
    secrets: Mapping[str, str | bytes] = field(default_factory=dict)
    timeout: timedelta | None = None
    max_log_bytes: int = 1 << 20


class Cluster(ABC):
    """One cluster with some backends looking at it."""

    backend: Backend

    @abstractmethod
    def another_backend(self) -> Backend:
        """Return a backend with no memory of the first one, over the same cluster."""

    @abstractmethod
    def spec(self, behaviour: Behaviour) -> WorkloadSpec:
        """Return a spec whose workload behaves like that."""

    @abstractmethod
    def starts(self, name: str) -> int:
        """Return how often the body of `name` began, by evidence of its own."""

    @abstractmethod
    def unreachable(self) -> AbstractContextManager[None]:
        """Make the cluster impossible to ask for a while."""

    @abstractmethod
    def let_time_pass(self) -> None:
        """Let a little time pass on the cluster."""

    @abstractmethod
    def now(self) -> datetime:
        """Return what the cluster's clock says."""

    def new_name(self) -> str:
        return f"t-{uuid.uuid4().hex[:16]}"

    def start(self, behaviour: Behaviour) -> str:
        """Submit a workload of that behaviour under a new name."""
        name = self.new_name()
        self.backend.submit(name, self.spec(behaviour))
        return name

    def look(self, name: str) -> Observation:
        return self.backend.observe([name])[name]

    def wait(self, name: str, until: Callable[[Observation], bool]) -> Observation:
        """Let time pass until what is seen of `name` is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = self.look(name)
            if until(seen):
                return seen
            assert time.monotonic() < deadline, f"{name} is still {seen}"
            self.let_time_pass()

    def wait_final(self, name: str) -> Observation:
        return self.wait(name, lambda seen: seen.phase.is_final)

    def wait_running(self, name: str) -> Observation:
        return self.wait(name, lambda seen: seen.phase is Phase.RUNNING)

    def wait_begun(self, name: str) -> None:
        """Let time pass until `name` runs and its body has begun: either may be seen before the other."""
        self.wait(name, lambda seen: seen.phase is Phase.RUNNING and self.starts(name) > 0)

    def wait_said(self, name: str, said: bytes) -> None:
        """Let time pass until the log of `name` is `said`."""
        self.wait(name, lambda _: self.backend.read_log(name, offset=0, limit=len(said) + 1).data == said)

    def log(self, name: str) -> bytes:
        """Read the whole log of an ended workload."""
        data = b""
        while True:
            chunk = self.backend.read_log(name, offset=len(data), limit=1 << 16)
            assert chunk.offset == len(data)
            data += chunk.data
            if chunk.eof:
                return data
            assert chunk.data, "the log of an ended workload has no end"


class FakeCluster(Cluster):
    """The fake backend, with the clock in our hand."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.backend = FakeBackend(FakeSettings(), world=self.world)

    def another_backend(self) -> Backend:
        return FakeBackend(FakeSettings(), world=self.world)

    def spec(self, behaviour: Behaviour) -> WorkloadSpec:
        env = {
            "FAKE_DURATION": "forever" if behaviour.seconds is None else str(behaviour.seconds),
            "FAKE_EXIT": str(behaviour.exit_code),
            "FAKE_IGNORES_STOP": "1" if behaviour.ignores_stop else "",
            "FAKE_START_FAILURE": "" if behaviour.starts else "there is no such command",
            "FAKE_LOG": behaviour.log,
            "FAKE_CPUS": "0.5" if behaviour.is_busy else "0",
            "FAKE_MEMORY": str(1 << 20),
        }
        if behaviour.signal is not None:
            env["FAKE_SIGNAL"] = str(behaviour.signal)
        return WorkloadSpec(
            command=("pretend",),
            env=env,
            secrets=behaviour.secrets,
            resources=SMALL,
            timeout=behaviour.timeout,
            max_log_bytes=behaviour.max_log_bytes,
        )

    def starts(self, name: str) -> int:
        return self.world.starts.get(name, 0)

    def unreachable(self) -> AbstractContextManager[None]:
        return self.world.unreachable()

    def let_time_pass(self) -> None:
        self.world.advance(timedelta(seconds=0.1))

    def now(self) -> datetime:
        return self.world.now


class LocalCluster(Cluster):
    """The local backend, with real processes and a real clock."""

    backend: LocalBackend

    def __init__(self, mode: str, **more: object) -> None:
        # Not pytest's folder: that one is closed to other users, and jobs are other users.
        self.folder = Path(tempfile.mkdtemp(prefix="fathom-contract-"))
        self.folder.chmod(0o755)
        self.witness = self.folder / "witness"
        self.witness.mkdir()
        self.witness.chmod(0o1777)
        self.hidden = self.folder / "platform"
        self.hidden.mkdir(mode=0o755)
        (self.hidden / "data.key").write_text("the key of the platform")
        self.jobs_root = self.folder / "jobs"
        raw: dict[str, object] = {
            "jobs_root": str(self.jobs_root),
            "sandbox": mode,
            "interpreter": SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else "",
            "hidden_paths": [str(self.hidden)],
            "writable_paths": [str(self.witness)],
            "timeout_grace_seconds": 1,
            **more,
        }
        self.settings = LocalSettings.parse(raw)
        self.mode = mode
        self.backend = LocalBackend(self.settings)

    @property
    def obstacle(self) -> str:
        """Say why this machine cannot have this cluster; empty when it can."""
        found = sandbox.isolation(self.settings)
        return "" if found.mode == self.mode else "; ".join(found.warnings)

    def another_backend(self) -> LocalBackend:
        return LocalBackend(self.settings)

    def spec(self, behaviour: Behaviour) -> WorkloadSpec:
        if not behaviour.starts:
            return WorkloadSpec(command=("/nonexistent/command",), resources=SMALL)
        lines = ['echo started >> "$WITNESS/$FATHOM_ATTEMPT_HANDLE"']
        if behaviour.ignores_stop:
            lines.append("trap '' TERM")
        lines.append('printf %s "$SAY"')
        if behaviour.is_busy:
            lines.append("trap 'exit 0' TERM\nwhile :; do :; done")
        if behaviour.seconds is None:
            lines.append("while :; do sleep 3600; done")
        elif behaviour.seconds:
            lines.append(f"sleep {behaviour.seconds}")
        if behaviour.signal is not None:
            lines.append(f"kill -{behaviour.signal} $$")
        lines.append(f"exit {behaviour.exit_code}")
        return self.shell(
            "\n".join(lines),
            env={"SAY": behaviour.log},
            secrets=behaviour.secrets,
            timeout=behaviour.timeout,
            max_log_bytes=behaviour.max_log_bytes,
        )

    def shell(
        self,
        script: str,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str | bytes] | None = None,
        timeout: timedelta | None = None,
        max_log_bytes: int = 1 << 20,
        resources: Resources = SMALL,
    ) -> WorkloadSpec:
        """Return the spec of a shell script that finds the witness folder in $WITNESS."""
        return WorkloadSpec(
            command=("/bin/sh", "-c", script),
            env={"WITNESS": str(self.witness), **(env or {})},
            secrets=secrets or {},
            timeout=timeout,
            max_log_bytes=max_log_bytes,
            resources=resources,
        )

    def run(self, script: str, **more: object) -> str:
        """Start a script under a new name."""
        name = self.new_name()
        self.backend.submit(name, self.shell(script, **more))  # type: ignore[arg-type]
        return name

    def text(self, script: str, **more: object) -> str:
        """Run a script to its end and return what it said."""
        name = self.run(script, **more)
        self.wait_final(name)
        return self.log(name).decode()

    def starts(self, name: str) -> int:
        try:
            return len((self.witness / name).read_text().splitlines())
        except FileNotFoundError:
            return 0

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        away = self.jobs_root.with_name("away")
        self.jobs_root.rename(away)
        try:
            yield
        finally:
            away.rename(self.jobs_root)

    def let_time_pass(self) -> None:
        time.sleep(0.002)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def close(self) -> None:
        """Remove every job and every trace; fail if one cannot be removed."""
        for name in self.backend.list_names() if self.jobs_root.exists() else []:
            self.backend.remove(name)
        for root in (sandbox.secrets_root(self.settings), sandbox.scratch_root(self.settings)):
            if root is not None:
                shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(self.folder)


def alive(pid: int) -> bool:
    """Say whether a process of that pid runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def marked_processes(name: str) -> list[int]:
    """Return the living processes that were started with the mark of `name`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"FATHOM_ATTEMPT_HANDLE={name}".encode() in environment and alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def await_true(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Poll until the condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def survivors(local: LocalCluster, name: str) -> list[int]:
    """Return what is alive of a job by the mark, by its folder, and by its own user."""
    found = set(marked_processes(name))
    found |= set(processes.named(rundir.SHIM_NAME, os.path.realpath(local.jobs_root / name)))
    pids_file = local.witness / f"{name}.pids"
    if local.mode != "bwrap" and pids_file.exists():  # in a namespace of its own a job has other pids
        found |= {pid for pid in map(int, pids_file.read_text().split()) if alive(pid)}
    uid_file = local.jobs_root / name / rundir.UID
    if uid_file.exists():
        uid = int(uid_file.read_text())
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and entry.stat().st_uid == uid and alive(int(entry.name)):
                    found.add(int(entry.name))
            except OSError:
                continue
    shim = json.loads((local.jobs_root / name / rundir.SHIM).read_text())["pid"] if uid_file.parent.exists() else 0
    return sorted(found - {shim})  # the shim writes the verdict, and then ends


def kill_shim(local: LocalCluster, name: str) -> None:
    """kill -9 of the process that watches over `name`."""
    record = json.loads((local.jobs_root / name / rundir.SHIM).read_text())
    os.kill(record["pid"], signal.SIGKILL)


def raw_settings(settings: LocalSettings) -> dict[str, object]:
    """Return settings as the JSON object they came from, to change one of them."""
    raw = {field.name: getattr(settings, field.name) for field in settings.fields()}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in raw.items()}
