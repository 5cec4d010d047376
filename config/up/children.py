"""The processes under the supervisor: how each is started, watched, restarted and stopped."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil

from config.up.output import Console

_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # before the first, second, … restart in a row
_STEADY_SECONDS = 30.0  # after so long a death is a new story
_LONGEST_LINE = 1 << 16


class Server(Protocol):
    """An embedded server."""

    name: str
    stop_signal: signal.Signals

    def start(self) -> subprocess.Popen[bytes]: ...


class Child:
    """One process: running, waiting for its restart, or stopped for good."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]], stop_signal: signal.Signals) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0  # in a row
        self._start = start
        self._stop_signal = stop_signal
        self._started_at = 0.0
        self.restart_at: float | None = None

    def start(self) -> None:
        self.process = self._start()
        self._started_at = time.monotonic()
        self.restart_at = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def note_death(self) -> float:
        """Plan the restart. Return the pause before it."""
        if time.monotonic() - self._started_at > _STEADY_SECONDS:
            self.deaths = 0
        pause = _PAUSES[min(self.deaths, len(_PAUSES) - 1)]
        self.deaths += 1
        self.restart_at = time.monotonic() + pause
        return pause

    def ask_to_stop(self) -> None:
        if self.process is not None and self.is_running:
            self.process.send_signal(self._stop_signal)

    def kill(self) -> None:
        """End it and what it has started in its own session; jobs have sessions of their own."""
        if self.process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def how_it_ended(code: int | None) -> str:
    if code is None:
        return "cannot be started"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


class Relay:
    """Reads the children's output without a thread per child."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}

    def add(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            return
        fd = process.stdout.fileno()
        os.set_blocking(fd, False)
        self._rest[fd] = b""
        self._selector.register(process.stdout, selectors.EVENT_READ, name)

    def wake_on(self, fd: int) -> None:
        """Return from `turn` early when `fd` (which signals write to) has something."""
        self._selector.register(fd, selectors.EVENT_READ, None)

    def turn(self, seconds: float) -> None:
        """Show what comes within `seconds`, or until a signal."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                os.read(key.fd, 512)
            else:
                self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            return
        lines = (self._rest[key.fd] + data).split(b"\n")
        self._rest[key.fd] = lines.pop()
        if not data or len(self._rest[key.fd]) > _LONGEST_LINE:
            lines.append(self._rest[key.fd])
            self._rest[key.fd] = b""
        for line in filter(None, lines):
            self._console.relay(key.data, line)
        if not data:
            self._selector.unregister(key.fileobj)
            self._rest.pop(key.fd)
            key.fileobj.close()  # type: ignore[union-attr]  # registered as a file, never as a number


class Leash:
    """Starts Python modules that end when this process does."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._theirs, self._ours = os.pipe()

    def start(
        self, module: str, *arguments: str, fds: tuple[int, ...] = (), extra: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 -- our own modules
            [sys.executable, "-m", "config.up.leash", str(self._theirs), module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self._environment | (extra or {}),
            pass_fds=(self._theirs, *fds),
            start_new_session=True,  # Ctrl-C in the terminal is for the supervisor, which stops things in order
        )


class PidFiles:
    """Remembers which processes are ours, for the next start if this one is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            (self._folder / f"{name}.pid").write_text(f"{pid} {psutil.Process(pid).create_time()}")

    def clear_strays(self, names: tuple[str, ...]) -> list[str]:
        """End what a killed start has left running. Return whom it found."""
        strays = {name: process for name in names if (process := self._stray(name)) is not None}
        for process in strays.values():
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(list(strays.values()), timeout=5)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        return list(strays)

    def forget(self, name: str) -> None:
        (self._folder / f"{name}.pid").unlink(missing_ok=True)

    def _stray(self, name: str) -> psutil.Process | None:
        try:
            pid, _, created = (self._folder / f"{name}.pid").read_text().partition(" ")
            process = psutil.Process(int(pid))
            # A number is used again after a while; its time of birth is not.
            return process if abs(process.create_time() - float(created)) < 1.0 else None
        except (OSError, ValueError, psutil.Error):
            return None
