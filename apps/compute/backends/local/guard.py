"""The first process of a job: starts the body, reaps, and ends everything when told or when its shim is gone.

In a sandbox it is process 1 of the job's own namespace, so its end is the end of every process of the job, by the
kernel. Outside of one it is the reaper of all its descendants. It alone is the body's parent, and so it alone can read
how the body ended. Standard library only, and little of it: it is on the way to the first line of user code.

To the shim it says, line by line: "S <time>" started, "F <errno> <message>" could not start, "C <message>" bad code,
"E <code> <time>" exited, "K <signal> <time>" killed by a signal. From the shim it takes "T" (ask all to end) and "K"
(kill all); the end of that pipe means "K".
"""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import resource
import select
import struct
import time

from apps.compute.backends.local import processes
from apps.compute.backends.local.cgroups import Group

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
    from types import FrameType, ModuleType
    from typing import Any, NoReturn
else:
    import _signal as signal

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
UNPACK_MEMORY = 2 << 30
BODY_OOM_SCORE = b"500"  # under pressure the kernel takes a job before the platform, and a body before its guard
RESET_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)


def main(channel_fd: int) -> NoReturn:
    """Run as the guard in a sandbox: say that it stands, wait for the plan and its descriptors, serve."""
    channel = _socket.socket(fileno=channel_fd)
    channel.send(b"up")
    message, ancillary, _, _ = channel.recvmsg(16, _socket.CMSG_SPACE(8 * struct.calcsize("i")))
    if not message:
        os._exit(0)  # there was no job
    channel.close()
    sent = ancillary[0][2]
    plan_fd, log, status, control, lock, *code = struct.unpack(f"{len(sent) // struct.calcsize('i')}i", sent)
    with os.fdopen(plan_fd, "rb") as file:
        plan = marshal.loads(file.read())  # noqa: S302 -- from our own shim
    plan.update(log=log, status=status, control=control, lock=lock)
    if code:
        plan["code"]["fd"] = code[0]
    run(plan)


def run(plan: dict[str, Any]) -> NoReturn:
    """Be the guard. Never returns."""
    code = plan["code"]
    for fd in (plan["control"], plan["status"], plan["log"], plan["lock"], code["fd"] if code else -1):
        if fd >= 0:
            os.set_inheritable(fd, False)
    Guard(plan).serve()


def prctl(option: int, value: int) -> None:
    """Call prctl(2). Used outside of sandboxes only: `ctypes` takes some milliseconds to import."""  # noqa: D402 -- not a signature
    import ctypes  # noqa: PLC0415 -- costs a third of the guard's start

    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class Guard:
    """Starts the body and stays until nothing of the job is left."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._sandboxed: bool = plan["sandboxed"]
        self._main = 0
        self._main_ended = False
        self._asked_to_end = False
        self._asked: set[int] = set()  # who was, where that cannot be done for all at once
        self._exec_fd = -1
        self._poll = select.poll()

    def serve(self) -> NoReturn:
        """Start the body, then handle events until the job is over."""
        self._catch_children()
        if not self._sandboxed:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._start()
        control: int = self._plan["control"]
        self._poll.register(control, select.POLLIN)
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._exec_fd in ready:
                self._read_exec()
            if self._wakeup in ready:
                os.read(self._wakeup, 512)
            self._reap()
            if control in ready:
                self._obey(os.read(control, 16))

    def _catch_children(self) -> None:
        self._wakeup, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        self._poll.register(self._wakeup, select.POLLIN)

    def _start(self) -> None:
        self._exec_fd, write_end = os.pipe2(os.O_CLOEXEC)
        self._main = os.fork()
        if self._main == 0:
            become_body(self._plan, write_end)
        os.close(write_end)
        os.close(self._plan["log"])
        self._poll.register(self._exec_fd, select.POLLIN)

    def _read_exec(self) -> None:
        """Learn whether the body runs: the pipe closes at exec, and carries words when there was none."""
        said = b""
        while data := os.read(self._exec_fd, 4096):
            said += data
        self._poll.unregister(self._exec_fd)
        os.close(self._exec_fd)
        self._exec_fd = -1
        self._tell(said or f"S {time.time():.6f}".encode())
        if self._asked_to_end:  # it may have come before the body could hear it
            self._signal_all(signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:  # nobody left
                os._exit(0)
            if pid == 0:
                self._ask_orphans()
                return
            if pid == self._main and not self._main_ended:
                self._main_ended = True
                self._report(status)

    def _report(self, status: int) -> None:
        if self._exec_fd >= 0:
            self._read_exec()
        if os.WIFSIGNALED(status):
            self._tell(f"K {os.WTERMSIG(status)} {time.time():.6f}".encode())
        else:
            self._tell(f"E {os.WEXITSTATUS(status)} {time.time():.6f}".encode())

    def _tell(self, message: bytes) -> None:
        try:  # noqa: SIM105 -- contextlib is a slow import
            os.write(self._plan["status"], message.replace(b"\n", b" ") + b"\n")
        except BrokenPipeError:  # the shim is gone; its end of the control pipe says so too
            pass

    def _obey(self, order: bytes) -> None:
        if order and b"K" not in order:
            self._asked_to_end = True
            self._signal_all(signal.SIGTERM)
        else:
            self._kill_all()

    def _signal_all(self, signum: int) -> None:
        if self._sandboxed:
            try:  # noqa: SIM105 -- contextlib is a slow import
                os.kill(-1, signum)  # in this namespace everybody but ourselves
            except ProcessLookupError:
                pass
        elif self._plan["uid"] > 0:
            self._signal_user(signum)
        else:
            found = processes.descendants(os.getpid())
            processes.kill_all(found, signum)
            self._asked.update(found)

    def _ask_orphans(self) -> None:
        """Ask those to end who were born while we asked, and whose parent has heard it and is gone.

        Only where there is no call that asks all at once. Children of the living are left alone: a parent that is
        saving its work may need them.
        """
        if not self._asked_to_end or self._sandboxed or self._plan["uid"] > 0:
            return
        orphans = [pid for pid in processes.children(os.getpid()) if pid not in self._asked]
        processes.kill_all(orphans, signal.SIGTERM)
        self._asked.update(orphans)

    def _kill_all(self) -> NoReturn:
        """Kill until nobody is left, and end. In a namespace the kernel finishes that when process 1 ends."""
        self._signal_all(signal.SIGKILL)
        if self._sandboxed:
            self._await_main()
            os._exit(0)
        group = Group(self._plan["cgroups"])
        pause = 0.0005
        while True:
            group.kill()
            self._signal_all(signal.SIGKILL)
            processes.kill_all(processes.descendants(os.getpid()))
            self._reap()  # ends the guard when nobody is left
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _await_main(self) -> None:
        """Give the killed body the moment it needs to be reaped, so that its end is told with its time."""
        deadline = time.monotonic() + 1.0
        while not self._main_ended and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.0005)

    def _signal_user(self, signum: int) -> None:
        """Signal everything of the job's own user in one system call, which no fork can outrun."""
        uid: int = self._plan["uid"]
        if os.fork() == 0:
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                os.kill(-1, signum)  # spares the caller
            finally:
                os._exit(0)


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    """Be called, so that the wake-up descriptor is written to."""


def become_body(plan: dict[str, Any], exec_fd: int) -> NoReturn:
    """Turn the calling, freshly forked process into the job's main process. Never returns."""
    try:
        if plan["code"]:
            from apps.compute.backends.local import archive  # noqa: PLC0415 -- slow; and the job's user may not read it
        try:
            _settle(plan)
        except OSError as error:
            what = f"cannot set the job up: {error.strerror or error} {error.filename or ''}"
            os.write(exec_fd, f"F {error.errno or 0} {what}".encode("utf-8", "replace"))
            os._exit(127)
        if plan["code"]:
            _unpack(plan["code"], archive)
        _exec(plan["command"], plan["env"])
    except OSError as error:
        what = _why(plan["command"][0], error)
        os.write(exec_fd, f"F {error.errno or 0} {what}".encode("utf-8", "replace"))
    except Exception as error:  # noqa: BLE001 -- outermost of this process; whatever it is must be told, not traced
        os.write(exec_fd, f"C {error}".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _exec(command: list[str], env: dict[str, str]) -> None:
    """Replace this process. Like os.execvpe, which imports modules that the job's user may not be able to read."""
    if "/" in command[0]:
        os.execve(command[0], command, env)  # noqa: S606 -- this is the job
    denied: OSError | None = None
    for folder in env.get("PATH", "").split(":"):
        try:
            os.execve(f"{folder or '.'}/{command[0]}", command, env)  # noqa: S606 -- this is the job
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:  # there may be a better one further on
            denied = error
    raise denied or FileNotFoundError(errno.ENOENT, "no such command", command[0])


def _why(command: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"cannot start {command!r}: there is no such command"
    if error.errno == errno.EACCES:
        return f"cannot start {command!r}: it is not executable, or not readable for the job's user"
    if error.errno == errno.ENOEXEC:
        return f"cannot start {command!r}: not a program; a script needs a first line such as #!/bin/sh"
    if error.errno == errno.E2BIG:
        return f"cannot start {command!r}: its arguments and environment are too long"
    return f"cannot start {command!r}: {error.strerror or error}"


def _settle(plan: dict[str, Any]) -> None:
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(plan["log"], 1)
    os.dup2(plan["log"], 2)
    for signum in (*RESET_SIGNALS, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    os.umask(0o077)
    _score()
    if not plan["sandboxed"]:
        Group(plan["cgroups"]).enter()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, plan["max_open_files"])
    if plan["uid"] > 0:
        _limit(resource.RLIMIT_NPROC, plan["max_processes"])
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    if not plan["sandboxed"]:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    os.chdir(plan["cwd"])


def _score() -> None:
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(BODY_OOM_SCORE)
    except OSError:  # a courtesy to the rest of the machine, not a promise
        pass


def _limit(which: int, value: int) -> None:
    """Lower a limit; raising one is not ours to do."""
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _unpack(code: dict[str, Any], archive: ModuleType) -> None:
    limits = archive.Limits(code["max_bytes"], code["max_files"], code["max_ratio"])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (UNPACK_MEMORY, before[1]))  # an archive's headers may claim anything
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with os.fdopen(code["fd"], "rb") as source:
        archive.check_content(source, code["sha256"])
        archive.unpack(source, code["format"], folder, limits)
    os.close(folder)
    resource.setrlimit(resource.RLIMIT_AS, before)
