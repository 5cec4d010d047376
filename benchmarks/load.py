"""A closed loop of HTTP clients: threads with kept-alive connections. Bounded in count."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


class Client:
    """One kept-alive connection."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Return the decoded answer. Raises: AssertionError unless it is a success."""
        self.connection.request(method, f"/api/v2{path}", body, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status < 300, (answer.status, text[:300])
        return json.loads(text) if text else None


def per_second(url: str, token: str, *, clients: int, each: int, work: Callable[[Client, int], None]) -> float:
    """Run `work` `each` times in each of `clients` threads; return how many were done per second."""
    ready = threading.Barrier(clients + 1)
    failures: list[BaseException] = []

    def one(number: int) -> None:
        client = Client(url, token)
        client.call("GET", "/me/")
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
