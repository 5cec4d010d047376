"""Experiments: submit, find, follow, manage."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fathom.following import Follower, LogText, StateChange
from fathom.models import Attempt, Event, Experiment, LogChunk, Wait
from fathom.paging import Listing
from fathom.resources.code import CodeApi
from fathom.resources.paths import path
from fathom.spec import Spec, local_code
from fathom.transport import Transport

POLL_FIRST = 0.3
POLL_MAX = 3.0


class ExperimentsApi:
    """`client.experiments`."""

    def __init__(self, transport: Transport, code: CodeApi) -> None:
        self._transport = transport
        self._code = code

    def create(
        self,
        spec: Spec | Mapping[str, Any],
        *,
        code: str | os.PathLike[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Experiment:
        """Submit. A folder given as `code`, or named in the spec's `code.upload`, is packed and uploaded first.

        Raises: Invalid with a sentence per field; FathomError when the folder cannot be packed.
        """
        body = dict(spec)
        folder = os.fspath(code) if code is not None else local_code(body)
        if folder:
            body["code"] = {"upload": self._code.upload(folder).ref}
        reply = self._transport.request("POST", path("experiments"), json_body=body, idempotency_key=idempotency_key)
        return Experiment.from_json(reply.json())

    def list(  # noqa: PLR0913 -- one per filter
        self,
        *,
        state: str | Sequence[str] | None = None,
        kind: str | None = None,
        project: str | None = None,
        team: str | None = None,
        owner: str | None = None,
        q: str | None = None,
        tag: str | Sequence[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        shared: bool = False,
    ) -> Listing[Experiment]:
        """Newest first. `q`: the name contains it; `tag`: `key=value`; `shared`: only what was shared with me."""
        query = {
            "state": _several(state),
            "kind": kind,
            "project": project,
            "team": team,
            "owner": owner,
            "q": q,
            "tag": _several(tag),
            "created_after": created_after.isoformat() if created_after else None,
            "created_before": created_before.isoformat() if created_before else None,
            "shared": "true" if shared else None,
        }
        return Listing(self._transport, path("experiments"), Experiment.from_json, query)

    def get(self, experiment_id: str) -> Experiment:
        return self._read("GET", experiment_id)

    def stop(self, experiment_id: str, *, reason: str = "") -> Experiment:
        """Ask for it to stop; stopping what has ended already changes nothing."""
        return self._read("POST", experiment_id, "stop", body={"reason": reason} if reason else {})

    def retry(self, experiment_id: str) -> Experiment:
        """Start a new attempt of an ended experiment. Raises: Conflict while it is not ended."""
        return self._read("POST", experiment_id, "retry", body={})

    def clone(self, experiment_id: str, *, overrides: Spec | Mapping[str, Any] | None = None) -> Experiment:
        """Submit a new experiment with the same spec, with the fields in `overrides` replaced as wholes."""
        body = {"overrides": dict(overrides)} if overrides else {}
        return self._read("POST", experiment_id, "clone", body=body)

    def delete(self, experiment_id: str) -> None:
        """Archive it. Raises: Conflict while it is not ended."""
        self._transport.request("DELETE", path("experiments", experiment_id))

    def events(self, experiment_id: str) -> Listing[Event]:
        return Listing(self._transport, path("experiments", experiment_id, "events"), Event.from_json)

    def attempts(self, experiment_id: str) -> Listing[Attempt]:
        return Listing(self._transport, path("experiments", experiment_id, "attempts"), Attempt.from_json)

    def why(self, experiment_id: str) -> Wait:
        """Why it waits: what is in its way, who can change that, what would fit, its place, and when it may start."""
        return Wait.from_json(self._transport.request("GET", path("experiments", experiment_id, "why")).json())

    def log_chunk(
        self, experiment_id: str, *, offset: int = 0, limit: int | None = None, attempt: int | None = None
    ) -> LogChunk:
        """A piece of the log from a byte offset on. Without `attempt`, of the newest."""
        query = {"offset": offset, "limit": limit, "attempt": attempt}
        reply = self._transport.request("GET", path("experiments", experiment_id, "logs"), query=query)
        return LogChunk.from_json(reply.json())

    def download_log(self, experiment_id: str, target: str | os.PathLike[str], *, attempt: int | None = None) -> None:
        """Write the whole log of an attempt (the newest by default) into a file, as the bytes that the job wrote."""
        query = f"?attempt={attempt}" if attempt is not None else ""
        self._transport.download(path("experiments", experiment_id, "logs", "download") + query, Path(target))

    def logs(
        self, experiment_id: str, *, follow: bool = False, attempt: int | None = None, offset: int = 0
    ) -> Iterator[str]:
        """The log in pieces of text. With `follow`, live until the experiment has ended."""
        if follow:
            for item in self.follow(experiment_id, attempt=attempt, offset=offset):
                if isinstance(item, LogText):
                    yield item.text
            return
        while True:
            chunk = self.log_chunk(experiment_id, offset=offset, attempt=attempt)
            if chunk.data:
                yield chunk.data
            if chunk.next_offset <= offset:
                return
            offset, attempt = chunk.next_offset, attempt or chunk.attempt or None

    def follow(
        self, experiment_id: str, *, attempt: int | None = None, offset: int = 0
    ) -> Iterator[LogText | StateChange]:
        """Log text and changes of state as they happen, until the experiment (or the given attempt) has ended.

        Over a websocket, resumed where it broke; by polling where websockets do not get through.
        """
        return Follower(self._transport, experiment_id, attempt=attempt, offset=offset).items()

    def wait(self, experiment_id: str, *, timeout: float | None = None) -> Experiment:
        """Return when it has ended. Raises: TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = POLL_FIRST
        while not (experiment := self.get(experiment_id)).is_final:
            if deadline is not None and time.monotonic() + pause > deadline:
                message = f"Experiment {experiment.name} is still {experiment.state} after {timeout:g} s."
                raise TimeoutError(message)
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX)
        return experiment

    def _read(self, method: str, *parts: str, body: Any = None) -> Experiment:
        reply = self._transport.request(method, path("experiments", *parts), json_body=body)
        return Experiment.from_json(reply.json())


def _several(value: str | Sequence[str] | None) -> Sequence[str] | None:
    return [value] if isinstance(value, str) else value
