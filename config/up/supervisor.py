"""Keeps PostgreSQL, Valkey, web and worker running, and stops them in the right order."""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import orjson

from config.embedded.errors import StartError
from config.embedded.postgres import Postgres
from config.embedded.valkey import Valkey
from config.env import REPOSITORY
from config.up.children import Child, Leash, PidFiles, Relay, how_it_ended
from config.up.home import Home, open_home, write_private
from config.up.output import Console
from config.up.ports import bind_ports
from config.up.preparation import Mark, Preparation, Prepared

if TYPE_CHECKING:
    from config.up.main import Options

_PYTHON_CHILDREN = ("web", "worker", "prepare", "sample")
_START_SECONDS = 120.0
_MOST_DEATHS_BEFORE_READY = 3
_PROBE_SECONDS = 0.05
_STOP_SECONDS = 10.0  # web and worker; a task may take that long to reach its end
_SERVER_STOP_SECONDS = 20.0


class Interrupted(Exception):
    """Somebody wants it to stop while it is starting."""


class Supervisor:
    """One start of the platform. `start`, `run` until told to stop, `stop`."""

    def __init__(self, options: "Options", console: Console, began: float) -> None:
        """Take the data folder and the ports. Raises: StartError; nothing has been started then."""
        self.stop_asked = 0
        self._options, self._console, self._began = options, console, began
        self._home: Home = open_home(options.home, options.url)
        self._pids = PidFiles(options.home / "run")
        strays = self._pids.clear_strays(_PYTHON_CHILDREN)
        self._sockets = bind_ports(options.host, options.port, options.content_port)
        self._console = Console(options.home / "log")
        if strays:
            self._console.say(f"The last start was killed; ended what it had left: {', '.join(strays)}.")
        self._relay = Relay(self._console)
        self._children: list[Child] = []  # in the order of their start
        self._servers: list[Postgres | Valkey] = []
        self._sample: subprocess.Popen[bytes] | None = None
        self._preparation: Preparation | None = None
        self._prepared: Prepared | None = None
        self._wake_on_signals()
        self._leash = Leash(self._environment(), REPOSITORY)
        # Somebody else's database may change behind our back, so what we remember counts for our own only.
        self._is_embedded = any(isinstance(server, Postgres) for server in self._servers)
        self._mark = Mark(options.home / "pg" if self._is_embedded else options.home)

    # --- start --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until the platform answers. Raises: StartError."""
        # Loading Django takes longer than starting the servers, so both happen at once; nobody asks for the database
        # before he has loaded.
        self._add("web", partial(self._leash.start, "config.web", fds=self._socket_fds(), extra=self._socket_names()))
        is_known = self._mark.is_current and self._is_embedded
        if not is_known:
            self._preparation = Preparation(self._start_preparation)
        self._start_servers()
        if not is_known:
            self._await_preparation()
        if self._options.worker:
            self._add("worker", partial(self._leash.start, "config.worker"))
        self._await_ready()
        self._announce()
        if is_known and (self._options.sample or not self._mark.has_admin):
            self._preparation = Preparation(self._start_preparation)

    def _environment(self) -> dict[str, str]:
        options = self._options
        environment = dict(os.environ) | {
            "FATHOM_HOME": str(options.home),
            "FATHOM_HOST": options.host,
            "FATHOM_PORT": str(options.port),
            "FATHOM_CONTENT_PORT": str(options.content_port),
            "PYTHONUNBUFFERED": "1",
            "C_FORCE_ROOT": "1",  # Celery's warning is about pickle, which is switched off
            # glibc gives each thread a heap of its own, which mostly holds air.
            "MALLOC_ARENA_MAX": "2",
        }
        environment.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
        if not environment.get("DATABASE_URL"):
            postgres = Postgres(options.home)
            environment["DATABASE_URL"] = postgres.url
            self._servers.append(postgres)
        if not environment.get("REDIS_URL"):
            valkey = Valkey(options.home)
            environment["REDIS_URL"] = valkey.url
            self._servers.append(valkey)
        shared = ("DATABASE_URL", "REDIS_URL", "FATHOM_HOST", "FATHOM_PORT", "FATHOM_CONTENT_PORT")
        write_private(options.home / "run" / "env.json", orjson.dumps({name: environment[name] for name in shared}))
        return environment

    def _socket_fds(self) -> tuple[int, ...]:
        return tuple(bound.fileno() for bound in self._sockets)

    def _socket_names(self) -> dict[str, str]:
        return {"FATHOM_WEB_FDS": ",".join(map(str, self._socket_fds()))}

    def _start_servers(self) -> None:
        begun: list[tuple[Postgres | Valkey, Child]] = []
        for server in reversed(self._servers):  # Valkey is quick to start and slow to answer: it goes first
            if server.prepare() and server.name == "postgres":
                self._console.say(f"Made a new data folder in {self._options.home}.")
            begun.append((server, self._add(server.name, server.start, server.stop_signal)))
        for server, child in begun:
            if child.process is not None:
                server.wait(child.process, check=self._check)

    def _add(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Child:
        child = Child(name, start, stop_signal)
        self._children.append(child)
        self._begin(child)
        return child

    def _begin(self, child: Child) -> None:
        child.start()
        if child.process is not None:
            self._pids.write(child.name, child.process.pid)
            self._relay.add(child.name, child.process)

    def _start_preparation(self, module: str, reports: int) -> subprocess.Popen[bytes]:
        arguments = [str(reports), *(["--sample"] if self._options.sample else [])]
        process = self._leash.start(module, *arguments, fds=(reports,))
        self._pids.write("prepare", process.pid)
        self._relay.add("prepare", process)
        return process

    def _check(self) -> None:
        # Signals only count: an exception from a handler could come between a fork and our knowing of it.
        if self.stop_asked:
            raise Interrupted

    def _await_preparation(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self._prepared is None:
            self._check()
            self._turn(_PROBE_SECONDS)
            self._look_at_preparation()
            if time.monotonic() > deadline:
                msg = f"The database was not ready within {_START_SECONDS:.0f} s; the reason may be in {self._options.home / 'log'}."
                raise StartError(msg)

    def _look_at_preparation(self) -> None:
        if self._preparation is None:
            return
        self._prepared = self._preparation.result()
        if self._prepared is not None:
            self._preparation = None
            self._pids.forget("prepare")
            self._mark.write(self._prepared)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            self._check()
            self._turn(_PROBE_SECONDS)
            broken = next((child for child in self._children if child.deaths >= _MOST_DEATHS_BEFORE_READY), None)
            if broken is not None or time.monotonic() > deadline:
                what = (
                    f"The {broken.name} process ended {broken.deaths} times"
                    if broken
                    else "The platform did not answer"
                )
                msg = f"{what} before it was ready; the reason is above, and in {self._options.home / 'log'}."
                raise StartError(msg)

    def _is_ready(self) -> bool:
        """Ask the web process itself. Raises nothing: whatever goes wrong means "not yet"."""
        host, port = self._sockets[0].getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not bound
        try:
            with socket.create_connection((host, port), timeout=1.0) as client:
                client.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                # The kernel takes connections for a process that is still loading: only the answer counts.
                ready, _, _ = select.select([client], [], [], 0.5)
                return bool(ready) and client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def _announce(self) -> None:
        options = self._options
        took = time.monotonic() - self._began
        self._console.say(f"Fathom is ready: {options.url}/ ({took:.1f} s)", strong=True)
        if options.host not in {"127.0.0.1", "localhost", "::1"} and options.url.startswith("http://"):
            self._console.say("Other machines can reach this, and nothing is encrypted: put a TLS proxy in front.")

    def _tell(self, prepared: Prepared) -> None:
        if prepared.setup_path:
            link = f"{self._options.url}{prepared.setup_path}"
            self._console.say(f"There is no admin yet. Make the first one within 24 hours: {link}", strong=True)
        if prepared.demo_token:
            self._start_sample(prepared.demo_token)

    def _start_sample(self, token: str) -> None:
        # Not one of the children: it ends by itself.
        process = self._leash.start(
            "fathom",
            *("run", "-f", "examples/digits/spec.yaml"),
            extra={"FATHOM_URL": self._options.url, "FATHOM_TOKEN": token, "FATHOM_CONFIG": os.devnull},
        )
        self._pids.write("sample", process.pid)
        self._relay.add("sample", process)
        self._sample = process

    # --- run ----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Restart what dies until somebody asks to stop."""
        while not self.stop_asked:
            self._turn(1.0)
            self._look_at_preparation()
            if self._prepared is not None:
                self._tell(self._prepared)
                self._prepared = None

    def _turn(self, seconds: float) -> None:
        due = [child.restart_at - time.monotonic() for child in self._children if child.restart_at is not None]
        self._relay.turn(max(0.0, min([seconds, *due])))
        if self.stop_asked:
            return
        for child in self._children:
            if child.restart_at is not None:
                if child.restart_at <= time.monotonic():
                    self._restart(child)
            elif not child.is_running:
                self._note_death(child)

    def _note_death(self, child: Child) -> None:
        code = child.process.returncode if child.process else None
        pause = child.note_death()
        self._console.say(f"{child.name} {how_it_ended(code)}; starting it again in {pause:g} s.")

    def _restart(self, child: Child) -> None:
        try:
            self._begin(child)
        except (StartError, OSError) as error:
            pause = child.note_death()
            self._console.say(f"{child.name} cannot be started: {error} Next try in {pause:g} s.")

    # --- stop ---------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop everything in order, jobs excepted; at once when asked a second time."""
        self.stop_asked = max(1, self.stop_asked)
        self._console.say("Stopping. Running jobs go on; the next start finds them.")
        platform = [child for child in self._children if child.name in _PYTHON_CHILDREN]
        servers = [child for child in self._children if child not in platform]
        for bound in self._sockets:
            bound.close()
        self._end_helpers()
        self._end(platform, _STOP_SECONDS)
        self._end(servers, _SERVER_STOP_SECONDS)
        self._relay.turn(0)
        for child in self._children:
            self._pids.forget(child.name)
        self._home.release()
        self._console.say("Stopped.")

    def _end_helpers(self) -> None:
        for name in ("prepare", "sample"):
            self._pids.clear_strays((name,))
            self._pids.forget(name)

    def _end(self, children: list[Child], seconds: float) -> None:
        asked = self.stop_asked
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + seconds
        while any(child.is_running for child in children):
            if time.monotonic() > deadline or self.stop_asked > asked or asked > 1:
                for child in children:
                    child.kill()
            self._relay.turn(0.05)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _wake_on_signals(self) -> None:
        ours, theirs = os.pipe()
        for fd in (ours, theirs):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that a death ends the wait
        self._relay.wake_on(ours)
