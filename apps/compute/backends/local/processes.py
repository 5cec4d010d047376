"""Looking at processes and ending them, through /proc. Standard library only: the shim and the guard import this."""

import os

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal


def boot_id() -> str:
    """Return what tells one start of the machine from the next."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def start_time(pid: int) -> int:
    """Return when `pid` started, in clock ticks since boot; -1 when there is no such process.

    Together with the pid and the boot id it names one process for ever: a reused pid has another start time.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else -1


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/<pid>/stat from the state on; the command name may hold anything, so skip it."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        data = os.read(fd, 4096)
    except OSError:  # gone between open and read
        return []
    finally:
        os.close(fd)
    return data[data.rfind(b")") + 2 :].split()


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def descendants(root: int) -> list[int]:
    """Return the living descendants of `root`, parents first. Zombies are dead and not listed."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for pid in _pids():
        fields = _stat(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
            if fields[0] in (b"Z", b"X"):
                dead.add(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        queue.extend(below)
        found.extend(pid for pid in below if pid not in dead)
    return found


def use(root: int) -> tuple[float, int]:
    """Return seconds of CPU that the descendants of `root`, and what they have waited for, used so far; their memory."""
    ticks, pages = 0, 0
    for pid in descendants(root):
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])
            pages += int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def children(parent: int) -> list[int]:
    """Return the living children of `parent`."""
    found = []
    for pid in _pids():
        fields = _stat(pid)
        if fields and int(fields[1]) == parent and fields[0] not in (b"Z", b"X"):
            found.append(pid)
    return found


def marked(markers: tuple[bytes, ...]) -> list[int]:
    """Return the processes whose environment at their start held every one of `markers` (b"NAME=value")."""
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read().split(b"\0")
        except OSError:  # gone, or another user's
            continue
        if all(marker in environment for marker in markers):
            found.append(pid)
    return found


def named(name: str, folder: str) -> list[int]:
    """Return the processes called `name` whose working directory is `folder`."""
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                is_named = file.read() == f"{name}\n"
            if is_named and os.readlink(f"/proc/{pid}/cwd") == folder:
                found.append(pid)
        except OSError:  # gone
            continue
    return found


def owned_by(uid: int) -> list[int]:
    """Return the processes of one user."""
    found = []
    for pid in _pids():
        try:
            owner = os.stat(f"/proc/{pid}").st_uid
        except OSError:  # gone
            continue
        if owner == uid:
            found.append(pid)
    return found


def kill_all(pids: list[int], signum: int = signal.SIGKILL) -> int:
    """Signal every one of `pids` that is still there; return how many were."""
    hit = 0
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue
        hit += 1
    return hit


def is_running(pid: int, started: int) -> bool:
    """Say whether the one process that has this pid and this start time lives; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and int(fields[19]) == started and fields[0] not in (b"Z", b"X")


def signal_exactly(pid: int, started: int, signum: int) -> bool:
    """Signal the one living process that has this pid and this start time; never a later owner of the pid."""
    try:
        fd = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        if not is_running(pid, started):  # the descriptor pins the process, so this cannot become another's
            return False
        signal.pidfd_send_signal(fd, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True
