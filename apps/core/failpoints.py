"""Named points at which a crash test may kill the process. Inert unless FATHOM_FAILPOINTS names them.

`FATHOM_FAILPOINTS="quota.after_commit=kill;lease.after_acquire=kill*3"`: the process sends itself SIGKILL when it
passes the point (for the n-th time with `*n`). With `FATHOM_FAILPOINT_ONCE_DIR` set each point fires once per folder,
so that the restarted process gets past it.
"""

import os
import signal
from collections import Counter
from pathlib import Path

NAMES = frozenset(
    {
        "api.after_validate",
        "api.before_commit",
        "api.after_commit",
        "idem.after_insert",
        "lease.after_acquire",
        "quota.after_lock",
        "quota.before_commit",
        "quota.after_commit",
        "attempt.after_persist_handle",
        "backend.before_create",
        "backend.after_create",
        "run.before_running_commit",
        "observe.after_exit_seen",
        "finish.before_commit",
        "finish.after_commit",
        "finalizer.before_remove",
        "finalizer.after_remove",
        "release.before_commit",
        "ledger.before_commit",
        "charge.after_commit",
        "alert.after_send",
        "log.after_chunk",
        "log.before_eof",
        "cancel.after_desired",
        "cancel.after_kill",
        "sweep.before_delete",
        "artifact.after_write_before_row",
        "upload.after_part",
        "upload.after_join_before_row",
        "garbage.before_delete",
        "garbage.after_delete",
        "code.after_write_before_row",
        "environment.after_build",
        "source.after_fetch_before_row",
        "metrics.before_commit",
        "secret.rotate.mid",
    }
)


def _parse(text: str) -> dict[str, int]:
    armed = {}
    for part in filter(None, text.split(";")):
        name, _, action = part.partition("=")
        if name not in NAMES:
            msg = f"unknown failpoint: {name}"
            raise ValueError(msg)
        armed[name] = int(action.partition("*")[2] or 1)
    return armed


_armed = _parse(os.environ.get("FATHOM_FAILPOINTS", ""))
_passed: Counter[str] = Counter()


def hit(name: str) -> None:
    """Die here if the point is armed."""
    if not _armed or name not in _armed:
        return
    _passed[name] += 1
    if _passed[name] != _armed[name] or not _first_time(name):
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _first_time(name: str) -> bool:
    folder = os.environ.get("FATHOM_FAILPOINT_ONCE_DIR")
    if folder is None:
        return True
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
