"""Jobs as processes of this machine, each under a shim that outlives the platform. See docs/adr/0003."""

import errno
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from apps.compute.backends.base import (
    Backend,
    BackendSettings,
    EnvironmentGone,
    Inventory,
    Meter,
    Rejected,
    Unavailable,
)
from apps.compute.backends.local import (
    files,
    launch,
    observation,
    prepared,
    processes,
    rundir,
    sandbox,
    uids,
)
from apps.compute.backends.local.cgroups import Group
from apps.compute.backends.local.environments import LocalEnvironments, prepare_root
from apps.compute.backends.local.files import JobLock
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.contract import (
    BackendHealth,
    Capability,
    LogChunk,
    Observation,
    Phase,
    Use,
    WorkloadSpec,
)

SUBMIT_SECONDS = 20.0  # for another process that is submitting the same name right now
REMOVE_SECONDS = 5.0  # for killed processes to be gone


class LocalBackend(LocalEnvironments, Backend, Inventory, Meter):
    """Runs every workload as a process of this machine, in the best sandbox there is."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.ISOLATES_TENANTS,
            Capability.LIMITS_MEMORY,
            Capability.LIMITS_CPU,
            Capability.ENVIRONMENTS,
            Capability.CHEAP_OBSERVE,
        }
    )
    settings_schema: ClassVar[type[BackendSettings]] = LocalSettings

    def __init__(self, settings: LocalSettings) -> None:
        super().__init__(settings)
        self.settings: LocalSettings = settings
        self._root = Path(settings.jobs_root)
        self._guard = threading.Lock()
        self._ready: launch.Launcher | None = None

    # -- the contract

    @override
    def submit(self, name: str, spec: WorkloadSpec) -> None:
        """See `Backend.submit`. A name that was stopped first is accepted and not started."""
        if not rundir.is_name(name):
            msg = f"{name!r} cannot be the name of a job here"
            raise Rejected(msg)
        launch.check(spec, self._capacity())
        launcher = self._launcher()
        if spec.environment and not self.has_environment(spec.environment):
            msg = f"the environment {spec.environment} is not on this machine"
            raise EnvironmentGone(msg)
        try:
            lock = self._claim(name)
            if lock is not None:
                with lock:
                    if not _was_decided(self._root / name):
                        launcher.start(name, self._root / name, spec, lock.fd)
        except OSError as error:
            raise _unavailable(error) from error

    @override
    def observe(self, names: Collection[str]) -> dict[str, Observation]:
        """See `Backend.observe`. A name barred by `stop` is FAILED with reason "Stopped"."""
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            message = f"cannot look into {self._root}: {error.strerror}"
            return {name: Observation(Phase.UNKNOWN, reason="Unreachable", message=message) for name in names}
        try:
            return {name: observation.look(root, name) for name in names}
        finally:
            os.close(root)

    @override
    def stop(self, name: str, *, grace: timedelta) -> None:
        """See `Backend.stop`. Also ends what a killed shim may have left behind."""
        if not rundir.is_name(name):
            return
        launcher = self._launcher()
        wish = f"{max(0.0, grace.total_seconds())} {time.time():.6f}".encode()
        try:
            if self._bar(name, wish):
                return
            run = self._root / name
            if (run / rundir.EXIT).exists():
                return
            files.put(run, rundir.STOP, wish)
            if not self._wake_shim(run):
                self._kill_rest(launcher, name, run)
        except FileNotFoundError:  # removed meanwhile
            return
        except OSError as error:
            raise _unavailable(error) from error

    @override
    def read_log(self, name: str, *, offset: int, limit: int) -> LogChunk:
        """See `Backend.read_log`. `eof` is also true for a job that is gone without a verdict."""
        ended = self.observe([name])[name]  # before the read: what is final then cannot grow after it
        if ended.phase is Phase.UNKNOWN:
            raise Unavailable(ended.message)
        try:
            with open(self._root / name / rundir.LOG, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(offset)
                data = file.read(max(0, limit))
        except (FileNotFoundError, NotADirectoryError):
            return LogChunk(offset, b"", eof=ended.phase.is_final or ended.phase is Phase.MISSING)
        except OSError as error:
            raise _unavailable(error) from error
        over = ended.phase.is_final or ended.phase is Phase.MISSING
        return LogChunk(offset, data, eof=over and offset + len(data) >= size)

    @override
    def health(self) -> BackendHealth:
        try:
            launcher = self._launcher()
        except Unavailable as error:
            return BackendHealth(ok=False, message=str(error))
        except OSError as error:
            return BackendHealth(ok=False, message=f"cannot set up the local cluster: {error}")
        found = sandbox.isolation(self.settings)
        able = {Capability.ISOLATES_TENANTS} if found.isolates else set()
        warnings = list(found.warnings)
        able |= {Capability.ENVIRONMENTS}
        able |= {Capability.LIMITS_MEMORY} if "memory" in launcher.groups else set()
        able |= {Capability.LIMITS_CPU} if "cpu" in launcher.groups else set()
        if "memory" not in launcher.groups:
            warnings.append("memory is not limited: no writable memory cgroup; one job can exhaust the machine")
        if "cpu" not in launcher.groups:
            warnings.append("CPU is not limited: no writable cpu cgroup; jobs slow each other and the platform down")
        message = f"sandbox: {found.mode}"
        return BackendHealth(True, message, frozenset(able), self._capacity(), tuple(warnings))

    @override
    def list_names(self) -> list[str]:
        try:
            with os.scandir(self._root) as entries:
                return sorted(entry.name for entry in entries if rundir.is_name(entry.name) and entry.is_dir())
        except OSError as error:
            raise _unavailable(error) from error

    @override
    def remove(self, name: str) -> None:
        if not rundir.is_name(name):
            return
        launcher = self._launcher()
        run = self._root / name
        self._reach()
        try:
            with JobLock.opened(run) as lock:
                if lock is not None:
                    self._end(launcher, name, run, lock)
            self._free(launcher, name, run)
        except OSError as error:
            raise _unavailable(error) from error

    @override
    def measure(self, names: Collection[str]) -> dict[str, Use]:
        """See `Meter.measure`. By control groups, or else by the processes below the shim, whose peak nobody knows."""
        self._reach()
        launcher = self._launcher()
        found = {name: self._use(launcher, name) for name in names if rundir.is_name(name)}
        return {name: use for name, use in found.items() if use.cpu_seconds is not None}

    def _use(self, launcher: launch.Launcher, name: str) -> Use:
        seconds, memory, peak = Group.of(launcher.groups, launcher.group_name(name)).use()
        run = self._root / name
        if seconds is None and not (run / rundir.EXIT).exists() and (record := files.read_json(run / rundir.SHIM)):
            pid, started = int(record["pid"]), int(record["starttime"])
            if record.get("boot_id") == processes.boot_id() and processes.is_running(pid, started):
                seconds, memory = processes.use(pid)
        return Use(seconds, memory, peak)

    # -- submit

    def _launcher(self) -> launch.Launcher:
        """Set the cluster up on first use: folders, cgroups, a tried sandbox. Raises: Unavailable, OSError."""
        with self._guard:
            if self._ready is not None:
                return self._ready
            try:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                files.remove_stale(self._root, prefixes=(".new-", ".dead-"))
                self._remove_unused()
                found = sandbox.isolation(self.settings)
                if not found.mode:
                    raise Unavailable(found.warnings[0])
                prepare_root(sandbox.environments_root(self.settings, found.mode))  # before it is shown to the jobs
                self._ready = launch.Launcher(self.settings, found)
            except OSError as error:
                raise _unavailable(error) from error
            return self._ready

    def _remove_unused(self) -> None:
        """Remove what a process that waited for a job has left where it was killed."""
        for root in (self._root, sandbox.secrets_root(self.settings)):
            for path in root.glob(f"{prepared.PREFIX}*") if root else ():
                if prepared.is_orphan(path.name):
                    files.remove_tree(path)

    def _reach(self) -> None:
        """Make sure that an absent name is really absent, and not its whole disk. Raises: Unavailable."""
        if not self._root.is_dir():
            msg = f"the folder of the jobs is gone: {self._root}"
            raise Unavailable(msg)

    def _claim(self, name: str) -> "JobLock | None":
        """Return the held lock of a name that is to be started by us; None when its fate is decided.

        The folder gets its name with the lock already held, so at no moment is there a folder whose lock is free
        while its submit is under way. Raises: Unavailable, OSError.
        """
        run = self._root / name
        if not run.exists():
            lock = self._create(run)
            if lock is not None:
                return lock
        deadline = time.monotonic() + SUBMIT_SECONDS
        while not _was_decided(run):
            lock = JobLock.take(run)
            if lock is not None:
                return lock
            if time.monotonic() > deadline:
                msg = f"{name} is being submitted by another process, which does not come to an end"
                raise Unavailable(msg)
            time.sleep(0.002)  # the other process waits for its shim; so do we, for the same one
        return None

    def _create(self, run: Path, *, stop: bytes = b"") -> "JobLock | None":
        """Make the folder of a name, locked; None when there is one already."""
        self._reach()
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=self._root))
        lock = JobLock.create(draft)
        try:
            if stop:
                files.put(draft, rundir.STOP, stop)
            draft.rename(run)
        except OSError as error:
            lock.close()
            shutil.rmtree(draft, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return None
            raise
        files.sync(self._root)
        return lock

    # -- stop

    def _bar(self, name: str, wish: bytes) -> bool:
        """Bar a name that nobody submitted yet; False when there is something to stop."""
        run = self._root / name
        if run.exists():
            return False
        lock = self._create(run, stop=wish)
        if lock is None:
            return False
        lock.close()
        return True

    def _wake_shim(self, run: Path) -> bool:
        """Make the shim look at the `stop` file; False when there is a dead shim and no verdict.

        No record of a shim yet is fine: it looks at the file after it has written its record, so one of us sees the
        other. Never signals another process that got the pid later.
        """
        record = files.read_json(run / rundir.SHIM)
        if record is None:
            return True
        if record.get("boot_id") == processes.boot_id() and processes.signal_exactly(
            int(record["pid"]), int(record["starttime"]), signal.SIGTERM
        ):
            return True
        return (run / rundir.EXIT).exists()

    def _kill_rest(self, launcher: launch.Launcher, name: str, run: Path) -> None:
        """Kill whatever lives on of a job whose shim is gone: its group, its user, and all that carry its mark."""
        Group.of(launcher.groups, launcher.group_name(name)).kill()
        inside = sandbox.INSIDE_JOB if sandbox.isolation(self.settings).mode == "bwrap" else self._job(run)
        marks = tuple(f"{key}={value}".encode() for key, value in launch.marks(name, inside).items())
        processes.kill_all(processes.marked(marks))
        # Outside of a sandbox the guard is a fork of the shim, which is a fork of the starter: no mark, but a name and a place.
        processes.kill_all(processes.named(rundir.SHIM_NAME, os.path.realpath(run)))
        uid = files.read_text(run / rundir.UID)
        if uid.isdigit():
            processes.kill_all(processes.owned_by(int(uid)))

    def _job(self, run: Path) -> str:
        return sandbox.job_folder(self.settings, sandbox.isolation(self.settings).mode, run.name)

    # -- remove

    def _end(self, launcher: launch.Launcher, name: str, run: Path, lock: "JobLock") -> None:
        """Kill a job, hard, and wait until its lock is ours: then nothing can start or run under its name any more."""
        deadline = time.monotonic() + REMOVE_SECONDS
        while not rundir.take_lock(lock.fd):
            record = files.read_json(run / rundir.SHIM) or {}
            if record.get("boot_id") == processes.boot_id():
                processes.signal_exactly(int(record["pid"]), int(record["starttime"]), signal.SIGKILL)
            self._kill_rest(launcher, name, run)
            if time.monotonic() > deadline:
                msg = f"{name} cannot be killed"
                raise Unavailable(msg)
            time.sleep(0.005)
        if not (run / rundir.EXIT).exists():
            self._kill_rest(launcher, name, run)

    def _free(self, launcher: launch.Launcher, name: str, run: Path) -> None:
        """Free everything outside of the folder first: while the folder is there, the sweep comes again."""
        if not Group.of(launcher.groups, launcher.group_name(name)).destroy(patience_seconds=REMOVE_SECONDS):
            msg = f"what is left of {name} does not leave its cgroup"
            raise Unavailable(msg)
        for folder in {launcher.secrets_folder(name), self._job(run)}:
            files.remove_tree(Path(folder))
        uid = files.read_text(run / rundir.UID)
        if uid.isdigit():
            uids.release(self._root, name, int(uid))
        if run.exists():
            dead = Path(tempfile.mkdtemp(prefix=".dead-", dir=self._root))
            run.rename(dead / name)
            files.remove_tree(dead)

    # -- what there is

    def _capacity(self) -> dict[str, int]:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return {
            "cpu": self.settings.cpu_milli or cpus * 1000,
            "memory": self.settings.memory_bytes or memory,
            "gpu": 0,
        }


def _was_decided(run: Path) -> bool:
    """Say whether the name was started, ended or barred, so that nothing is left to start."""
    return any((run / file).exists() for file in (rundir.SHIM, rundir.EXIT, rundir.STOP))


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"the local cluster cannot be used: {error.strerror or error} {error.filename or ''}".strip())
