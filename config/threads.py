"""Django, which is synchronous, inside the one ASGI process: each request runs in one of a few threads.

A thread keeps its database connection between requests, which is what makes this the fastest form that we measured
(docs/adr/0002). Everything that waits for the client is done here, on the event loop, so that slow clients do not hold
threads: a request body is complete before Django sees it (in memory, else in a temporary file); only bodies that are too large for that are read
through a thread, a few at a time.
"""

import asyncio
import io
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import structlog
from typing_extensions import override

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

logger = structlog.get_logger(__name__)

_IN_MEMORY = 1 << 20
_CHUNK = 1 << 16
_SPOOLED = 16 << 20  # larger bodies are not stored twice
_STALL_SECONDS = 30.0  # a client that neither sends nor takes anything for so long is gone
_MOST_WAITING = 512  # requests beyond this are refused: they would only be answered after their clients have given up


class ClientGoneError(OSError):
    """The client has closed the connection or stopped moving. An OSError, so Django takes it for an unreadable body."""


class ThreadedDjango:
    """ASGI application that runs a WSGI application in `threads` threads."""

    def __init__(self, wsgi: WSGIApp, *, threads: int, max_body: int = 5 << 30) -> None:
        self._wsgi = wsgi
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="django")
        self._max_body = max_body
        self._large = asyncio.Semaphore(max(1, threads // 2))
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        length = declared_length(scope)
        if length is not None and length > self._max_body:
            await refuse(send, 413, "too_large", f"The body may have at most {self._max_body} bytes.")
            return
        if self._waiting >= _MOST_WAITING:
            await refuse(send, 503, "busy", "The server is busy. Try again.", retry_after=1)
            return
        self._waiting += 1
        try:
            if length is None or length <= _SPOOLED:
                await self._answer_small(scope, receive, send)
            else:
                async with self._large:
                    await self._answer(scope, receive, send, io.BufferedReader(_LargeBody(receive, length), _CHUNK))
        except (ClientGoneError, ConnectionAbortedError):  # the second: whose stream it was may not read on
            logger.debug("answer_cut", path=scope["path"])
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait for running requests and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _answer_small(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body, size = await _read_body(receive, self._max_body)
        except ValueError:
            await refuse(send, 413, "too_large", f"The body may have at most {self._max_body} bytes.")
            return
        with body:
            scope["fathom.body_size"] = size
            await self._answer(scope, receive, send, body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: IO[bytes]) -> None:
        loop = asyncio.get_running_loop()
        answer = _Answer(loop, receive, send)
        await loop.run_in_executor(self._pool, self._run, environ(scope, body), answer)
        await answer.finish()

    def _run(self, request: dict[str, Any], answer: "_Answer") -> None:
        """Run Django; in a thread."""
        result = self._wsgi(request, answer.start)
        try:
            if getattr(result, "streaming", True):
                answer.stream(iter(result))
            else:
                answer.body = b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()  # Django's request_finished, which looks after the connection


class _Answer:
    """What Django answers. A whole one is handed to the event loop at once, a stream piece by piece."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self._loop, self._receive, self._send = loop, receive, send
        self._head: Message = {}
        self.body = b""
        self._is_streamed = False
        self._gone = False

    def start(self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        """Take the head: WSGI's `start_response`."""
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": pairs}

    def stream(self, chunks: Iterator[bytes]) -> None:
        """Send piece by piece, no faster than the client takes it; in a thread."""
        self._is_streamed = True
        self._wait(self._begin())
        for chunk in chunks:
            if self._gone:
                raise ClientGoneError
            if chunk:
                self._wait(self._send({"type": "http.response.body", "body": chunk, "more_body": True}))

    async def finish(self) -> None:
        """Send what is left to send; on the event loop."""
        if not self._is_streamed:
            await self._send(self._head)
        await self._send({"type": "http.response.body", "body": self.body})

    async def _begin(self) -> None:
        self._watch = asyncio.ensure_future(self._watch_client())
        await self._send(self._head)

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True

    def _wait(self, step: Awaitable[None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(step, _STALL_SECONDS), self._loop).result()
        except TimeoutError as error:
            raise ClientGoneError from error


class _LargeBody(io.RawIOBase):
    """A body read through a thread, as it comes."""

    def __init__(self, receive: Receive, length: int) -> None:
        super().__init__()
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._left = length
        self._chunk = memoryview(b"")

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        while not self._chunk and self._left > 0:
            self._chunk = memoryview(self._next())
            self._left -= len(self._chunk)
        size = min(len(buffer), len(self._chunk))
        buffer[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size

    def _next(self) -> bytes:
        step = asyncio.run_coroutine_threadsafe(_receive_some(self._receive), self._loop)
        body, has_more = step.result()
        if not has_more:
            self._left = min(self._left, len(body))
        return body


async def _receive_some(receive: Receive) -> tuple[bytes, bool]:
    try:
        message = await asyncio.wait_for(receive(), _STALL_SECONDS)
    except TimeoutError as error:
        raise ClientGoneError from error
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


async def _read_body(receive: Receive, limit: int) -> tuple[IO[bytes], int]:
    """Return the whole body and its size. Raises: ValueError when it passes the limit, ClientGoneError."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    first = message.get("body", b"")
    if not message.get("more_body", False):  # nearly every request
        return io.BytesIO(first), len(first)
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 -- the caller closes it
    size, has_more = 0, True
    try:
        while True:
            size += len(first)
            spool.write(first)
            if not has_more or size > limit:
                break
            first, has_more = await _receive_some(receive)
    except OSError:
        spool.close()
        raise
    if size > limit:
        spool.close()
        raise ValueError(size)
    spool.seek(0)
    return spool, size


def declared_length(scope: Scope) -> int | None:
    """Return the Content-Length, None for a chunked body, 0 for none. The server has checked that it is a number."""
    is_chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
        is_chunked = is_chunked or name == b"transfer-encoding"
    return None if is_chunked else 0


def environ(scope: Scope, body: IO[bytes]) -> dict[str, Any]:
    """Translate a request from ASGI to WSGI."""
    host, port = scope.get("server") or ("localhost", 80)
    client = scope.get("client")
    root: str = scope.get("root_path", "")
    result: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": scope["path"].removeprefix(root).encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw, value in scope["headers"]:
        # SECURITY: X_Request_Id and X-Request-Id would become one name; the form with "_" is what an attacker sends.
        if b"_" in raw:
            continue
        _add_header(result, raw.decode("latin-1").replace("-", "_").upper(), value.decode("latin-1"))
    if "fathom.body_size" in scope:
        result["CONTENT_LENGTH"] = str(scope["fathom.body_size"])
    return result


def _add_header(result: dict[str, Any], name: str, value: str) -> None:
    key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
    if key in result:
        value = f"{result[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    result[key] = value


_TITLES: Mapping[int, str] = {404: "Not found", 405: "Method not allowed", 413: "Too large", 503: "Unavailable"}


async def refuse(send: Send, status: int, code: str, detail: str, *, retry_after: int | None = None) -> None:
    """Answer without Django, as problem+json, and close the connection: its body has not been read."""
    text = (
        f'{{"type":"about:blank","title":"{_TITLES[status]}","status":{status},"code":"{code}","detail":"{detail}"}}'
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
