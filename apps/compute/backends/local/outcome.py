"""How one job ended, and what that is called. Standard library only: the shim imports this."""

from __future__ import annotations

import time

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

SIGKILL = 9


class Outcome:
    """What the shim has learned about the end of its job."""

    def __init__(self) -> None:
        self.cause = ""  # why we ended it: "Stopped", "TimedOut"
        self.failure = ("", "")  # reason and message, when the body never ran or the shim failed
        self.guard_lost = False  # the guard ended without a word about the body
        self.diagnosis = ""  # what the sandbox or the guard said on its way out
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.oom_kills = 0
        self.cpu_seconds: float | None = None
        self.peak_memory_bytes: int | None = None

    def record(self, timeout: float, memory_bytes: int) -> dict[str, str | int | float | bool | None]:
        """Return the verdict as it is kept. An empty reason is success."""
        reason, message = self._verdict(timeout, memory_bytes)
        signum = SIGKILL if self.guard_lost and self.started_at is not None else self.signal
        return {
            "exit_code": self.exit_code if signum is None else 128 + signum,
            "signal": signum,
            "reason": reason,
            "message": message,
            "started_at": self.started_at,
            "finished_at": self.ended_at or round(time.time(), 6),
            "oom_kills": self.oom_kills,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def _verdict(self, timeout: float, memory_bytes: int) -> tuple[str, str]:
        failed = self.exit_code != 0  # None: a signal, or nobody knows
        if self.failure[0]:
            return self.failure
        if self.cause == "TimedOut":
            return "TimedOut", f"it ran into its time limit of {timeout:g} s"
        if self.cause == "Stopped":
            return "Stopped", "stopped on request"
        if self.oom_kills and failed:
            return "OOMKilled", f"it needed more than its {memory_bytes} bytes of memory"
        if self.guard_lost:
            return self._lost()
        return self._by_status() if failed else ("", "")

    def _lost(self) -> tuple[str, str]:
        if self.started_at is None:
            return "StartFailed", f"the sandbox could not be set up: {self.diagnosis or 'it said nothing'}"
        return "Killed", f"the job was killed from outside {self.diagnosis}".strip()

    def _by_status(self) -> tuple[str, str]:
        if self.signal is not None:
            return "Signal", f"it was ended by signal {self.signal} ({signal.strsignal(self.signal)})"
        return "ExitCode", f"it ended with exit code {self.exit_code}"
