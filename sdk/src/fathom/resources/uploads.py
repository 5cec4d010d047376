"""Large files in parts: resumed after a lost connection, a restart of the platform or of this process."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.errors import Conflict, Forbidden, NotFound, Unauthorized
from fathom.models import Artifact
from fathom.resources.paths import path
from fathom.transport import Transport

LARGE = 16 << 20
"""From so many bytes on a file is sent in parts."""

_LINKS = 50
_ROUNDS = 3  # so often what was found missing at the end is sent again
_COMPLETE_SECONDS = 900.0  # the platform reads the whole file once more


class UploadsApi:
    """`client.uploads`: the steps of which `client.runs.put_artifact` is made."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def begin(
        self, run_id: str, name: str, *, size_bytes: int, sha256: str, content_type: str = ""
    ) -> Mapping[str, Any]:
        """Begin to send a file, or go on with the same file; `artifact` is set when nothing has to be sent."""
        body = {"path": name, "size_bytes": size_bytes, "sha256": sha256, "content_type": content_type}
        return self._asked("POST", path("runs", run_id, "uploads"), body)

    def get(self, upload_id: str) -> Mapping[str, Any]:
        """Which parts are there."""
        return self._asked("GET", path("uploads", upload_id), None)

    def links(self, upload_id: str, parts: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """Where to put some parts."""
        found = self._asked("POST", path("uploads", upload_id, "links"), {"parts": list(parts)})
        links: Sequence[Mapping[str, Any]] = found["results"]
        return links

    def complete(self, upload_id: str) -> Artifact:
        """Have the file checked and shown. May be repeated."""
        target = path("uploads", upload_id, "complete")
        return Artifact.from_json(self._transport.request("POST", target, read_seconds=_COMPLETE_SECONDS).json())

    def abort(self, upload_id: str) -> None:
        """Give it up."""
        self._transport.request("DELETE", path("uploads", upload_id))

    def send(self, run_id: str, file: Path, name: str, *, content_type: str, sha256: str) -> Artifact:
        """Send those parts of a file that the platform does not have, and show it.

        Raises: the ApiError children; Invalid when the file has changed while it was sent.
        """
        size = file.stat().st_size
        for attempt in range(1, _ROUNDS + 1):
            begun = self.begin(run_id, name, size_bytes=size, sha256=sha256, content_type=content_type)
            if begun["artifact"]:
                return Artifact.from_json(begun["artifact"])
            try:
                self._send_missing(file, begun)
                return self.complete(begun["id"])
            except (Conflict, NotFound, Unauthorized, Forbidden):
                # Parts were lost, its time has passed, or its links have: what is missing now is asked for anew.
                if attempt == _ROUNDS:
                    raise
        raise AssertionError  # the last round returns or raises

    def _send_missing(self, file: Path, begun: Mapping[str, Any]) -> None:
        size, part_bytes = int(begun["size_bytes"]), int(begun["part_bytes"])
        there = {int(row["part"]): int(row["size_bytes"]) for row in begun["received"]}
        lengths = {
            part: min(part_bytes, size - (part - 1) * part_bytes) for part in range(1, int(begun["part_count"]) + 1)
        }
        for some in _pages([part for part, length in lengths.items() if there.get(part) != length]):
            for link in self.links(begun["id"], some):
                with file.open("rb") as source:
                    source.seek((int(link["part"]) - 1) * part_bytes)
                    data = source.read(part_bytes)
                # The store itself knows no such header, and the link allows none that it does not name.
                checked = {} if link["is_direct"] else {"X-Content-SHA256": hashlib.sha256(data).hexdigest()}
                self._transport.put_elsewhere(link["url"], data, checked)

    def _asked(self, method: str, target: str, body: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._transport.request(method, target, json_body=body).json()
        return answer


def _pages(parts: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(parts), _LINKS):
        yield parts[start : start + _LINKS]
