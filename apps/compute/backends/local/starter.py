"""Where shims come from: a process that has loaded the shim already and forks one for each job.

    python -I -S -E -c "..." <import root> <socket descriptor>

An interpreter takes ten milliseconds to start, and every job would wait for it. A message on the socket carries five
descriptors: the plan to read, where to answer, where to complain, the run folder, its lock. The end of the socket is
the end of this process; shims go on. Standard library only, and little of it: all of it is in every shim.
"""

from __future__ import annotations

import _socket
import gc
import os
import struct
import sys

from apps.compute.backends.local import rundir, shim

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal

MESSAGE = b"shim"
_FDS = "5i"


def main() -> NoReturn:
    """Fork a shim for each message, until there are no more."""
    channel = _socket.socket(fileno=int(sys.argv[2]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps what a shim leaves at once: it forks again
    gc.freeze()
    while True:
        message, ancillary, _, _ = channel.recvmsg(len(MESSAGE), _socket.CMSG_SPACE(struct.calcsize(_FDS)))
        if not message:
            os._exit(0)
        fds = struct.unpack(_FDS, ancillary[0][2])
        if os.fork() == 0:
            channel.close()
            _become_shim(*fds)
        for fd in fds:
            os.close(fd)


def _become_shim(plan: int, answer: int, errors: int, folder: int, lock: int) -> NoReturn:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.fchdir(folder)
        for fd, standard in ((plan, 0), (answer, 1), (errors, 2)):
            os.dup2(fd, standard)
        for fd in (plan, answer, errors, folder):
            os.close(fd)
        _call_myself(rundir.SHIM_NAME.encode())
        shim.main(lock)
    except BaseException as error:  # noqa: BLE001 -- outermost of this process; what went wrong must be told
        shim.complain(repr(error))
    finally:
        os._exit(75)


def _call_myself(name: bytes) -> None:
    try:
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(name)
    except OSError:  # a courtesy to whoever lists processes
        pass
