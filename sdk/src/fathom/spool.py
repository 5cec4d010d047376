"""The append-only file that tracking writes when the platform cannot take the data.

`<folder>/<run>.jsonl` has one JSON object per line: first `{"type": "run", …}`, then `batch` (the body of log-batch),
`artifact` (whose content lies beside it in `<run>.artifacts/`) and `finish`. A batch has an id of its own, so sending
the file, or a part of it, twice adds nothing. `fathom sync` uploads such a file; a tracker whose platform comes back
does so by itself and removes it.
"""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

SUFFIX = ".jsonl"
REJECTED = ".rejected.jsonl"
CHUNK = 1 << 20


class Spool:
    """One run's file. Used by one thread at a time. The file appears with the first record."""

    def __init__(self, folder: Path, name: str, header: dict[str, Any]) -> None:
        self.path = folder / f"{name}{SUFFIX}"
        self._name = name
        self._header = {"type": "run", **header}
        self._read = 0
        self._written = 0
        self._snapshots = Path(tempfile.gettempdir()) / f"fathom-{uuid.uuid4().hex}"

    def for_child(self) -> "Spool":
        """A file of its own for a forked process, beside this one."""
        header = {key: value for key, value in self._header.items() if key != "type"}
        return Spool(self.path.parent, f"{self._name}-{os.getpid()}", header)

    @property
    def pending(self) -> bool:
        """Whether records were written that `replay` has not delivered."""
        return self._read < self._written

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; an artifact's content moves beside the file. Raises: OSError."""
        if record["type"] == "artifact":
            record = {**record, "file": self._keep(Path(record["file"]))}
        if not self._written:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._written = self._append(self.path, self._header)
            self._read = self._written
        self._written = self._append(self.path, record)

    def reject(self, record: dict[str, Any], why: str) -> Path:
        """Keep a record that the platform refuses in a file of its own, for people. Raises: OSError."""
        path = self.path.with_name(f"{self._name}{REJECTED}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if record["type"] == "artifact":
            record = {**record, "file": self._keep(Path(record["file"]))}
        self._append(path, {**record, "why": why})
        return path

    def replay(self) -> Iterator[dict[str, Any]]:
        """The undelivered records in order. One counts as delivered when the next is asked for."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            while line := file.readline():
                record = json.loads(line)
                if record["type"] == "artifact":
                    record["file"] = str(self.path.parent / record["file"])
                yield record
                self._read = file.tell()

    def clear(self) -> None:
        """All is delivered: remove the file. Raises: OSError."""
        self.path.unlink(missing_ok=True)
        self._read = self._written = 0
        shutil.rmtree(self._artifacts, ignore_errors=True)
        if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def snapshot(self, source: Path) -> tuple[Path, str, int]:
        """Copy a file as it is now, since training goes on writing to it. Returns the copy, its SHA-256 and its size.

        Raises: OSError.
        """
        self._snapshots.mkdir(mode=0o700, exist_ok=True)
        copy = self._snapshots / uuid.uuid4().hex
        digest = sha256()
        with source.open("rb") as incoming, copy.open("wb") as outgoing:
            while chunk := incoming.read(CHUNK):
                digest.update(chunk)
                outgoing.write(chunk)
        return copy, digest.hexdigest(), copy.stat().st_size

    def close(self) -> None:
        """Remove the folder of snapshots. What was not delivered has been moved beside the file."""
        shutil.rmtree(self._snapshots, ignore_errors=True)

    @property
    def _artifacts(self) -> Path:
        return self.path.with_name(f"{self._name}.artifacts")

    def _keep(self, file: Path) -> str:
        """Move a snapshot beside the file, unless it is there; the name is relative, so that both can be moved."""
        kept = self._artifacts / file.name
        if file != kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, kept)
        return f"{kept.parent.name}/{kept.name}"

    @staticmethod
    def _append(path: Path, record: dict[str, Any]) -> int:
        """Write one line in one go, so that a crash leaves at most one broken last line. Returns the file's size."""
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(handle, view) :]
            return os.fstat(handle).st_size
        finally:
            os.close(handle)
