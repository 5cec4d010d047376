"""From the shim to a guard without a sandbox: a fork. Standard library only: the shim imports this."""

from __future__ import annotations

import os

from apps.compute.backends.local import guard

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal

GUARD_KEYS = ("command", "env", "uid", "cwd", "sandboxed", "cgroups", "max_open_files", "max_processes", "lock")


def become_guard(guard_plan: dict[str, Any], diagnosis: int) -> NoReturn:
    """Turn the calling, freshly forked process into the guard. Never returns."""
    try:
        os.dup2(diagnosis, 1)
        os.dup2(diagnosis, 2)
        code = guard_plan["code"]
        keep = {guard_plan[key] for key in ("log", "status", "control", "lock")} | ({code["fd"]} if code else set())
        signal.set_wakeup_fd(-1)
        _close_others(keep)
        guard.run(guard_plan)
    except BaseException as error:  # noqa: BLE001 -- outermost of this process; it must not run on as a second shim
        os.write(2, f"cannot start the guard: {error}".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _close_others(keep: set[int]) -> None:
    """Close every descriptor but these and the standard three. A kept write end of a pipe would hide its end."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in keep:  # noqa: PLR2004 -- the standard three
            try:  # noqa: SIM105 -- contextlib is a slow import
                os.close(fd)
            except OSError:  # the one that listed the folder
                pass
