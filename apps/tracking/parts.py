"""Parts of uploads, put to the content origin by signed links: streamed to a file, never held in memory.

The address and the form are those of a presigned one of an S3 server, so a client need not know which of the two it has.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from django.conf import settings

from apps.core.errors import DomainError, Invalid, NotFound, TooLarge
from apps.tracking import judging, tickets
from apps.tracking.services import uploads

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

ROUTE = re.compile(
    r"/uploads/(?P<upload>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/parts/(?P<number>[1-9]\d{0,4})", re.ASCII
)
_BUFFER = 1 << 20
_STALL_SECONDS = 30.0
_SHA256_DIGITS = 64


class ClientGoneError(Exception):
    """The connection was cut, or nothing comes any more: nobody waits for an answer."""


class LengthRequired(DomainError):
    code = "length_required"
    status = 411
    title = "Length required"


async def put(scope: Scope, receive: Receive) -> Mapping[str, Any]:
    """Take one part and return what is to be told of it.

    Raises: NotFound, NotAuthenticated, NotAllowed, Conflict, Invalid, TooLarge, LengthRequired, Unready; ClientGoneError.
    """
    found = ROUTE.fullmatch(scope["path"])
    if found is None:
        raise NotFound
    number = int(found["number"])
    query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
    ticket = tickets.read_part(query.get("ticket", [""])[0], upload=UUID(found["upload"]), number=number)
    upload = await judging.in_thread(judging.upload_of, ticket)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    largest = await judging.in_thread(uploads.largest_part, upload, number)
    promised = _promised(headers, upload.size_of(number), largest)
    part = _Part(await asyncio.to_thread(_new_file), largest)
    try:
        await part.take(receive)
        if part.size != promised:
            msg = f"The part ended after {part.size} of {promised} bytes."
            raise Invalid(msg)
        digest = _require_hash(headers, part)
        await judging.in_thread(uploads.keep_part, upload, number, part.path)
    finally:
        await asyncio.to_thread(part.discard)
    return {"part": number, "size_bytes": part.size, "sha256": digest}


def _promised(headers: Mapping[str, str], expected: int | None, largest: int) -> int:
    text = headers.get("content-length", "")
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004 -- digits of a 64-bit number
        msg = "Send Content-Length."
        raise LengthRequired(msg)
    if int(text) > largest:
        msg = f"This part may have {largest} bytes."
        raise TooLarge(msg)
    if expected is not None and int(text) != expected:
        raise Invalid(errors={"Content-Length": [f"This part has {expected} bytes."]})
    return int(text)


def _require_hash(headers: Mapping[str, str], part: "_Part") -> str:
    digest, promised = part.digest.hexdigest(), headers.get("x-content-sha256", "").lower()
    if promised and (len(promised) != _SHA256_DIGITS or promised != digest):
        raise Invalid(errors={"X-Content-SHA256": [f"The bytes received have the hash {digest}."]})
    return digest


class _Part:
    """A file that a part is written to; hashing and writing are done beside the event loop."""

    def __init__(self, file: Any, largest: int) -> None:
        self.path = Path(file.name)
        self.size = 0
        self.digest = hashlib.sha256()
        self._file = file
        self._largest = largest

    async def take(self, receive: Receive) -> None:
        """Read the whole body. Raises: TooLarge, ClientGoneError."""
        waiting, has_more = bytearray(), True
        while has_more:
            try:
                message = await asyncio.wait_for(receive(), _STALL_SECONDS)
            except TimeoutError:
                raise ClientGoneError from None
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            waiting += message.get("body", b"")
            has_more = message.get("more_body", False)
            if len(waiting) >= _BUFFER or not has_more:
                self.size += len(waiting)
                if self.size > self._largest:
                    msg = f"This part may have {self._largest} bytes."
                    raise TooLarge(msg)
                await asyncio.to_thread(self._write, bytes(waiting), is_last=not has_more)
                waiting.clear()

    def _write(self, data: bytes, *, is_last: bool) -> None:
        self.digest.update(data)
        self._file.write(data)
        if is_last:
            self._file.flush()
            os.fsync(self._file.fileno())

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


def _new_file() -> Any:
    root = Path(settings.BLOB_ROOT) / "incoming"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.NamedTemporaryFile(dir=root, delete=False)
