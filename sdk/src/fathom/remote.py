"""Delivering a run's records over HTTP."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.config import Connection
from fathom.resources.runs import RunsApi
from fathom.transport import Transport

TIMEOUT = 30.0
RETRY_SECONDS = 2.0  # then the spool takes over


class Remote:
    """One run on the platform."""

    def __init__(self, runs: RunsApi, run_id: str) -> None:
        self._runs = runs
        self._run_id = run_id

    @classmethod
    def connect(cls, connection: Connection, run_id: str) -> "Remote":
        transport = Transport(connection, timeout=TIMEOUT, retry_seconds=RETRY_SECONDS)
        return cls(RunsApi(transport), run_id)

    def send(self, record: Mapping[str, Any]) -> None:
        """Deliver one record of the spool's form. Raises: ApiError."""
        kind = record["type"]
        if kind == "batch":
            self._runs.log_batch(self._run_id, {key: value for key, value in record.items() if key != "type"})
        elif kind == "artifact":
            self._runs.put_artifact(
                self._run_id,
                Path(record["file"]),
                record["path"],
                content_type=record["content_type"],
                sha256=record["sha256"],
            )
        elif kind == "finish":
            self._runs.finish(self._run_id, status=record["status"])
