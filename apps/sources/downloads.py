"""Downloading an archive over HTTPS, from S3 and from HDFS: everything is one judged GET after another.

SECURITY: each redirect is a new connection, judged anew; what says who asks goes to the first host only.
"""

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from typing_extensions import override

from apps.core import outgoing
from apps.credentials.services import Opened
from apps.sources.addresses import Address
from apps.sources.asks import Ask, ask_for
from apps.sources.box import Box
from apps.sources.errors import FetchFailed, Unreachable

_TIMEOUT_SECONDS = 30.0
_CHUNK = 1 << 20
_LOOK_SECONDS = 0.5
_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_DENIED = {401, 403}
_NOT_FOUND = {404, 410}
_NOW_AND_THEN = {408, 425, 429}
_SAID = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")
_MOST_ERROR_BYTES = 4096


def download(address: Address, given: Opened, file: IO[bytes], box: Box) -> None:
    """Write an archive to `file`. Raises: FetchFailed, Unreachable, and what the box's `beat` raises."""
    pull = _Pull(ask_for(address, given), address, is_given=bool(given.kind), file=file)
    pull.start()
    try:
        while pull.is_alive():
            pull.join(_LOOK_SECONDS)
            box.beat(b"")
            box.require_time()
    finally:
        pull.cut.now()
        pull.join()
    if pull.problem is not None:
        raise _meaning(pull.problem, address)


class _Pull(threading.Thread):
    """Reads what a server sends, in a thread of its own: a server may be as slow as it likes, and the lease lives on."""

    def __init__(self, ask: Ask, address: Address, *, is_given: bool, file: IO[bytes]) -> None:
        super().__init__(name="download", daemon=True)
        self._ask, self._address, self._is_given, self._file = ask, address, is_given, file
        self.cut = outgoing.Cut()
        self.problem: Exception | None = None

    @override
    def run(self) -> None:
        size = 0
        try:
            for chunk in _chunks(self._ask, self._address, is_given=self._is_given, cut=self.cut):
                size += len(chunk)
                if size > settings.CODE_LIMIT_BYTES:
                    self.problem = FetchFailed(f"it is larger than {settings.CODE_LIMIT_BYTES >> 20} MiB")
                    return
                self._file.write(chunk)
        except Exception as error:  # noqa: BLE001 -- raised again in the thread that waits
            self.problem = error


def _meaning(problem: Exception, address: Address) -> Exception:
    """Turn what went wrong into what is to be done."""
    if isinstance(problem, outgoing.Refused):
        return FetchFailed(str(problem))
    if isinstance(problem, ssl.SSLCertVerificationError):
        return FetchFailed(f"the certificate of {address.place} is not accepted: {problem.verify_message}")
    if isinstance(problem, socket.gaierror):
        return Unreachable(f"the name {address.host} cannot be resolved")
    if isinstance(problem, OSError | ValueError | http.client.HTTPException):
        said = str(problem)[:200] or type(problem).__name__
        return Unreachable(f"{address.place} did not answer as it should: {said}")
    return problem


def _chunks(ask: Ask, address: Address, *, is_given: bool, cut: outgoing.Cut) -> Iterator[bytes]:
    """Follow redirects to an answer, and yield its bytes."""
    networks = outgoing.networks_of(settings.FETCH_NETWORKS)
    url, first, ca_file = ask.url, _host(ask.url), settings.FETCH_CA_FILE
    for _ in range(_MOST_REDIRECTS + 1):
        headers = {"User-Agent": "fathom", "Accept": "*/*", **(ask.headers if _host(url) == first else {})}
        reach: dict[str, Any] = {"timeout": _TIMEOUT_SECONDS, "networks": networks, "ca_file": ca_file, "cut": cut}
        with outgoing.asked("GET", url, headers, **reach) as answer:
            if answer.status not in _REDIRECTS:
                yield from _body(answer, address, is_given=is_given)
                return
            url = urljoin(url, answer.headers.get("Location", ""))
            if urlsplit(url).scheme != "https" and not ask.may_be_plain:
                msg = f"{address.place} leads on to an address without TLS"
                raise FetchFailed(msg)
    msg = f"{address.place} leads from one address to another without end"
    raise FetchFailed(msg)


def _body(answer: http.client.HTTPResponse, address: Address, *, is_given: bool) -> Iterator[bytes]:
    status = answer.status
    if status == http.client.OK:
        while chunk := answer.read1(_CHUNK):
            yield chunk
        if answer.length:  # it broke off: more was promised
            nothing = b""
            raise http.client.IncompleteRead(nothing, answer.length)
        return
    said = _SAID.search(answer.read(_MOST_ERROR_BYTES))
    why = f" ({said[1].decode()})" if said else ""
    if status in _DENIED:
        who = (
            "does not accept the credential, or it may not read this"
            if is_given
            else "wants to know who asks: name a credential"
        )
        msg = f"{address.place} {who}{why}"
        raise FetchFailed(msg)
    if status in _NOT_FOUND:
        msg = f"there is nothing at this address{why}"
        raise FetchFailed(msg)
    msg = f"{address.place} answered {status}{why}"
    is_for_now = status in _NOW_AND_THEN or status >= http.client.INTERNAL_SERVER_ERROR
    raise Unreachable(msg) if is_for_now else FetchFailed(msg)


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
