"""Control groups of one job, version 1 and 2. Standard library only: the shim imports this.

On a machine with version 1 each controller is a tree of its own; version 2 is one tree for all. A machine may mount
both ("hybrid"); a controller is then in one of them only, and version 2 is used only if it has any that we need.
"""

import errno
import os
import time

CONTROLLERS = ("memory", "cpu", "pids")
CPU_PERIOD = 100_000  # microseconds
LEAST_CPU_MILLI = 10


def hierarchies(mounts: str = "/proc/self/mounts") -> dict[str, str]:
    """Return where cgroups are mounted: {"memory": path, ...} for version 1, {"unified": path} for version 2."""
    found: dict[str, str] = {}
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file]
    except OSError:
        return {}
    for fields in lines:
        if fields[2] == "cgroup2":
            found.setdefault("unified", fields[1])
        elif fields[2] == "cgroup":
            for option in fields[3].split(","):
                if option in CONTROLLERS:
                    found.setdefault(option, fields[1])
    return found


def prepare(parent: str) -> dict[str, str]:
    """Make the parent groups; return {controller: folder} for what can be limited, and "unified" if it can kill.

    The value is where a job's own group may be made. What cannot be had is not in the answer.
    """
    ready: dict[str, str] = {}
    found = hierarchies()
    if any(controller in found for controller in CONTROLLERS):
        found.pop("unified", None)
    for kind, mount in found.items():
        folder = f"{mount}/{parent}"
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            continue
        if not os.access(folder, os.W_OK):
            continue
        ready[kind] = folder
        if kind == "unified":
            ready.update(dict.fromkeys(_delegate(mount, parent), folder))
    return ready


def _delegate(mount: str, parent: str) -> list[str]:
    """Switch the controllers on for the children of `parent` (version 2); return those that are."""
    step = mount
    for part in ["", *parent.strip("/").split("/")]:
        step = f"{step}/{part}" if part else step
        for controller in CONTROLLERS:
            _write(f"{step}/cgroup.subtree_control", f"+{controller}")
    try:
        with open(f"{mount}/{parent}/cgroup.subtree_control", encoding="ascii") as file:
            enabled = file.read().split()
    except OSError:
        return []
    return [controller for controller in CONTROLLERS if controller in enabled]


class Group:
    """The groups of one job, one folder for each tree they are in."""

    def __init__(self, folders: dict[str, str]) -> None:
        self.folders = folders

    @classmethod
    def of(cls, ready: dict[str, str], name: str) -> "Group":
        """Return the groups that `name` has, or would have, below what `prepare` returned."""
        return cls({kind: f"{folder}/{name}" for kind, folder in ready.items()})

    def create(self, *, memory_bytes: int, cpu_milli: int, processes: int) -> None:
        """Make the groups and set the limits. Raises: OSError when a limit that was promised cannot be set."""
        for folder in set(self.folders.values()):
            os.makedirs(folder, exist_ok=True)
        if "memory" in self.folders and memory_bytes:
            self._limit_memory(self.folders["memory"], memory_bytes)
        if "cpu" in self.folders and cpu_milli:
            quota = max(cpu_milli, LEAST_CPU_MILLI) * CPU_PERIOD // 1000
            self._limit_cpu(self.folders["cpu"], quota)
        if "pids" in self.folders and processes:
            _must_write(f"{self.folders['pids']}/pids.max", str(processes))

    def _limit_memory(self, folder: str, limit: int) -> None:
        if os.path.exists(f"{folder}/memory.max"):
            _must_write(f"{folder}/memory.max", str(limit))
            _write(f"{folder}/memory.swap.max", "0")
            _write(f"{folder}/memory.oom.group", "1")
        else:
            _must_write(f"{folder}/memory.limit_in_bytes", str(limit))
            _write(f"{folder}/memory.memsw.limit_in_bytes", str(limit))

    def _limit_cpu(self, folder: str, quota: int) -> None:
        if os.path.exists(f"{folder}/cpu.max"):
            _must_write(f"{folder}/cpu.max", f"{quota} {CPU_PERIOD}")
        else:
            _must_write(f"{folder}/cpu.cfs_period_us", str(CPU_PERIOD))
            _must_write(f"{folder}/cpu.cfs_quota_us", str(quota))

    def enter(self) -> None:
        """Move the calling process, which has one thread, into the groups. Raises: OSError."""
        self.add(0)

    def add(self, pid: int) -> None:
        """Move a process of one thread (0: the calling one) into the groups. Raises: OSError.

        Version 1 can move the calling thread alone, which spares the kernel a lock over all processes of the machine,
        and us the 5 to 20 ms that taking it costs on a machine where nobody took it lately.
        """
        for folder in set(self.folders.values()):
            one = f"{folder}/tasks"
            _must_write(one if os.path.exists(one) else f"{folder}/cgroup.procs", str(pid))

    def open_early(self) -> bool:
        """Make the groups for a job to come, without limits; False where they could not be renamed for it (version 2)."""
        if not self.folders or not all(
            os.path.exists(f"{os.path.dirname(folder)}/tasks") for folder in self.folders.values()
        ):
            return False
        for folder in set(self.folders.values()):
            os.mkdir(folder)
        return True

    def pairs(self, to: dict[str, str]) -> set[tuple[str, str]]:
        """Return what is to be renamed so that the groups are those in `to`, which has the same kinds."""
        return {(folder, to[kind]) for kind, folder in self.folders.items()}

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed here for want of memory."""
        folder = self.folders.get("memory", "")
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(f"{folder}/{name}", encoding="ascii") as file:
                    counts = dict(line.split() for line in file)
            except OSError:
                continue
            return int(counts.get("oom_kill", 0))
        return 0

    def use(self) -> tuple[float | None, int | None, int | None]:
        """Return seconds of CPU used so far, bytes of memory now and at most; None for what these groups do not count.

        Without the files that the kernel keeps in memory as long as nobody needs it, except at most: it counts them there.
        """
        cpu, memory = self.folders.get("cpu", ""), self.folders.get("memory", "")
        used, cached = _number(memory, _MEMORY_NOW), _counted(f"{memory}/memory.stat", _CACHE)
        working = None if used is None else max(0, used - (cached or 0))
        return _cpu_seconds(cpu), working, _number(memory, _MEMORY_MOST)

    def pids(self) -> list[int]:
        """Return the living members."""
        found: set[int] = set()
        for folder in set(self.folders.values()):
            try:
                with open(f"{folder}/cgroup.procs", encoding="ascii") as file:
                    found.update(int(line) for line in file)
            except OSError:
                continue
        return sorted(found)

    def kill(self) -> None:
        """Kill every member, at once where the kernel can (version 2, Linux 5.14), else one by one."""
        unified = self.folders.get("unified")
        if unified and _write(f"{unified}/cgroup.kill", "1"):
            return
        for pid in self.pids():
            try:
                os.kill(pid, 9)
            except (ProcessLookupError, PermissionError):
                continue

    def destroy(self, *, patience_seconds: float = 0.5) -> bool:
        """Remove the groups; return whether they are gone. Killed members may need a moment to leave."""
        deadline = time.monotonic() + patience_seconds
        left = set(self.folders.values())
        while left:
            left = {folder for folder in left if not _rmdir(folder)}
            if left and time.monotonic() > deadline:
                return False
            if left:
                self.kill()
                time.sleep(0.002)
        return True


# The names of version 2, then of version 1.
_MEMORY_NOW = ("memory.current", "memory.usage_in_bytes")
_MEMORY_MOST = ("memory.peak", "memory.max_usage_in_bytes")
_CACHE = ("inactive_file", "total_inactive_file")


def _cpu_seconds(folder: str) -> float | None:
    microseconds = _counted(f"{folder}/cpu.stat", ("usage_usec",))
    if microseconds is not None:
        return microseconds / 1e6
    nanoseconds = _number(folder, ("cpuacct.usage",))  # of version 1, where it is mounted with the cpu controller
    return None if nanoseconds is None else nanoseconds / 1e9


def _number(folder: str, names: tuple[str, ...]) -> int | None:
    for name in names:
        try:
            with open(f"{folder}/{name}", encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return None


def _counted(path: str, names: tuple[str, ...]) -> int | None:
    """Return the last of `names` that a file of "name number" lines has: that of version 1 has both, and means the second."""
    try:
        with open(path, encoding="ascii") as file:
            counts = dict(line.split() for line in file)
    except (OSError, ValueError):
        return None
    found = [int(counts[name]) for name in names if name in counts]
    return found[-1] if found else None


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True


def _must_write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _write(path: str, value: str) -> bool:
    try:
        _must_write(path, value)
    except OSError:
        return False
    return True
