"""A closed loop of HTTP clients: threads with kept-alive connections. Bounded in count."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


class Client:
    """One kept-alive connection. It shares the machine with what it measures, so it does no more than it must."""

    def __init__(self, url: str, token: str, *, prefix: str = "/api/v2") -> None:
        """`token` is a bearer token, or name and password with a colon between them."""
        self._prefix = prefix
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60)
        self._answers = self._socket.makefile("rb")
        shown = f"Basic {base64.b64encode(token.encode()).decode()}" if ":" in token else f"Bearer {token}"
        self._head = f"Host: {parts.netloc}\r\nAuthorization: {shown}\r\nContent-Type: application/json\r\n"

    def call(self, method: str, path: str, body: bytes = b"") -> Any:
        """Return the decoded answer. Raises: AssertionError unless it is a success."""
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        status = int(self._answers.readline().split()[1])
        length = 0
        while (line := self._answers.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        text = self._answers.read(length)
        assert status < 300, (status, text[:300])
        return json.loads(text) if text else None


def per_second(
    url: str,
    token: str,
    *,
    clients: int,
    each: int,
    work: Callable[[Client, int], None],
    prefix: str = "/api/v2",
    first: str = "/me/",
) -> float:
    """Run `work` `each` times in each of `clients` threads; return how many were done per second."""
    ready = threading.Barrier(clients + 1)
    failures: list[BaseException] = []

    def one(number: int) -> None:
        client = Client(url, token, prefix=prefix)
        client.call("GET", first)
        ready.wait()
        try:
            for turn in range(each):
                work(client, number * each + turn)
        except BaseException as error:  # noqa: BLE001 -- shown by the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return clients * each / (time.perf_counter() - began)
