"""Posting to an address that somebody typed in: only to public addresses, judged at the moment of the connection.

SECURITY: a name is resolved once, every address it has is judged, and the connection goes to exactly the one that was
judged: a name that answers differently the second time gains nothing. Redirects are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from typing_extensions import override

_MOST_ANSWER_BYTES = 10_000


class Refused(Exception):
    """The address may not be asked, or did not answer as it should. The text is for operators."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float, may_go_inside: bool = False) -> int:
    """Send `body`; return the status, which is 2xx. Raises: Refused."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    kind = {"https": _Https, "http": _Http}.get(parts.scheme)
    if kind is None or not host:
        msg = "not an http(s) address"
        raise Refused(msg)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = kind(host, parts.port, timeout=timeout)
        connection.may_go_inside = may_go_inside
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read(_MOST_ANSWER_BYTES)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        msg = f"{type(error).__name__}: {error}"
        raise Refused(msg) from error
    if not 200 <= answer.status < 300:  # noqa: PLR2004 -- HTTP success
        msg = f"answered {answer.status}"
        raise Refused(msg)
    return int(answer.status)


class _Http(http.client.HTTPConnection):
    may_go_inside = False

    @override
    def connect(self) -> None:
        self.sock = _connect(self.host, self.port, self.timeout, may_go_inside=self.may_go_inside)


class _Https(http.client.HTTPSConnection):
    may_go_inside = False

    @override
    def connect(self) -> None:
        plain = _connect(self.host, self.port, self.timeout, may_go_inside=self.may_go_inside)
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)


def _connect(host: str, port: int, timeout: float | None, *, may_go_inside: bool) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not may_go_inside and (inside := [str(entry[4][0]) for entry in found if not is_public(str(entry[4][0]))]):
        msg = f"{host} is at {inside[0]}, which is not a public address"
        raise Refused(msg)
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.settimeout(timeout)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


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
