"""Where shims come from: a process that has loaded the shim already and forks it for each job, before there is one.

    python -I -S -E -c "..." <import root> <socket descriptor>, with the template of the sandbox on standard input

Interpreters and sandboxes take tens of milliseconds to start, and every job would wait for them. So there is always one
shim that has its sandbox standing and waits for a job. A message on the socket carries five descriptors: the plan to
read, where to answer, where to complain, the run folder, its lock. Whoever waits takes it, leaves for a life of its
own, and the next one is forked. The end of the socket is the end of this process and of who waits; shims with a job go
on. Standard library only, and little of it: all of it is in every shim.
"""

from __future__ import annotations

import _socket
import gc
import marshal
import os
import select
import struct
import sys
import time

from apps.compute.backends.local import rundir, shim
from apps.compute.backends.local.prepared import Prepared

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal

MESSAGE = b"shim"
TAKEN = b"j"
QUIET_SECONDS = 0.03  # the next one is not prepared while the present job starts, unless another job waits
BROKEN_SECONDS = 0.5  # before another try, when one could not be prepared
_FDS = "5i"


def main() -> NoReturn:
    """Keep one shim waiting for a job, until there are no more."""
    os.set_inheritable(int(sys.argv[2]), False)  # no sandbox may hold it
    channel = _socket.socket(fileno=int(sys.argv[2]))
    template = marshal.loads(b"".join(iter(lambda: os.read(0, 1 << 16), b"")))  # noqa: S302 -- from our own platform
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps what a shim leaves at once: it forks again
    gc.freeze()
    while True:
        life = _fork(channel, template)
        poll = select.poll()
        poll.register(life, select.POLLIN)
        poll.register(channel.fileno(), 0)  # its end only
        if any(fd == channel.fileno() for fd, _ in poll.poll()):
            os._exit(0)
        if os.read(life, 1) != TAKEN:
            time.sleep(BROKEN_SECONDS)
        os.close(life)
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        poll.poll(QUIET_SECONDS * 1000)


def _fork(channel: _socket.socket, template: dict[str, Any]) -> int:
    """Fork a shim that waits; return what can be read when it has taken a job, and ends when it is gone."""
    life, taken = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if os.fork():
                os._exit(0)  # the kernel reaps this one; the shim itself belongs to the machine's first process
            os.setsid()
            os.close(life)
            os.umask(0o077)
            _call_myself(rundir.SHIM_NAME.encode())
            _wait(channel, taken, template)
        except BaseException as error:  # noqa: BLE001 -- outermost of this process; what went wrong must be told
            shim.complain(repr(error))
        finally:
            os._exit(75)
    os.close(taken)
    return life


def _wait(channel: _socket.socket, taken: int, template: dict[str, Any]) -> None:
    sandbox = None
    if template["argv"]:
        try:  # noqa: SIM105 -- contextlib is a slow import
            sandbox = Prepared(template)
        except OSError:  # the job will try again, and say why it could not start
            pass
    fds = _receive(channel, sandbox)
    if fds is None:
        if sandbox:
            sandbox.discard()
        return
    try:  # noqa: SIM105 -- contextlib is a slow import
        os.write(taken, TAKEN)
    except OSError:  # the starter has been killed; the job is ours all the same
        pass
    os.close(taken)
    channel.close()  # whoever has a job must not look like somebody who waits
    plan, answer, errors, folder, lock = fds
    os.fchdir(folder)
    for fd, standard in ((plan, 0), (answer, 1), (errors, 2)):
        os.dup2(fd, standard)
    for fd in (plan, answer, errors, folder):
        os.close(fd)
    shim.main(lock, sandbox, template)


def _receive(channel: _socket.socket, sandbox: Prepared | None) -> tuple[int, ...] | None:
    """Wait for a job and return its descriptors; None when there will be none, or the sandbox has fallen."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    if sandbox:
        poll.register(sandbox.channel.fileno(), select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if sandbox and sandbox.channel.fileno() in ready:
            if not sandbox.hear():
                return None
            poll.register(sandbox.channel.fileno(), 0)  # its end only, from now on
        elif channel.fileno() in ready:
            message, ancillary, _, _ = channel.recvmsg(len(MESSAGE), _socket.CMSG_SPACE(struct.calcsize(_FDS)))
            return struct.unpack(_FDS, ancillary[0][2]) if message else None


def _call_myself(name: bytes) -> None:
    try:
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(name)
    except OSError:  # a courtesy to whoever lists processes
        pass
