"""The one way out of a fetch: a port on loopback, which asks only what may be asked.

SECURITY: the tools of a fetch resolve no name and choose no address. A tool that speaks HTTP connects through `Gate` as
its proxy, with a password of this one fetch; ssh is led to a `Gate` for one target. Each connection is judged here.
"""

import base64
import hmac
import secrets
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from typing_extensions import override

from apps.core import outgoing
from apps.core.outgoing import Network

_CONNECT_SECONDS = 20.0
_SILENCE_SECONDS = 300.0
_MOST_HEAD_BYTES = 8 << 10
_CHUNK = 1 << 16


class Gate:
    """A proxy for CONNECT; with a `target`, a port that leads to that one. Says afterwards what went wrong."""

    def __init__(self, networks: Sequence[Network], target: tuple[str, int] | None = None) -> None:
        self.networks = networks
        self.target = target
        self.refused = ""  # why an address was not asked
        self.unreached = ""  # why one could not be
        self._password = secrets.token_urlsafe(24)
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.gate = self

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://fetch:{self._password}@127.0.0.1:{self.port}"

    @contextmanager
    def opened(self) -> Iterator["Gate"]:
        """Serve until the end; then all its connections end too."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gate", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(5.0)

    def knows(self, header: str) -> bool:
        """Say whether a Proxy-Authorization header has the password."""
        wanted = base64.b64encode(f"fetch:{self._password}".encode()).decode()
        return hmac.compare_digest(header.encode("utf-8", "replace"), f"Basic {wanted}".encode())

    def connect(self, host: str, port: int) -> socket.socket | None:
        """Connect to what may be asked; None, and a note of why, where that cannot be."""
        try:
            return outgoing.connect(host, port, timeout=_CONNECT_SECONDS, networks=self.networks)
        except outgoing.Refused as error:
            self.refused = str(error)
        except socket.gaierror:
            self.unreached = f"the name {host} cannot be resolved"
        except OSError as error:
            self.unreached = f"{host} does not answer ({error.strerror or error})"
        return None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    gate: Gate

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.open: set[socket.socket] = set()

    @override
    def server_close(self) -> None:
        super().server_close()
        for one in list(self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: what a tool or a server does to its connection is its own affair."""


class _Connection(socketserver.BaseRequestHandler):
    @override
    def handle(self) -> None:
        server: _Server = self.server  # type: ignore[assignment]
        near: socket.socket = self.request
        near.settimeout(_CONNECT_SECONDS)
        target, rest = (server.gate.target, b"") if server.gate.target else self._asked_for(server.gate, near)
        far = server.gate.connect(*target) if target else None
        if far is None:
            if server.gate.target is None:
                near.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        server.open |= {near, far}
        try:
            if server.gate.target is None:
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            far.sendall(rest)
            _relay(near, far)
        finally:
            server.open -= {near, far}
            far.close()

    @staticmethod
    def _asked_for(gate: Gate, near: socket.socket) -> tuple[tuple[str, int] | None, bytes]:
        """Read the head of a request: the target, and what came after the head; None for anything else."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = near.recv(_CHUNK)
            if not data or len(head) > _MOST_HEAD_BYTES:
                return None, b""
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        words = first.split(" ")
        host, _, port = words[1].rpartition(":") if len(words) > 1 else ("", "", "")
        if words[0] != "CONNECT" or not port.isdecimal() or not gate.knows(headers.get("proxy-authorization", "")):
            return None, b""
        return (host.strip("[]"), int(port)), rest


def _relay(near: socket.socket, far: socket.socket) -> None:
    """Pass bytes both ways until both ends are done, or nobody has said anything for long."""
    other = {near: far, far: near}
    for one in other:
        one.settimeout(_SILENCE_SECONDS)
    with selectors.DefaultSelector() as ready:
        for one in other:
            ready.register(one, selectors.EVENT_READ)
        while ready.get_map():
            events = ready.select(_SILENCE_SECONDS)
            if not events:
                return
            for key, _ in events:
                one = near if key.fileobj is near else far
                data = one.recv(_CHUNK)
                if data:
                    other[one].sendall(data)
                    continue
                ready.unregister(one)
                with suppress(OSError):
                    other[one].shutdown(socket.SHUT_WR)
