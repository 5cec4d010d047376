"""What the files of a job say about it. Reads only; takes no lock."""

import json
import os
from datetime import UTC, datetime
from typing import Any

from apps.compute.backends.local import rundir
from apps.compute.contract import Observation, Phase, Use


def look(root: int, name: str) -> Observation:
    """Look at one name below the open folder of all jobs.

    The order of the looks matters: a shim writes its verdict before it gives its lock back.
    """
    if not rundir.is_name(name):
        return Observation(Phase.MISSING, reason="NoSuchName", message="no job can have this name here")
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root)
    except FileNotFoundError:
        return Observation(Phase.MISSING, reason="NotSubmitted", message="it was never submitted here, or was removed")
    except OSError as error:
        return _unknown(error)
    try:
        return _verdict(folder) or _alive(folder) or _verdict(folder) or _without_verdict(folder)
    except (OSError, ValueError) as error:
        return _unknown(error)
    finally:
        os.close(folder)


def _unknown(error: Exception) -> Observation:
    return Observation(Phase.UNKNOWN, reason="Unreadable", message=f"cannot read the job's folder: {error}")


def _verdict(folder: int) -> Observation | None:
    data = rundir.read_small(folder, rundir.EXIT)
    if data is None:
        return None
    record: dict[str, Any] = json.loads(data)
    return Observation(
        phase=Phase.FAILED if record["reason"] else Phase.SUCCEEDED,
        reason=record["reason"] or "Completed",
        message=record["message"],
        exit_code=record["exit_code"],
        signal=record["signal"],
        started_at=_time(record["started_at"]),
        finished_at=_time(record["finished_at"]),
        use=Use(
            record.get("cpu_seconds"), None, record.get("peak_memory_bytes")
        ),  # a shim of an older version said nothing
    )


def _alive(folder: int) -> Observation | None:
    fd = os.open(rundir.LOCK, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not rundir.is_locked(fd):
            return None
    finally:
        os.close(fd)
    started = rundir.read_small(folder, rundir.STARTED)
    if not started:
        return Observation(Phase.PENDING, reason="Starting", message="the job is being set up")
    return Observation(Phase.RUNNING, started_at=_time(float(started)))


def _without_verdict(folder: int) -> Observation:
    if rundir.exists(folder, rundir.SHIM):
        started = rundir.read_small(folder, rundir.STARTED)
        return Observation(
            Phase.MISSING,
            reason="Vanished",
            message="its shim was killed, or the machine restarted; how it ended is not known",
            started_at=_time(float(started)) if started else None,
        )
    wish = rundir.read_small(folder, rundir.STOP)
    if wish is not None:
        at = _time(float(wish.split()[1]))
        return Observation(Phase.FAILED, reason="Stopped", message="stopped before it started", finished_at=at)
    return Observation(Phase.MISSING, reason="NotStarted", message="its submission was cut off; submit it again")


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
