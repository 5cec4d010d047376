"""Following an experiment: its log and its states, as they happen.

A websocket pushes; every frame says which bytes it carries, so a broken connection is resumed at the next byte and
nothing is shown twice. Where no websocket gets through, the same is read by polling.
"""

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fathom.errors import ApiError, Forbidden, NotFound, Unauthorized, Unavailable
from fathom.models import FINAL_STATES, Experiment, LogChunk
from fathom.resources.paths import path
from fathom.transport import Transport, backoff, query_string

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

POLL_SECONDS = 1.0
QUIET_SECONDS = 60.0  # without a frame for so long, ask whether anything was missed
DRAIN_SECONDS = 10.0  # how long the end of the log may come after the end of the experiment
PATIENCE_SECONDS = 300.0  # how long the platform may be away
CLOSED: dict[int, type[ApiError]] = {4401: Unauthorized, 4403: Forbidden, 4404: NotFound}


@dataclass(frozen=True, slots=True)
class LogText:
    """A piece of an attempt's log; `offset` is where it begins, in bytes."""

    text: str
    offset: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """The experiment as it is now."""

    experiment: Experiment


Item = LogText | StateChange


class SocketUnusableError(Exception):
    """Websockets do not get through here."""


class Follower:
    """One pass over an experiment's log and states. Use `items()` once."""

    def __init__(self, transport: Transport, experiment_id: str, *, attempt: int | None, offset: int) -> None:
        self._transport = transport
        self._id = experiment_id
        self._only_attempt = attempt
        self._attempt = attempt or 0
        self._offset = offset
        self._ended_attempt = 0  # the newest attempt whose log was read to its end
        self._state = ""
        self._moved_at = time.monotonic()  # when anything last arrived

    def items(self) -> Iterator[Item]:
        """Until the experiment, or the one attempt asked for, has ended and its log was read to the end.

        Raises: ApiError; Unavailable only after five minutes without the platform.
        """
        yield from self._look()
        delays = backoff()
        by_socket = True
        while not self._finished:
            moved_at = self._moved_at
            try:
                yield from self._by_socket() if by_socket else self._by_polling()
            except SocketUnusableError:
                by_socket = False
            except Unavailable:
                if time.monotonic() - self._moved_at > PATIENCE_SECONDS:
                    raise
            except OSError:  # the connection broke: resume at the next byte
                pass
            if moved_at != self._moved_at:
                delays = backoff()
            if not self._finished:
                time.sleep(next(delays) if by_socket else POLL_SECONDS)

    @property
    def _finished(self) -> bool:
        if self._only_attempt is not None:
            return self._ended_attempt >= self._only_attempt or self._drained
        return self._state in FINAL_STATES and (self._ended_attempt >= self._attempt or self._drained)

    @property
    def _drained(self) -> bool:
        """Ended, and nothing has come for so long that nothing will."""
        return self._state in FINAL_STATES and time.monotonic() - self._moved_at > DRAIN_SECONDS

    def _look(self) -> Iterator[StateChange]:
        body = self._transport.request("GET", path("experiments", self._id)).json()
        yield from self._on_state(Experiment.from_json(body))

    def _on_state(self, experiment: Experiment) -> Iterator[StateChange]:
        if self._only_attempt is None and experiment.attempt > self._attempt:
            self._begin(experiment.attempt)
        if experiment.state != self._state:
            self._state = experiment.state
            self._moved_at = time.monotonic()
            yield StateChange(experiment)

    def _begin(self, attempt: int) -> None:
        """Another attempt has its own log, from 0. (The offset that the caller gave is for the first attempt seen.)"""
        if self._attempt:
            self._offset = 0
        self._attempt = attempt

    # Polling

    def _by_polling(self) -> Iterator[Item]:
        yield from self._read_log()
        yield from self._look()

    def _read_log(self) -> Iterator[LogText]:
        """All that the log has now, from our offset on."""
        while True:
            query = {"offset": self._offset, "attempt": self._attempt or None}
            try:
                body = self._transport.request("GET", path("experiments", self._id, "logs"), query=query).json()
            except NotFound:  # no log yet, or none ever: it never started
                if self._state in FINAL_STATES:
                    self._ended_attempt = self._attempt
                return
            chunk = LogChunk.from_json(body)
            if chunk.next_offset > self._offset:
                self._offset = chunk.next_offset
                self._moved_at = time.monotonic()
                yield LogText(chunk.data, chunk.offset, chunk.attempt)
            else:
                if chunk.eof:
                    self._ended_attempt = max(self._ended_attempt, chunk.attempt or self._attempt)
                return

    # Websocket

    def _by_socket(self) -> Iterator[Item]:
        yield from self._look()
        with self._connect() as socket:
            while not self._finished:
                frame = self._receive(socket)
                if frame is None:
                    yield from self._by_polling()
                    continue
                attempt = self._attempt
                yield from self._on_frame(frame)
                if attempt and self._attempt != attempt:
                    return  # the next attempt: its log is another stream

    def _receive(self, socket: "ClientConnection") -> dict[str, Any] | None:
        """The next frame; None after a long silence."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 -- loaded by _connect already

        try:
            message = socket.recv(timeout=2.0 if self._state in FINAL_STATES else QUIET_SECONDS)
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 0
            if code in CLOSED:
                detail = (closed.rcvd.reason if closed.rcvd else "") or "The platform closed the log stream."
                raise CLOSED[code](detail, code=str(code), status=code - 4000) from closed
            raise ConnectionResetError from closed
        frame: dict[str, Any] = json.loads(message)
        return frame

    def _on_frame(self, frame: dict[str, Any]) -> Iterator[Item]:
        kind = frame.get("type")
        if kind == "log":
            yield from self._on_log(frame)
        elif kind == "state":
            yield from self._on_state_frame(frame)
        elif kind == "eof":
            self._ended_attempt = max(self._ended_attempt, int(frame.get("attempt") or self._attempt))
            self._moved_at = time.monotonic()

    def _on_state_frame(self, frame: dict[str, Any]) -> Iterator[StateChange]:
        """A frame is only a summary: a change is worth asking for the whole."""
        attempt = int(frame.get("attempt") or 0)
        if frame.get("state") != self._state or attempt > self._attempt:
            yield from self._look()

    def _on_log(self, frame: dict[str, Any]) -> Iterator[LogText]:
        attempt = int(frame.get("attempt") or self._attempt)
        if self._only_attempt is not None and attempt != self._only_attempt:
            return
        if attempt > self._attempt:
            self._begin(attempt)
        start, end = int(frame["offset"]), int(frame["next"])
        if attempt < self._attempt or end <= self._offset:
            return  # seen already
        if "data" not in frame or start != self._offset:
            yield from self._read_log()  # a hint only, or a gap: fetch exactly what is missing
            return
        self._offset = end
        self._moved_at = time.monotonic()
        yield LogText(frame["data"], start, attempt)

    def _connect(self) -> "ClientConnection":
        try:
            from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI  # noqa: PLC0415 -- only who follows pays
            from websockets.sync.client import connect  # noqa: PLC0415 -- the same
        except ImportError as error:
            raise SocketUnusableError from error
        query = {"offset": self._offset, "attempt": self._attempt or None}
        url = f"ws{self._transport.url.removeprefix('http')}/ws/experiments/{self._id}/logs/{query_string(query)}"
        try:
            return connect(
                url,
                additional_headers=self._transport.bearer(),
                ssl=ssl.create_default_context() if url.startswith("wss") else None,
                open_timeout=10,
                close_timeout=2,
                max_size=None,
                proxy=None,
            )
        except (InvalidHandshake, InvalidURI) as error:
            if isinstance(error, InvalidStatus) and error.response.status_code >= 500:  # noqa: PLR2004 -- restarting
                raise ConnectionResetError from error
            # Refused: the same as a plain request gets the platform's own words.
            raise SocketUnusableError from error
