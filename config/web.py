"""The web process: `python -m config.web` serves the platform and, on a port of its own, what users have made.

One process is the default. With FATHOM_WEB_WORKERS=N this one binds the ports and keeps N processes that share them.
"""

import asyncio
import contextlib
import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import uvicorn
import uvloop
from typing_extensions import override

from apps.core import garbage
from config.env import env_int, env_str
from config.listen import bind

_FDS = "FATHOM_WEB_FDS"  # the listening sockets, where another process has opened them
_MEMBER = "FATHOM_WEB_MEMBER"  # set in each of several processes that share them
_GRACE_SECONDS = 5


class _Server(uvicorn.Server):
    """A server beside another in one event loop, so without signal handlers of its own."""

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: str, *, websockets: bool) -> uvicorn.Config:
    proxies = trusted_proxies(env_str("FATHOM_TRUSTED_PROXIES"))
    return uvicorn.Config(
        app,
        loop="none",  # uvloop is already running
        http="httptools",
        ws="websockets-sansio" if websockets else "none",
        ws_max_size=1 << 16,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
    )


def trusted_proxies(text: str) -> list[str]:
    """Read addresses and networks, separated by commas. Raises: SystemExit for anything else.

    SECURITY: "*" would believe whoever writes a header. Of the header the first address from the right counts that is
    not a proxy's: what stands further left was written by the client.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            sys.exit(f"FATHOM_TRUSTED_PROXIES: {name} is neither an address nor a network (such as 10.0.0.0/8).")
    return names


async def serve(sockets: list[socket.socket]) -> None:
    """Serve both ports until SIGTERM or SIGINT."""
    # The platform's module sets Django up, so it is loaded first.
    platform = _config("config.asgi:application", websockets=True)
    content = _config("config.content:application", websockets=False)
    servers = [_Server(platform), _Server(content)]
    for config in (platform, content):
        config.load()
    garbage.collect_seldom()

    def stop() -> None:
        for server in servers:
            server.force_exit = server.should_exit  # the second signal does not wait
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve([bound]) for server, bound in zip(servers, sockets, strict=True)))


def _inherited() -> list[socket.socket] | None:
    given = os.environ.get(_FDS)
    return None if given is None else [socket.socket(fileno=int(fd)) for fd in given.split(",")]


def _bound() -> list[socket.socket]:
    host = env_str("FATHOM_HOST", "127.0.0.1")
    ports = (env_int("FATHOM_PORT", 8080, high=65535), env_int("FATHOM_CONTENT_PORT", 8081, high=65535))
    try:
        return [bind(host, port) for port in ports]
    except OSError as error:
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        choice = "Choose others with FATHOM_PORT and FATHOM_CONTENT_PORT."
        sys.exit(f"Port {ports[0]} or {ports[1]} of {host} {reason}. {choice}")


def _keep(count: int, sockets: list[socket.socket]) -> None:
    """Keep `count` processes running until SIGTERM or SIGINT."""
    fds = [bound.fileno() for bound in sockets]
    leash, _held = os.pipe()  # the members end when the writing end is gone with this process
    environment = os.environ | {_FDS: ",".join(map(str, fds)), _MEMBER: "1"}
    command = [sys.executable, "-m", "config.up.leash", str(leash), "config.web"]
    is_over = False

    def stop(*_: object) -> None:
        nonlocal is_over
        is_over = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    running: list[subprocess.Popen[bytes]] = []
    while not is_over:
        running = [process for process in running if process.poll() is None]
        while len(running) < count:
            running.append(subprocess.Popen(command, env=environment, pass_fds=(*fds, leash)))  # noqa: S603 -- ourselves
        time.sleep(0.5)  # after a death too: one that dies at once must not be started a thousand times
    for process in running:
        process.terminate()
    for process in running:
        process.wait(_GRACE_SECONDS + 5)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    sockets = _inherited() or _bound()
    workers = env_int("FATHOM_WEB_WORKERS", 1, low=1, high=64)
    if workers > 1 and _MEMBER not in os.environ:
        _keep(workers, sockets)
    else:
        uvloop.run(serve(sockets))


if __name__ == "__main__":
    main()
