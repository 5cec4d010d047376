"""A sandbox that stands before its job is known: the job's folders under a passing name, and the guard waiting inside.

bwrap and the guard's interpreter take fifteen milliseconds to start. Whoever waits for a job can have that behind him
when it comes: the folders are renamed to where the job's belong, which the mounts inside follow, and the guard is sent
its plan. Standard library only, and little of it: the shim imports this.
"""

from __future__ import annotations

import _socket
import marshal
import os
import select
import struct

from apps.compute.backends.local import processes
from apps.compute.backends.local.cgroups import Group

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

PREFIX = ".warm-"  # then the pid of whoever waits, when it started, and a number
UP, PLAN = b"up", b"plan"
JOB, TMP, SECRETS = "@job", "@tmp", "@secrets"  # words of the command line that become folders
UP_SECONDS = 15.0


def is_orphan(name: str) -> bool:
    """Say whether the folder of that name was left behind: whoever made it is gone."""
    _, _, text = name.partition(PREFIX)
    pid, _, rest = text.partition("-")
    started = rest.partition("-")[0]
    return not (pid.isdigit() and started.isdigit() and processes.is_running(int(pid), int(started)))


class Prepared:
    """The sandbox of one job to come.

    `template`: jobs_root, secrets_root ("": in the job's folder), groups and key (see `cgroups.prepare`), argv.
    """

    def __init__(self, template: dict[str, Any], number: int = 0) -> None:
        pid = os.getpid()
        name = f"{PREFIX}{pid}-{processes.start_time(pid)}-{number}"
        self._folder = f"{template['jobs_root']}/{name}"
        self._job = f"{self._folder}/job"
        self._tmp = f"{self._job}/tmp"
        self._secrets = f"{template['secrets_root']}/{name}" if template["secrets_root"] else f"{self._job}/secrets"
        self.is_used = False
        self._is_up = False
        self.pid = 0
        self.channel, self._theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._groups = Group.of(template["groups"], f"{template['key']}.{name}")
        self._is_grouped = False
        try:
            for path in (self._folder, self._job, f"{self._job}/code", self._tmp, self._secrets):
                os.mkdir(path, 0o700)
            self._is_grouped = self._groups.open_early()
            self._start(template["argv"])
        except OSError:
            self.discard()
            raise

    def _start(self, argv: list[str]) -> None:
        words = {JOB: self._job, TMP: self._tmp, SECRETS: self._secrets}
        theirs = self._theirs
        self.diagnosis, diagnosis_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if self._is_grouped:
                    self._groups.enter()
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(diagnosis_write, 1)
                os.dup2(diagnosis_write, 2)
                os.set_inheritable(theirs.fileno(), True)
                command = [*(words.get(word, word) for word in argv), str(theirs.fileno())]
                os.execve(command[0], command, {})  # noqa: S606 -- our own words
            except BaseException as error:  # noqa: BLE001 -- outermost of this process; what went wrong must be told
                os.write(diagnosis_write, repr(error).encode("utf-8", "replace"))
            finally:
                os._exit(127)
        theirs.close()
        os.close(diagnosis_write)

    def hear(self) -> bool:
        """Take the guard's word that it is up; False when it is gone."""
        try:
            self._is_up = self.channel.recv(len(UP)) == UP
        except OSError:
            self._is_up = False
        return self._is_up

    def adopt(self, plan: dict[str, Any]) -> None:
        """Become the sandbox of the job of `plan`: its folders and groups get their names, all or none. Raises: OSError."""
        self._await_up()  # before that its mounts still look for the passing names
        names = [(self._job, plan["job"])]
        if not self._secrets.startswith(self._folder):
            names.append((self._secrets, plan["secrets_folder"]))
        if self._is_grouped:
            names += self._groups.pairs(plan["cgroups"])
        done = []
        try:
            for old, new in names:
                os.rename(old, new)
                done.append((old, new))
        except OSError:
            for old, new in reversed(done):
                os.rename(new, old)
            raise
        os.rmdir(self._folder)
        self.is_used = True

    def _await_up(self) -> None:
        waiting = select.poll()
        waiting.register(self.channel.fileno(), select.POLLIN)
        if not self._is_up and not (waiting.poll(UP_SECONDS * 1000) and self.hear()):
            said = (
                os.read(self.diagnosis, 300).decode("utf-8", "replace").strip() if _can_be_read(self.diagnosis) else ""
            )
            msg = f"its sandbox did not start: {said or 'no answer'}"
            raise OSError(msg)

    def outsiders(self) -> list[int]:
        """Return what has yet to enter the job's groups."""
        if self._is_grouped:
            return []
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
                inner = [int(pid) for pid in file.read().split()]
        except OSError:  # a kernel without that file
            inner = processes.children(self.pid)
        return [self.pid, *inner]

    def send(self, plan: dict[str, Any], fds: list[int]) -> None:
        """Give the guard its plan and the descriptors that it names by their place. Raises: OSError."""
        memory = os.memfd_create("plan")
        try:
            os.write(memory, marshal.dumps(plan))
            os.lseek(memory, 0, os.SEEK_SET)
            sent = struct.pack(f"{len(fds) + 1}i", memory, *fds)
            self.channel.sendmsg([PLAN], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, sent)])
        finally:
            os.close(memory)
            self.channel.close()

    def discard(self) -> None:
        """End it unused, and leave nothing."""
        self.channel.close()
        self._theirs.close()
        try:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        self.pid = 0  # reaped: the number may become another's
        self._groups.destroy()
        for path in (self._secrets, self._tmp, f"{self._job}/code", self._job, self._folder):
            try:  # noqa: SIM105 -- contextlib is a slow import
                os.rmdir(path)
            except OSError:
                pass


def _can_be_read(fd: int) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(0))
