"""A real `manage.py up` in a process of its own, on free ports."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 90.0


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def eventually(what: Callable[[], object], seconds: float = PATIENCE) -> object:
    """Wait until `what` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"still not true after {seconds} s: {what}"
        time.sleep(0.05)


class Up:
    """One start of the platform. `before` is Python that runs in its process first."""

    def __init__(
        self, home: Path, *options: str, ports: tuple[int, int] | None = None, before: str = "", **environment: str
    ) -> None:
        self.home = home
        self.port, self.content_port = ports or free_ports()
        self.lines: list[str] = []
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "REDIS_URL", "FATHOM_HOME", "DJANGO_SETTINGS_MODULE"}
        }
        program = ["-c", f"{before}\nimport manage; manage.main()"] if before else ["manage.py"]
        command = [sys.executable, *program, "up", "--home", str(home), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--content-port", str(self.content_port), *options],
            cwd=REPOSITORY,
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(line.rstrip("\n") for line in output)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def has_said(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.output)

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        while not (found := self.has_said(pattern)):
            assert time.monotonic() < deadline, f"never said {pattern!r}:\n{self.output}"
            assert self.process.poll() is None or self._reader.is_alive(), f"ended before {pattern!r}:\n{self.output}"
            time.sleep(0.02)
        return found

    def wait_until_ready(self) -> float:
        return float(self.wait_for(r"Fathom is ready: http://127\.0\.0\.1:\d+/ \(([\d.]+) s\)").group(1))

    def wait_for_end(self, seconds: float = PATIENCE) -> int:
        code = self.process.wait(seconds)
        self._reader.join(PATIENCE)
        return code

    def pid_of(self, name: str) -> int:
        """Return the pid in the file. Raises: IndexError while it is being written."""
        return int((self.home / "run" / f"{name}.pid").read_text().split()[0])

    def is_replaced(self, name: str, before: int) -> bool:
        """Say whether another process than `before` has that name, and runs."""
        try:
            return self.pid_of(name) != before and self.is_alive(name)
        except (OSError, IndexError):
            return False

    def is_alive(self, name: str) -> bool:
        try:
            return psutil.Process(self.pid_of(name)).status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError, IndexError):
            return False

    def answers(self, path: str = "/readyz") -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE / 3) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                return client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and everything below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                for process in self.processes():
                    process.kill()
                self.process.wait(10)
        self._reader.join(5)
