"""Django in threads behind ASGI: bodies, limits, streams and clients that go away."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
import pytest

from config.threads import ThreadedDjango

Message = dict[str, Any]


class Client:
    """One request, from the side of the server."""

    def __init__(
        self, *chunks: bytes, headers: Iterable[tuple[bytes, bytes]] = (), path: str = "/", **more: Any
    ) -> None:
        self.scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path, "query_string": b"",
            "root_path": "", "headers": list(headers), "client": ("10.1.2.3", 5), "server": ("127.0.0.1", 8080), **more,
        }  # fmt: skip
        self._coming = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks or (b"",), start=min(1, len(chunks)))
        ]
        self.gone = asyncio.Event()
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if self._coming:
            return self._coming.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def ask(self, app: ThreadedDjango) -> "Client":
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def _app(view: Callable[[dict[str, Any]], Any], **limits: int) -> ThreadedDjango:
    def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        result = view(environ)
        start("200 OK", [("Content-Type", "text/plain")])
        return result

    return ThreadedDjango(wsgi, **({"threads": 2} | limits))


class Whole(list[bytes]):
    """What Django's ordinary response looks like to a server."""

    streaming = False


def _length(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", str(len(body)).encode())]


def _echo(environ: dict[str, Any]) -> Whole:
    return Whole([environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))])


async def test_it_hands_over_what_the_client_sent() -> None:
    seen: dict[str, Any] = {}
    headers = [(b"x-request-id", b"abc"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"content-type", b"text/csv")]
    client = Client(headers=headers, path="/é", query_string=b"q=1")
    await client.ask(_app(lambda environ: seen.update(environ) or Whole([b"done"])))
    assert (client.status, client.body) == (200, b"done")
    chosen = ("HTTP_X_REQUEST_ID", "HTTP_COOKIE", "CONTENT_TYPE", "QUERY_STRING", "REMOTE_ADDR", "PATH_INFO")
    assert [seen[name] for name in chosen] == [
        "abc",
        "a=1; b=2",
        "text/csv",
        "q=1",
        "10.1.2.3",
        "/é".encode().decode("latin-1"),
    ]


async def test_a_header_with_an_underscore_is_not_taken_for_the_one_with_a_dash() -> None:
    seen: dict[str, Any] = {}
    client = Client(headers=[(b"x_forwarded_proto", b"https")])
    await client.ask(_app(lambda environ: seen.update(environ) or Whole([b""])))
    assert "HTTP_X_FORWARDED_PROTO" not in seen


@pytest.mark.parametrize("size", [0, 10, 3 << 20, 20 << 20], ids=["none", "small", "in a file", "through a thread"])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    chunks = [body[start : start + (1 << 18)] for start in range(0, len(body), 1 << 18)] or [b""]
    client = await Client(*chunks, headers=_length(body)).ask(_app(_echo))
    assert client.status == 200
    assert client.body == body


async def test_a_chunked_body_gets_its_length() -> None:
    client = await Client(b"ab", b"cd", headers=[(b"transfer-encoding", b"chunked")]).ask(_app(_echo))
    assert client.body == b"abcd"


@pytest.mark.parametrize("headers", [[(b"content-length", b"5000")], [(b"transfer-encoding", b"chunked")]])
async def test_a_body_that_is_too_large_is_refused_before_django(headers: list[tuple[bytes, bytes]]) -> None:
    asked: list[object] = []
    client = Client(b"x" * 3000, b"x" * 2000, headers=headers)
    await client.ask(_app(lambda environ: asked.append(environ) or Whole([b""]), max_body=4000))
    assert client.status == 413
    assert orjson.loads(client.body)["code"] == "too_large"
    assert asked == []


async def test_a_client_that_goes_during_its_upload_ends_the_request() -> None:
    asked: list[object] = []
    client = Client(b"first half", headers=[(b"content-length", b"100")])
    client._coming[0]["more_body"] = True
    client.gone.set()
    await client.ask(_app(lambda environ: asked.append(environ) or Whole([b""])))
    assert (client.sent, asked) == ([], [])


async def test_a_stream_is_sent_piece_by_piece_and_closed() -> None:
    closed: list[bool] = []

    class Stream:
        streaming = True

        def __iter__(self) -> Iterator[bytes]:
            yield b"one "
            yield b""
            yield b"two"

        def close(self) -> None:
            closed.append(True)

    client = await Client().ask(_app(lambda _: Stream()))
    assert [message["body"] for message in client.sent[1:]] == [b"one ", b"two", b""]
    assert closed == [True]


async def test_a_stream_ends_when_its_client_goes() -> None:
    produced: list[int] = []
    closed = threading.Event()
    client = Client()

    class Endless:
        streaming = True

        def __iter__(self) -> Iterator[bytes]:
            while True:
                produced.append(1)
                yield b"x" * 1000

        def close(self) -> None:
            closed.set()

    async def go() -> None:
        while len(client.sent) < 5:  # noqa: ASYNC110 -- the client has no event for what was sent
            await asyncio.sleep(0)
        client.gone.set()

    await asyncio.wait_for(asyncio.gather(client.ask(_app(lambda _: Endless())), go()), 60)
    assert closed.is_set()
    assert len(produced) >= 4


async def test_requests_beyond_the_queue_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.threads._MOST_WAITING", 2)
    release = threading.Event()
    app = _app(lambda _: Whole([b"late"]) if release.wait(60) else Whole([b"never"]), threads=1)
    waiting = [asyncio.ensure_future(Client().ask(app)) for _ in range(2)]
    await asyncio.sleep(0)
    refused = await Client().ask(app)
    release.set()
    assert [client.body for client in await asyncio.gather(*waiting)] == [b"late", b"late"]
    assert refused.status == 503
    assert (b"retry-after", b"1") in refused.sent[0]["headers"]


async def test_a_bug_in_django_reaches_the_server_and_the_thread_goes_on() -> None:
    def broken(environ: dict[str, Any]) -> Whole:
        if environ["PATH_INFO"] == "/bug":
            raise RuntimeError
        return Whole([b"fine"])

    app = _app(broken, threads=1)
    with pytest.raises(RuntimeError):
        await Client(path="/bug").ask(app)
    assert (await Client().ask(app)).body == b"fine"
