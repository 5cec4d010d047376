"""Going to an address that somebody typed in: only to public addresses, judged at the moment of the connection.

SECURITY: a name is resolved once, every address it has is judged, and the connection goes to exactly one that was
judged: a name that answers differently the second time gains nothing. Redirects are not followed here; who follows one
opens a new connection, which is judged again.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from typing_extensions import override

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_ANSWER_BYTES = 10_000
_EVERYWHERE = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))


class Refused(Exception):
    """The address may not be asked, or did not answer as it should. The text is for operators."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float, may_go_inside: bool = False) -> int:
    """Send `body`; return the status, which is 2xx. Raises: Refused."""
    networks = _EVERYWHERE if may_go_inside else ()
    try:
        with asked("POST", url, headers, body=body, timeout=timeout, networks=networks) as answer:
            answer.read(_MOST_ANSWER_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        msg = f"{type(error).__name__}: {error}"
        raise Refused(msg) from error
    if not 200 <= answer.status < 300:  # noqa: PLR2004 -- HTTP success
        msg = f"answered {answer.status}"
        raise Refused(msg)
    return int(answer.status)


@contextmanager
def asked(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    timeout: float,
    body: bytes | None = None,
    networks: Sequence[Network] = (),
    ca_file: str = "",
    cut: "Cut | None" = None,
) -> Iterator[http.client.HTTPResponse]:
    """Ask once and yield the answer, whatever its status. `networks`: which addresses beside public ones may be asked.

    With `cut` another thread can end it, whatever the server keeps it waiting with.

    Raises: Refused for an address that may not be asked, OSError, ValueError, HTTPException.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    kind = {"https": _Https, "http": _Http}.get(parts.scheme)
    if kind is None or not host:
        msg = "not an http(s) address"
        raise Refused(msg)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = kind(host, parts.port, timeout=timeout)
    connection.networks, connection.ca_file = networks, ca_file
    if cut is not None:
        cut.connection = connection
    try:
        connection.request(method, path, body, dict(headers))
        yield connection.getresponse()
    finally:
        connection.close()


@dataclass(slots=True)
class Cut:
    """Ends a connection from another thread."""

    connection: http.client.HTTPConnection | None = None

    def now(self) -> None:
        opened = self.connection.sock if self.connection else None
        if opened is not None:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


class _Http(http.client.HTTPConnection):
    networks: Sequence[Network] = ()
    ca_file = ""

    @override
    def connect(self) -> None:
        self.sock = connect(self.host, self.port, timeout=self.timeout, networks=self.networks)


class _Https(http.client.HTTPSConnection):
    networks: Sequence[Network] = ()
    ca_file = ""

    @override
    def connect(self) -> None:
        plain = connect(self.host, self.port, timeout=self.timeout, networks=self.networks)
        context = ssl.create_default_context()
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        try:
            self.sock = context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def connect(host: str, port: int, *, timeout: float | None, networks: Sequence[Network] = ()) -> socket.socket:
    """Connect to one of the addresses of `host`, all of which are judged first. Raises: Refused, OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if inside := [str(entry[4][0]) for entry in found if not _may_ask(str(entry[4][0]), networks)]:
        msg = f"{host} is at {inside[0]}, which is not a public address"
        raise Refused(msg)
    problem: OSError | None = None
    for family, kind, protocol, _, address in found:
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(timeout)
            made.connect(address)
        except OSError as error:
            made.close()
            problem = error
        else:
            return made
    raise problem or OSError(f"{host} has no address")


def networks_of(texts: Iterable[str]) -> list[Network]:
    """Read networks as an operator writes them: 10.0.0.0/8. Raises: ValueError."""
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def _may_ask(address: str, networks: Sequence[Network]) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    plain = getattr(found, "ipv4_mapped", None) or found
    return is_public(address) or any(plain in network for network in networks)


def is_public(address: str) -> bool:
    """Say whether an address is one of the internet: not private, loopback, link-local, shared, multicast, reserved."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
