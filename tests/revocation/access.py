"""The ways in: each is open, asked again and again, and says when it was refused and how."""

import asyncio
import http.client
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.platform import Platform, wait_for

PASSWORD = "correct horse battery"
_BYTES_PER_SECOND = 4 << 20
_PIECE = 64 << 10


class Browser:
    """Cookies and forms over plain HTTP."""

    def __init__(self, platform: Platform) -> None:
        self._netloc = urlsplit(platform.url).netloc
        self.cookies: dict[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    def post(self, path: str, **fields: str) -> int:
        self._ask("GET", path)
        fields["csrfmiddlewaretoken"] = self.cookies["fathom_csrf"]
        return self._ask("POST", path, urlencode(fields))

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        connection.request(method, path, body, {**self.headers, **kind})
        answer = connection.getresponse()
        answer.read()
        for name, line in answer.getheaders():
            if name.lower() == "set-cookie" and (match := re.match(r"([^=]+)=([^;]*)", line)):
                self.cookies[match[1]] = match[2]
        connection.close()
        return answer.status


def log_in(platform: Platform, name: str, *, elevated: bool) -> Browser:
    browser = Browser(platform)
    assert browser.post("/login/", username=name, password=PASSWORD) == 302
    if elevated:
        assert browser.post("/elevate/", password=PASSWORD, reason="revocation test") == 302
    return browser


@dataclass
class Way:
    """Something one has open. `refused_at` and `refusal` are set once it ends, and it must not open again."""

    name: str
    refused_at: float | None = None
    refusal: int | None = None
    uses: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        raise NotImplementedError

    def refuse(self, refusal: int) -> None:
        if self.refused_at is None:
            self.refused_at, self.refusal = time.monotonic(), refusal

    def wait_until_used(self) -> None:
        wait_for(lambda: self.uses > 0 or self.refusal is not None, seconds=60, what=f"{self.name} to open")
        assert self.refusal is None, f"{self.name} was refused at once: {self.refusal}"

    def stop(self) -> None:
        self.is_over.set()
        if self.thread is not None:
            self.thread.join(60)
            assert not self.thread.is_alive(), self.name


@dataclass
class Asked(Way):
    """A request that is sent again and again. `last_let_in` is when the last one was sent that was answered."""

    method: str = "GET"
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    last_let_in: float = 0.0
    was_let_in_again: bool = False

    def _run(self) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        while not self.is_over.wait(0.05):
            sent_at = time.monotonic()
            connection.request(self.method, target, self.body, self.headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.was_let_in_again = self.was_let_in_again or self.refused_at is not None
                self.last_let_in = sent_at
                self.uses += 1
            else:
                self.refuse(answer.status)
        connection.close()


@dataclass
class Socket(Way):
    """A log, followed over a websocket."""

    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def _run(self) -> None:
        asyncio.run(self._follow())

    async def _follow(self) -> None:
        origin = self.url.replace("ws:", "http:").partition("/ws/")[0]
        async with connect(self.url, additional_headers=self.headers, origin=origin, max_size=None) as opened:  # type: ignore[arg-type]
            while not self.is_over.is_set():
                try:
                    await asyncio.wait_for(opened.recv(), 0.2)
                    self.uses += 1
                except TimeoutError:
                    continue
                except ConnectionClosed as closed:
                    self.refuse(closed.rcvd.code if closed.rcvd else 0)
                    return


CUT = 1
ENDED = 2


@dataclass
class Download(Way):
    """A long download, read slowly; cut short when its reader may no longer. `read_bytes` counts what came."""

    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    read_bytes: int = 0

    def _run(self) -> None:
        parts = urlsplit(self.url)
        with socket.socket() as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)  # what lies in buffers was already sent
            opened.settimeout(20)
            opened.connect((parts.hostname, parts.port))
            lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            opened.sendall("\r\n".join([*lines, "", ""]).encode())
            tail = self._read(opened)
        if not self.is_over.is_set():
            is_whole = tail.endswith(b"0\r\n\r\n") or self.read_bytes > self._announced
            self.refuse(ENDED if is_whole else CUT)

    _announced: int = 1 << 62

    def _read(self, opened: socket.socket) -> bytes:
        tail, began = b"", time.monotonic()
        while not self.is_over.is_set():
            with suppress(ConnectionResetError):
                data = opened.recv(_PIECE)
                if not data:
                    return tail
                if not self.read_bytes:
                    head = data.partition(b"\r\n\r\n")[0]
                    if b" 200 " not in head.splitlines()[0]:
                        self.refuse(int(head.split()[1]))
                        return b""
                    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                    self._announced = int(length[1]) if length else self._announced
                self.uses += 1
                self.read_bytes += len(data)
                tail = (tail + data)[-16:]
                ahead = self.read_bytes / _BYTES_PER_SECOND - (time.monotonic() - began)
                time.sleep(max(0.0, ahead))
                continue
            return tail
        return tail
