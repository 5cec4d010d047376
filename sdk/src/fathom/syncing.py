"""Uploading what tracking wrote to a file, as often as one likes: nothing arrives twice.

Beside `x.jsonl` a file `x.jsonl.sync` remembers how far it got and which run it became. When that is lost, the ids of
the batches and a line in the file itself that names the run keep the repetition harmless.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fathom.client import Client
from fathom.errors import Conflict, FathomError, Invalid
from fathom.remote import Remote
from fathom.spool import REJECTED, SUFFIX


@dataclass(slots=True)
class Progress:
    """How much of a file has arrived."""

    run_id: str = ""
    offset: int = 0
    batches: int = 0
    artifacts: int = 0


@dataclass(frozen=True, slots=True)
class Synced:
    """One file's result. `batches` and `artifacts` count what this call sent."""

    path: Path
    run_id: str
    batches: int
    artifacts: int
    refused: tuple[str, ...]
    """Why the platform will never take some records; they stay in the file."""
    incomplete: bool
    """The last line was cut off (the program was killed while it wrote); all before it was sent."""


def spool_files(path: Path) -> list[Path]:
    """The files to sync: the one named, or all in the folder named. Raises: FathomError when there are none."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob(f"*{SUFFIX}") if not file.name.endswith(REJECTED))
    if not found:
        message = f"There is no tracking file ({SUFFIX}) at {path}."
        raise FathomError(message)
    return found


def sync_file(client: Client, path: Path) -> Synced:
    """Send what has not arrived yet. Raises: ApiError; a repeated call goes on where this one stopped."""
    note = path.with_name(f"{path.name}.sync")
    progress = _load(note)
    sent = Progress()
    remote: Remote | None = None
    refused: list[str] = []
    incomplete = False
    for record, end in _records(path, progress):
        if record is None:
            incomplete = True
            break
        if record["type"] == "run":
            if not progress.run_id:
                progress.run_id = _run_for(client, path, record)
        elif record["type"] != "bound":
            remote = remote or Remote(client.runs, progress.run_id)
            try:
                _send(remote, path, record)
            except Invalid as error:
                refused.append(error.detail)
            sent.batches += record["type"] == "batch"
            sent.artifacts += record["type"] == "artifact"
        progress.offset = end
        _store(note, progress)
    return Synced(path, progress.run_id, sent.batches, sent.artifacts, tuple(refused), incomplete)


def _records(path: Path, progress: Progress) -> Iterator[tuple[dict[str, Any] | None, int]]:
    """Records from the remembered offset on, each with the offset of its end; None for a line that was cut off."""
    with path.open("rb") as file:
        file.seek(progress.offset)
        while line := file.readline():
            try:
                record = json.loads(line)
                if not line.endswith(b"\n") or not isinstance(record, dict) or "type" not in record:
                    raise ValueError  # noqa: TRY301 -- the same case as broken JSON
            except ValueError:
                if file.read(1):
                    message = f"{path} is damaged near byte {file.tell()}: a line is not a tracking record."
                    raise FathomError(message) from None
                yield None, file.tell()
                return
            yield record, file.tell()


def _run_for(client: Client, path: Path, header: dict[str, Any]) -> str:
    """The run that the file belongs to; it is created at the first sync, and the file then names it."""
    if header.get("run_id"):
        return str(header["run_id"])
    bound = _bound(path)
    if bound:
        return bound
    tags = {"fathom.offline": header["key"]}
    run = client.runs.create(project=header["project"], name=header["name"], tags=tags, idempotency_key=header["key"])
    if _ends_with_newline(path):
        with path.open("ab") as file:
            file.write(json.dumps({"type": "bound", "run_id": run.id, "url": client.url}).encode() + b"\n")
    return run.id


def _bound(path: Path) -> str | None:
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b'{"type": "bound"'):
                return str(json.loads(line)["run_id"])
    return None


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _send(remote: Remote, path: Path, record: dict[str, Any]) -> None:
    if record["type"] == "artifact":
        record = {**record, "file": str(path.parent / record["file"])}
    try:
        remote.send(record)
    except Conflict:
        if record["type"] != "finish":  # ended already: that is what was wanted
            raise
    except OSError as error:
        message = f"The artifact {record.get('path')} of {path} cannot be read: {error.strerror}"
        raise FathomError(message) from error


def _load(note: Path) -> Progress:
    try:
        return Progress(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Progress()


def _store(note: Path, progress: Progress) -> None:
    draft = note.with_name(f"{note.name}.{os.getpid()}")
    draft.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    draft.replace(note)
