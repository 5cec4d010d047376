"""A whole platform of real processes in a temporary folder on free ports, for tests that look at it from outside."""

import atexit
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).resolve().parent.parent
_CLEAN = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "FATHOM_HOME", "FATHOM_URL", "FATHOM_TOKEN")

T = TypeVar("T")


def free_port() -> int:
    """Return a port that nobody has, and that the system gives to no connection by itself: it is free again after an outage."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], T], *, seconds: float = 30.0, every: float = 0.02, what: str = "it") -> T:
    """Return the first true value of `condition`, asked again and again. Raises: AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            msg = f"waited {seconds} s for {what}"
            raise AssertionError(msg)
        time.sleep(every)


@dataclass
class Platform:
    """`manage.py up` on `home`. Output goes to a file that `output` reads."""

    home: Path
    port: int = field(default_factory=free_port)
    content_port: int = field(default_factory=free_port)
    extra: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _CLEAN}
        # Nobody measures what jobs use, unless the test asks for it: it would add metrics to their runs.
        own = {
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "FATHOM_MEASURE_SECONDS": "3600",
            "FATHOM_HOME": str(self.home),
        }
        return {**kept, **own, **self.extra}

    @property
    def output(self) -> str:
        return (self.home.parent / f"{self.home.name}.out").read_text(errors="replace")

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it says that it is ready."""
        before = len(self.output) if (self.home.parent / f"{self.home.name}.out").exists() else 0
        out = (self.home.parent / f"{self.home.name}.out").open("ab")
        ports = ["--port", str(self.port), "--content-port", str(self.content_port)]
        command = [sys.executable, "manage.py", "up", "--home", str(self.home), *ports]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        out.close()
        if wait:
            wait_for(lambda: self._is_ready(before), seconds=120, what="the ready line")

    def _is_ready(self, before: int) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            msg = f"it ended with {self.process.returncode}:\n{self.output[before:]}"
            raise AssertionError(msg)
        return "Fathom is ready" in self.output[before:]

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def manage(self, code: str) -> str:
        """Run Python with the platform's settings, beside it; return what it prints."""
        script = f"import django; django.setup()\n{code}"
        env = {**self.environment, "DJANGO_SETTINGS_MODULE": "config.settings.local"}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    def make_user(self, name: str, *, password: str = "", is_admin: bool = False) -> str:
        """Create a person and return a token of his."""
        printed = self.manage(
            "from apps.access.principal import SYSTEM\n"
            "from apps.accounts import services\n"
            f"user = services.create_user({name!r}, by=SYSTEM, password={password or None!r}, is_admin={is_admin!r})\n"
            "print(services.issue_token(user, by=SYSTEM, name='test')[1])\n"
        )
        return printed.strip().splitlines()[-1]

    def api(self, token: str, method: str, path: str, body: Any = None) -> Any:
        """Call the API; return the decoded answer. Raises: HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v2{path}", data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def processes(self) -> dict[int, str]:
        """Return the live processes of this platform (not its jobs), pid and command line, from /proc."""
        assert self.process is not None
        found: dict[int, str] = {}
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if line:
                    found[pid] = line
        return found

    def pid_of(self, role: str) -> int:
        """Return the main process of "web", "worker", "postgres" or "valkey"."""
        patterns = {
            "web": r"config\.web",
            "worker": r"config\.worker",
            "postgres": r"postgres -D",
            "valkey": r"valkey-server",
        }

        def find() -> int:
            return next((pid for pid, line in self.processes().items() if re.search(patterns[role], line)), 0)

        return wait_for(find, seconds=60, what=f"a {role} among {self.processes()}")


def prepared_home() -> Path:
    """Return a data folder that a platform has made, used and left; what the last one did with it is forgotten.

    To make one takes as long as three more starts. It remembers where it lies, so it always lies there: one at a time.
    """
    home = _made_home()
    shutil.rmtree(home)
    (home.parent / f"{home.name}.out").unlink(missing_ok=True)
    subprocess.run(["cp", "-a", str(home.with_name("kept")), str(home)], check=True)  # owners and all
    return home


@cache
def _made_home() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fathom-prepared-"))
    folder.chmod(0o755)  # jobs run as a user of their own and must reach their folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    first = Platform(folder / "home")
    try:
        first.start()
    finally:
        code = first.stop()
    assert code == 0, first.output
    subprocess.run(["cp", "-a", str(first.home), str(folder / "kept")], check=True)
    return first.home


def descendants(pid: int) -> list[int]:
    """Return the pids of all processes below `pid`, nearest first."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = [int(child) for child in (task / "children").read_text().split()]
            for child in children:
                found += [child, *descendants(child)]
    return found


def proportional_memory(pids: list[int]) -> int:
    """Return the memory of processes in bytes, shared pages counted once (PSS)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
            total += int(match[1]) * 1024 if match else 0
    return total
