"""HTTP: one request at a time, authenticated, retried where that is safe, errors as exceptions.

Every unsafe request carries an Idempotency-Key that stays the same over its retries, so a retry after a lost answer
cannot do the work twice.
"""

import hashlib
import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from fathom.config import Connection
from fathom.errors import ApiError, Conflict, Corrupted, Unauthorized, Unavailable, error_from
from fathom.version import VERSION

FIRST_DELAY = 0.2
MAX_DELAY = 5.0
MAX_RETRY_AFTER = 60.0
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> Any:
        """The decoded body. Raises: ApiError when it is not JSON (something else listens at this address)."""
        try:
            return json.loads(self.data) if self.data else None
        except ValueError as error:
            detail = "The answer is not JSON: is this the address of a Fathom platform?"
            raise ApiError(detail, code="not_json", status=self.status) from error


class Transport:
    """Requests to one platform. Safe to use from several threads.

    `timeout` is per connection and per read, in seconds; `retry_seconds` is how long a request is tried again while the
    platform is unreachable, restarting (502, 503, 504) or asks to wait (429, `Retry-After`).
    """

    def __init__(self, connection: Connection, *, timeout: float = 30.0, retry_seconds: float = 30.0) -> None:
        self.url = connection.url
        self.retry_seconds = retry_seconds
        self._connection = connection
        self._timeout = urllib3.Timeout(connect=min(timeout, 5.0), read=timeout)
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    def close(self) -> None:
        self._pool.clear()

    def request(  # noqa: PLR0913 -- each but the first two may be left out
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json_body: Any = None,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        anonymous: bool = False,
        read_seconds: float | None = None,
    ) -> Reply:
        """Send and read the answer. `body` may be a file, which is streamed; `read_seconds` another patience than usual.

        Raises: an `ApiError` child for every answer from 400 on, and `Unavailable` when none came.
        """
        target = self.url + path + query_string(query)
        sent = {"Accept": "application/json", "User-Agent": f"fathom-sdk/{VERSION}", **(headers or {})}
        if json_body is not None:
            body = json.dumps(json_body, allow_nan=False, separators=(",", ":")).encode()
            sent["Content-Type"] = "application/json"
        if method not in {"GET", "HEAD"}:
            sent["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        for failure in self._tries(method, target, body, sent, anonymous=anonymous, read_seconds=read_seconds):
            if isinstance(failure, Reply):
                return failure
        raise AssertionError  # _tries ends with a Reply or raises

    def put_elsewhere(self, url: str, data: bytes, headers: Mapping[str, str]) -> None:
        """Put bytes to a signed link, without our token. Raises: the ApiError children."""
        sent = {"User-Agent": f"fathom-sdk/{VERSION}", "Content-Length": str(len(data)), **headers}
        for _ in self._tries("PUT", url, data, sent, anonymous=True):
            pass

    def download(self, path: str, target: Path) -> None:
        """Fetch `path` into the file `target`, following one redirect to where the bytes are without our token.

        A connection that is cut is taken up again where it ended. The file appears only when it is complete and has the
        hash that the platform says. Raises: the ApiError children, Corrupted.
        """
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            with draft.open("wb") as file:
                expected = self._fetch(path, file)
            if expected and hash_of(draft) != expected:
                message = f"What arrived of {path} has another hash than the platform says."
                raise Corrupted(message, code="corrupted")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def _fetch(self, path: str, file: BinaryIO) -> str:
        """Write all bytes to `file` and return the hash they should have, "" when nobody says."""
        deadline, delays = time.monotonic() + self.retry_seconds, backoff()
        while True:
            before = file.tell()
            try:
                with self._stream(path, before) as (response, expected):
                    if response.status == 200:  # noqa: PLR2004 -- the whole, not the rest
                        file.seek(0)
                        file.truncate()
                    file.writelines(response.stream(CHUNK))
            except (urllib3.exceptions.HTTPError, Unavailable) as error:
                failure = error if isinstance(error, Unavailable) else self._unreachable(error)
                if file.tell() > before:  # it goes on: the time begins anew
                    deadline, delays = time.monotonic() + self.retry_seconds, backoff()
                delay = max(next(delays), min(failure.retry_after or 0.0, MAX_RETRY_AFTER))
                if time.monotonic() + delay > deadline:
                    raise failure from error
                time.sleep(delay)
            else:
                return expected

    def bearer(self) -> dict[str, str]:
        """The header that authenticates; empty without a token."""
        token = self._connection.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _tries(
        self,
        method: str,
        target: str,
        body: bytes | Path | None,
        headers: dict[str, str],
        *,
        anonymous: bool,
        read_seconds: float | None = None,
    ) -> Iterator[Reply | ApiError]:
        """Yield each failure that is worth another try, then the answer; wait between them."""
        deadline = time.monotonic() + self.retry_seconds
        delays = backoff()
        refreshed = False
        while True:
            bearer = {} if anonymous else self.bearer()
            try:
                reply = self._once(method, target, body, {**headers, **bearer}, read_seconds)
            except Unauthorized as failure:
                # The token file of a job may have been replaced since it was read.
                if refreshed or anonymous or self.bearer() == bearer:
                    raise
                refreshed = True
                yield failure
            except (Unavailable, Conflict) as failure:
                if isinstance(failure, Conflict) and failure.code != "idempotency_in_flight":
                    raise
                delay = max(next(delays), min(failure.retry_after or 0.0, MAX_RETRY_AFTER))
                if time.monotonic() + delay > deadline:
                    raise
                time.sleep(delay)
                yield failure
            else:
                yield reply
                return

    def _once(
        self,
        method: str,
        target: str,
        body: bytes | Path | None,
        headers: dict[str, str],
        read_seconds: float | None = None,
    ) -> Reply:
        patience = self._timeout if read_seconds is None else urllib3.Timeout(connect=5.0, read=read_seconds)
        try:
            if isinstance(body, Path):
                with body.open("rb") as file:
                    sized = {**headers, "Content-Length": str(body.stat().st_size)}
                    response = self._pool.request(
                        method, target, body=file, headers=sized, redirect=False, timeout=patience
                    )
            else:
                response = self._pool.request(
                    method, target, body=body, headers=headers, redirect=False, timeout=patience
                )
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status >= 400:  # noqa: PLR2004 -- the first HTTP error status
            raise failure_of(response)
        return Reply(response.status, dict(response.headers.items()), response.data)

    @contextmanager
    def _stream(self, path: str, start: int) -> Iterator[tuple[urllib3.BaseHTTPResponse, str]]:
        """Open `path` from byte `start` on; yield the answer and the hash that the whole should have."""
        target, headers, expected = self.url + path, self.bearer(), ""
        for _hop in range(3):
            part = {"Range": f"bytes={start}-"} if start else {}
            response = self._pool.request(
                "GET", target, headers={**headers, **part}, redirect=False, preload_content=False, timeout=self._timeout
            )
            expected = response.headers.get("X-Content-SHA256") or expected
            location = response.headers.get("Location")
            if response.status in {301, 302, 303, 307, 308} and location:
                response.drain_conn()
                target = urljoin(target, location)
                # SECURITY: the link is signed; the token stays on the platform's own origin.
                headers = self.bearer() if same_origin(target, self.url) else {}
                continue
            break
        try:
            if response.status not in {200, 206}:  # only bytes are a download
                raise failure_of(response)
            yield response, expected
        finally:
            response.release_conn()

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> Unavailable:
        reason = str(error.args[-1] if error.args else error).rsplit(">: ", 1)[-1].rsplit("): ", 1)[-1]
        return Unavailable(f"{self.url} does not answer: {reason}", code="unreachable")


def hash_of(file: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        for chunk in iter(lambda: source.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def backoff() -> Iterator[float]:
    """Seconds to wait before each next try: doubling, capped, with jitter so that jobs do not come back all at once."""
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter is no secret
        delay = min(delay * 2, MAX_DELAY)


def query_string(query: Mapping[str, Any] | None) -> str:
    """`?a=1&b=x&b=y`, leaving out what is None; empty when nothing is left."""
    pairs = [(key, value) for key, value in (query or {}).items() if value is not None and value != []]
    return f"?{urlencode(pairs, doseq=True)}" if pairs else ""


def same_origin(one: str, other: str) -> bool:
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


def failure_of(response: urllib3.BaseHTTPResponse) -> ApiError:
    """The exception for an answer from 400 on."""
    try:
        problem = json.loads(response.data)
    except (ValueError, UnicodeDecodeError):
        problem = None
    return error_from(
        response.status,
        problem,
        retry_after=retry_after_seconds(response.headers.get("Retry-After")),
        request_id=response.headers.get("X-Request-Id"),
    )


def retry_after_seconds(value: str | None) -> float | None:
    """Both forms of the header: seconds, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
