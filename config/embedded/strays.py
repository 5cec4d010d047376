"""Processes that an earlier, killed start has left behind."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

_HAS_PROC = Path("/proc/self/cwd").exists()


def living_in(folder: Path) -> list[int]:
    """Return the processes whose working folder is `folder`, under whatever name they see it."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    return [pid for pid in psutil.pids() if pid != os.getpid() and _is_there(pid, folder, wanted)]


def _is_there(pid: int, folder: Path, wanted: os.stat_result) -> bool:
    try:
        if _HAS_PROC:
            found = Path(f"/proc/{pid}/cwd").stat()  # follows the link, so mount namespaces do not matter
            return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
        return Path(psutil.Process(pid).cwd()) == folder
    except (OSError, psutil.Error):
        return False


def clear(folder: Path, *, gently: signal.Signals, patience: float, leader: Callable[[], int | None]) -> list[int]:
    """End what lives in `folder`: the leader asked gently, then everybody by force. Return whom it found."""
    found = living_in(folder)
    if not found:
        return []
    first = leader()
    for pid in [first] if first in found else found:
        _signal(pid, gently)
    for _ in _until(patience):
        if not living_in(folder):
            return found
    for _ in _until(5.0):
        left = living_in(folder)
        if not left:
            break
        for pid in left:
            _signal(pid, signal.SIGKILL)
    return found


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _until(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.02)
