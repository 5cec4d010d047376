"""Where the records of a run go: to the platform, or to the spool file while it cannot take them."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.errors import ApiError, FathomError, Forbidden, NotFound, Unauthorized, Unavailable
from fathom.notices import notice
from fathom.spool import Spool

if TYPE_CHECKING:
    from fathom.remote import Remote

FIRST_PAUSE = 0.5
MAX_PAUSE = 10.0
URGENT_PAUSE = 1.0


class Delivery:
    """One run's way out. `connect` is called in the delivering thread at the first record, since it imports HTTP;
    None means that there is no platform, and the file is where the records belong.

    `deliver` and `catch_up` are called by one thread at a time.
    """

    def __init__(self, spool: Spool, connect: "Callable[[], Remote] | None") -> None:
        self._spool = spool
        self._connect = connect
        self._remote: Remote | None = None
        self._in_flight: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE
        self._retry_at = 0.0
        self._moved_at = 0.0
        self._in_trouble = False

    def for_child(self) -> "Delivery":
        """The same run from a forked process: its own file and its own connections."""
        return Delivery(self._spool.for_child(), self._connect)

    @property
    def owes(self) -> bool:
        """Whether the file holds records that should still reach the platform."""
        return self._connect is not None and self._spool.pending

    def due_in(self) -> float | None:
        """Seconds until the file's records should be tried again; None when there are none."""
        return self._retry_at - time.monotonic() if self.owes else None

    def moved_at(self) -> float:
        """When something was last delivered. An upload under way counts as now: its socket has limits of its own."""
        record = self._in_flight
        uploading = record is not None and record["type"] == "artifact" and not self._in_trouble
        return time.monotonic() if uploading else self._moved_at

    def hurry(self) -> None:
        """Somebody waits: try again now."""
        self._retry_at = 0.0
        self._pause = min(self._pause, URGENT_PAUSE)

    def snapshot(self, source: Path, name: str, content_type: str) -> dict[str, Any] | None:
        """The record of an artifact, with a copy of the file as it is now; None (and a notice) when copying fails."""
        try:
            copy, digest, size = self._spool.snapshot(source)
        except OSError as error:
            self.lose(f"the artifact {name} could not be copied: {error}")
            return None
        return {
            "type": "artifact",
            "path": name,
            "file": str(copy),
            "sha256": digest,
            "size_bytes": size,
            "content_type": content_type,
        }

    def deliver(self, record: dict[str, Any]) -> None:
        """Send a record, or keep it in the file. Never raises because of the platform."""
        if self._connect is None or self._spool.pending:
            self._keep(record)
            return
        self._in_flight = record
        try:
            self._send(record)
        except (Unavailable, OSError) as error:
            self._trouble(error)
            self._keep(record)
        except FathomError as error:
            self._disconnect(error)
            self._keep(record)
        finally:
            self._in_flight = None

    def catch_up(self, *, urgent: bool) -> None:
        """Send what the file holds, if it is time to try."""
        if not self.owes or time.monotonic() < self._retry_at:
            return
        try:
            for record in self._spool.replay():
                self._in_flight = record
                self._send(record)
        except (Unavailable, OSError) as error:
            self._trouble(error)
            if urgent:
                self._retry_at = min(self._retry_at, time.monotonic() + URGENT_PAUSE)
        except FathomError as error:
            self._disconnect(error)
        else:
            with contextlib.suppress(OSError):
                self._spool.clear()
            self._in_trouble, self._pause = False, FIRST_PAUSE
            notice("the platform is back; everything was delivered")
        finally:
            self._in_flight = None

    def rescue(self, records: Iterable[dict[str, Any]]) -> None:
        """At the end, when the thread hangs: keep what it has not delivered, its present record included.

        That record may arrive all the same; its id makes it count once.
        """
        in_flight = self._in_flight
        if in_flight is not None:
            self._keep(in_flight)
        for record in records:
            self._keep(record)

    def close(self) -> None:
        """Say where undelivered records are, and clean up."""
        if self._spool.pending:
            notice(
                f"what was tracked is kept in {self._spool.path}; upload it with: fathom sync {self._spool.path}",
                once=str(self._spool.path),
            )
        with contextlib.suppress(OSError):
            self._spool.close()

    def lose(self, what: str) -> None:
        """Tracking data is gone; say so, every time."""
        notice(f"tracking data was lost: {what}")

    def _send(self, record: dict[str, Any]) -> None:
        """Raises: Unavailable, or a FathomError after which no record can be delivered."""
        if self._remote is None and self._connect is not None:
            self._remote = self._connect()
        assert self._remote is not None  # noqa: S101 -- callers check _connect
        try:
            self._remote.send(record)
        except (Unavailable, Unauthorized, Forbidden, NotFound):
            raise
        except ApiError as error:
            if error.status >= 500:  # noqa: PLR2004 -- the platform's fault, perhaps not for long
                raise Unavailable(error.detail, code=error.code, status=error.status) from error
            self._reject(record, error)
        else:
            if record["type"] == "artifact":
                Path(record["file"]).unlink(missing_ok=True)
        self._moved_at = time.monotonic()

    def _keep(self, record: dict[str, Any]) -> None:
        try:
            with self._lock:
                self._spool.append(record)
        except OSError as error:
            self.lose(f"{describe(record)} could not be written to {self._spool.path}: {error.strerror}")

    def _reject(self, record: dict[str, Any], error: ApiError) -> None:
        if record["type"] == "finish":  # it has ended already: that is what was wanted
            return
        try:
            path = self._spool.reject(record, error.detail)
        except OSError:
            self.lose(f"the platform refused {describe(record)}: {error.detail}")
        else:
            notice(f"the platform refused {describe(record)} ({error.detail}); kept in {path}", once=error.detail)

    def _trouble(self, error: Exception) -> None:
        self._in_trouble = True
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, MAX_PAUSE)
        notice(f"{error}; tracking continues in {self._spool.path} and catches up later", once="trouble")

    def _disconnect(self, error: FathomError) -> None:
        """The token is refused or the run is gone: trying again would not help."""
        self._connect = None
        notice(f"the platform does not take this run's data ({error}); it goes to {self._spool.path}")


def describe(record: dict[str, Any]) -> str:
    if record["type"] == "artifact":
        return f"the artifact {record['path']}"
    if record["type"] == "finish":
        return "the end of the run"
    names = len(record["params"]) + len(record["tags"])
    return f"{len(record['metrics']['key'])} metric points and {names} params or tags"
