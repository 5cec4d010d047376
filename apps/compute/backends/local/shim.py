"""The process that stands between the platform and one job, and outlives the platform.

It is forked by the starter, and comes to life in the run folder. It gets the plan, with the secrets, on its standard
input, answers "ok" on its standard output once the start is durable, and from then on needs nobody: it starts the guard
(which starts the body), writes the log, keeps the time limit, obeys the `stop` file, and leaves the verdict in
`exit.json`. Standard library only, little of it, and everything it will need is imported before the body starts: the
files of the platform may be others when a long job ends.
"""

from __future__ import annotations

import marshal
import os
import select
import time

from apps.compute.backends.local import guard, processes, rundir
from apps.compute.backends.local.cgroups import Group
from apps.compute.backends.local.enter import GUARD_KEYS, become_guard
from apps.compute.backends.local.logfile import LogFile
from apps.compute.backends.local.outcome import Outcome
from apps.compute.backends.local.prepared import Prepared
from apps.compute.backends.masking import Masker

TYPE_CHECKING = False  # `typing` and `signal` take longer to import than all the rest of this
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import Any, NoReturn
else:
    import _signal as signal

READ_SIZE = 1 << 16
FORCE_EVERY = 0.25  # seconds between attempts, once force is needed
DRAIN_SECONDS = 5.0  # for the rest of the log, after the last process is dead
RETRY_RECORD = 2.0  # seconds between attempts to write the verdict on a full or broken disk
DIAGNOSIS_BYTES = 2000


def main(lock_fd: int, sandbox: Prepared | None, template: dict[str, Any]) -> NoReturn:
    """Run as the shim: read the plan, and see the job through to its verdict."""
    os.set_inheritable(lock_fd, False)
    try:
        _serve(lock_fd, sandbox, template)
    except BaseException as error:  # noqa: BLE001 -- outermost of this process; what went wrong must be told
        complain(repr(error))
    finally:
        if sandbox and not sandbox.is_used:
            sandbox.discard()
        os._exit(0)


def _serve(lock_fd: int, sandbox: Prepared | None, template: dict[str, Any]) -> None:
    length = int.from_bytes(_read_exactly(8), "little")
    body = _read_exactly(length)
    if len(body) < length:
        return
    run_folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    plan = marshal.loads(body)  # noqa: S302 -- from our own platform
    plan["lock"] = lock_fd
    # From the record on we are asked to stop by a file and then a signal; the file is read later, and must be lived to see.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _nothing)
    if not _claim_start(run_folder):
        return
    try:  # noqa: SIM105 -- contextlib is a slow import
        os.write(1, b"ok")
    except OSError:
        pass  # the caller died; the job is taken on durably, and who submits it again will find it
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    Shim(plan, run_folder, sandbox, template).run()


def _read_exactly(size: int) -> bytes:
    """Read from standard input; less than `size` from a caller that died half-way, who has started nothing."""
    data = b""
    while len(data) < size and (more := os.read(0, size - len(data))):
        data += more
    return data


def _claim_start(run_folder: int) -> bool:
    """Write `shim.json`; False when this name was started or ended before. LOCKING: the caller holds the lock."""
    if rundir.exists(run_folder, rundir.SHIM) or rundir.exists(run_folder, rundir.EXIT):
        return False
    pid = os.getpid()
    record: dict[str, str | int | float | bool | None] = {
        "pid": pid,
        "starttime": processes.start_time(pid),
        "boot_id": processes.boot_id(),
        "accepted_at": round(time.time(), 6),
    }
    rundir.write_durably(run_folder, rundir.SHIM, rundir.flat_json(record))
    return True


class Shim:
    """One job, from the accepted start to the durable verdict."""

    def __init__(
        self, plan: dict[str, Any], run_folder: int, sandbox: Prepared | None, template: dict[str, Any]
    ) -> None:
        self._plan = plan
        self._template = template
        self._sandbox = sandbox
        self._folder = run_folder
        self._group = Group(plan["cgroups"])
        self._log = LogFile(run_folder, rundir.LOG, plan["max_log_bytes"], Masker(plan["masks"]))
        self._poll = select.poll()
        self._child = 0
        self._outcome = Outcome()
        self._force_at: float | None = None
        self._gone_at: float | None = None
        self._forced = False
        self._status_rest = b""

    def run(self) -> None:
        """See the job through. Whatever happens, nothing of it lives on when the verdict is there."""
        self._catch_signals()
        self._stop_requested()
        if self._outcome.cause:
            self._outcome.failure = ("Stopped", "stopped before it started")
        else:
            try:
                self._prepare()
                self._launch()
                self._loop()
            except OSError as error:
                where = f" {error.filename}" if error.filename else ""
                self._give_up("StartFailed", f"the machine cannot run the job: {error.strerror or error}{where}")
            except Exception as error:  # noqa: BLE001 -- outermost of the shim; the job must not outlive it unseen
                self._give_up("ShimFailed", f"the shim of the job failed: {error!r}")
        self._clean()
        self._record()

    def _give_up(self, reason: str, message: str) -> None:
        complain(message)
        self._outcome.failure = (reason, message)
        self._forced = True
        if self._child:
            self._destroy_rest()

    def _catch_signals(self) -> None:
        self._wakeup, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(signum, _nothing)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._poll.register(self._wakeup, select.POLLIN)

    # -- start

    def _prepare(self) -> None:
        plan = self._plan
        uid = plan["uid"]
        self._remove_secrets()
        if plan["sandboxed"]:
            self._sandbox = self._adopt(plan)
            self._child = self._sandbox.pid  # it ends with the job from here on
        else:
            self._make_folders()
        if uid > 0:
            for path in (plan["job"], f"{plan['job']}/code", f"{plan['job']}/tmp"):
                os.chown(path, uid, uid)
        self._write_secrets(plan["secrets_folder"], plan.pop("secrets"), uid)
        self._group.create(
            memory_bytes=plan["memory_bytes"], cpu_milli=plan["cpu_milli"], processes=plan["max_processes"]
        )

    def _adopt(self, plan: dict[str, Any]) -> Prepared:
        """Make the waiting sandbox the job's; one that has fallen, or never stood, is made anew, once."""
        if self._sandbox:
            try:
                self._sandbox.adopt(plan)
            except OSError as error:
                complain(f"the waiting sandbox cannot be used: {error}")
                self._sandbox.discard()
            else:
                return self._sandbox
        fresh = Prepared(self._template, number=1)
        try:
            fresh.adopt(plan)
        except OSError:
            fresh.discard()
            raise
        return fresh

    def _make_folders(self) -> None:
        job = self._plan["job"]
        for path in (job, f"{job}/code", f"{job}/tmp", self._plan["secrets_folder"]):
            os.mkdir(path, 0o700)

    def _write_secrets(self, folder: str, secrets: dict[str, bytes], uid: int) -> None:
        for name, value in secrets.items():
            fd = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            try:
                os.write(fd, value)
                if uid > 0:
                    os.fchown(fd, uid, uid)
            finally:
                os.close(fd)
        if uid > 0:
            os.chown(folder, uid, uid)
        os.chmod(folder, 0o500)

    def _launch(self) -> None:
        plan = self._plan
        log_read, log_write = os.pipe2(os.O_CLOEXEC)
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        control_read, self._control = os.pipe2(os.O_CLOEXEC)
        guard_plan = {key: plan[key] for key in GUARD_KEYS}
        guard_plan.update(log=log_write, status=status_write, control=control_read, code=self._open_code())
        if self._sandbox:
            self._diagnosis = self._sandbox.diagnosis
            self._enter(self._sandbox, guard_plan)
        else:
            self._child = self._fork_guard(guard_plan)
        for fd in (log_write, status_write, control_read):
            os.close(fd)
        if guard_plan["code"]:
            os.close(guard_plan["code"]["fd"])
        self._log_fd, self._status_fd = log_read, status_read
        self._poll.register(log_read, select.POLLIN)
        self._poll.register(status_read, select.POLLIN)
        self._deadline = time.monotonic() + plan["timeout"] if plan["timeout"] else None
        # Orphans of a lost guard become ours, and not the machine's. Here, because now the guard is starting anyway.
        guard.prctl(guard.PR_SET_CHILD_SUBREAPER, 1)
        self._stop_requested()

    def _fork_guard(self, guard_plan: dict[str, Any]) -> int:
        self._diagnosis, diagnosis_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        child = os.fork()
        if child == 0:
            become_guard(guard_plan, diagnosis_write)
        os.close(diagnosis_write)
        return child

    def _enter(self, sandbox: Prepared, guard_plan: dict[str, Any]) -> None:
        """Put the waiting sandbox into the job's groups, then let it begin."""
        for pid in sandbox.outsiders():
            self._group.add(pid)
        fds = [guard_plan[key] for key in ("log", "status", "control", "lock")]
        sandbox.send(guard_plan, [*fds, guard_plan["code"]["fd"]] if guard_plan["code"] else fds)

    def _open_code(self) -> dict[str, Any] | None:
        code = self._plan["code"]
        if not code:
            return None
        return {**code, "fd": os.open(code["path"], os.O_RDONLY | os.O_CLOEXEC)}

    # -- events

    def _loop(self) -> None:
        while self._log_fd >= 0 or self._status_fd >= 0:
            ready = {fd for fd, _ in self._poll.poll(self._wait_milliseconds())}
            if self._log_fd in ready:
                self._pump()
            if self._status_fd in ready:
                self._listen()
            if self._wakeup in ready:
                os.read(self._wakeup, 512)
                self._stop_requested()
                self._reap()
            self._keep_time()

    def _wait_milliseconds(self) -> int | None:
        times = [t for t in (self._force_at, self._deadline) if t is not None]
        if self._gone_at is not None:
            times.append(self._gone_at + DRAIN_SECONDS)
        if not times:
            return None
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1)

    def _pump(self) -> None:
        data = os.read(self._log_fd, READ_SIZE)
        if data:
            self._log.write(data)
        else:
            self._log_fd = self._close(self._log_fd)

    def _listen(self) -> None:
        data = os.read(self._status_fd, READ_SIZE)
        if not data:
            self._status_fd = self._close(self._status_fd)
            self._guard_gone()
            return
        *lines, self._status_rest = (self._status_rest + data).split(b"\n")
        for line in lines:
            self._hear(line.decode("utf-8", "replace").split(" ", 1))

    def _hear(self, words: list[str]) -> None:
        kind, rest = words[0], words[1]
        if kind == "S":
            self._outcome.started_at = float(rest)
            self._note_start(rest)
        elif kind == "F":
            self._outcome.failure = ("StartFailed", rest.split(" ", 1)[1])
        elif kind == "C":
            self._outcome.failure = ("BadCode", rest)
        elif kind in ("E", "K"):
            value, at = rest.split(" ")
            if kind == "E" and self._outcome.failure[0] != "BadCode":
                self._outcome.exit_code = int(value)
            elif kind == "K":
                self._outcome.signal = int(value)
            self._outcome.ended_at = float(at)
            if not self._outcome.cause:  # it ended by itself; what it left behind has no right to go on
                self._order(b"K")
                self._force_at = time.monotonic() + 1.0

    def _note_start(self, at: str) -> None:
        try:
            fd = os.open(rundir.STARTED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
            os.write(fd, at.encode())
            os.close(fd)
        except OSError as error:  # a full disk must not end the job; the verdict will have the time
            complain(f"cannot note the start: {error}")

    def _guard_gone(self) -> None:
        """The guard has ended, and with it, in a sandbox, all of the job. Elsewhere make sure."""
        outcome = self._outcome
        outcome.guard_lost = outcome.ended_at is None and not outcome.failure[0]
        if outcome.guard_lost:
            outcome.diagnosis = self._diagnose()
        self._gone_at = time.monotonic()
        self._force_at = None
        self._deadline = None
        self._destroy_rest()

    def _diagnose(self) -> str:
        try:
            return os.read(self._diagnosis, DIAGNOSIS_BYTES).decode("utf-8", "replace").strip()
        except OSError:  # it said nothing
            return ""

    def _close(self, fd: int) -> int:
        self._poll.unregister(fd)
        os.close(fd)
        return -1

    # -- end

    def _stop_requested(self) -> None:
        """Obey the `stop` file, if there is one. A second request may shorten the grace of the first."""
        wish = rundir.read_small(self._folder, rundir.STOP)
        if wish is not None and self._outcome.ended_at is None and self._outcome.cause != "TimedOut":
            grace, _, _ = wish.partition(b" ")
            self._begin_end("Stopped", float(grace or b"0"))

    def _begin_end(self, cause: str, grace: float) -> None:
        force_at = time.monotonic() + grace
        if self._outcome.cause:
            self._force_at = min(force_at, self._force_at or force_at)
            return
        self._outcome.cause = cause
        self._force_at = force_at
        self._deadline = None
        if self._child:
            self._order(b"T")

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline and self._outcome.ended_at is None:
            self._begin_end("TimedOut", self._plan["grace"])
        if self._force_at is not None and now >= self._force_at:
            self._force()
            self._force_at = now + FORCE_EVERY
        if self._gone_at is not None and now >= self._gone_at + DRAIN_SECONDS and self._log_fd >= 0:
            self._log_fd = self._close(self._log_fd)  # somebody outside of the job holds the pipe

    def _force(self) -> None:
        """Kill: first through the guard, which can do it best; from the second time on by every other means too."""
        if not self._forced:
            self._forced = True
            self._order(b"K")
        else:
            self._destroy_rest()

    def _order(self, order: bytes) -> None:
        try:  # noqa: SIM105 -- contextlib is a slow import
            os.write(self._control, order)
        except OSError:  # the guard is gone; its status pipe says so too
            pass

    def _destroy_rest(self) -> None:
        """Kill everything below this process and in the job's cgroup, until both are empty or time is up.

        All orphans of the job become children of this process, so no children means that nothing is left.
        """
        deadline = time.monotonic() + DRAIN_SECONDS
        patience = time.monotonic() + 0.02  # for what is about to end by itself
        while time.monotonic() < deadline:
            if self._reap() and not self._group.pids():
                return
            if self._forced or time.monotonic() > patience:
                self._group.kill()
                processes.kill_all(processes.descendants(os.getpid()))
            time.sleep(0.0005)

    def _reap(self) -> bool:
        """Take the exit of every ended child; return whether there are no children any more."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False

    def _clean(self) -> None:
        self._outcome.oom_kills = self._group.oom_kills()
        self._note_use()
        try:
            self._group.destroy()
        except OSError as error:
            complain(f"cannot remove the cgroup: {error}")
        try:
            self._remove_secrets()
        except OSError as error:
            complain(f"cannot remove the secrets: {error}")

    def _note_use(self) -> None:
        """Note what all of it has used: by its groups, or by what was waited for below this process."""
        seconds, _, peak = self._group.use()
        if seconds is None:
            waited_for = os.times()
            seconds = waited_for.children_user + waited_for.children_system
        self._outcome.cpu_seconds = round(seconds, 6)
        self._outcome.peak_memory_bytes = peak

    def _remove_secrets(self) -> None:
        """SECURITY: where no memory file system is to be had the folder lies in the job's own, so no link is followed."""
        path = self._plan["secrets_folder"]
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except NotADirectoryError:  # the job has put a link or a file there
            os.unlink(path)
            return
        try:
            os.fchmod(folder, 0o700)
            for name in os.listdir(folder):
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)
        os.rmdir(path)

    # -- verdict

    def _record(self) -> None:
        """Write the verdict. It must get through: while the disk refuses, the job stays "running" and we try again."""
        self._log.close()
        record = self._outcome.record(self._plan["timeout"], self._plan["memory_bytes"])
        record["log_bytes"] = self._log.size
        record["log_sha256"] = self._log.sha256()
        record["log_dropped_bytes"] = self._log.dropped
        record["truncated"] = self._log.truncated
        while True:
            try:
                rundir.write_durably(self._folder, rundir.EXIT, rundir.flat_json(record))
            except OSError as error:
                complain(f"cannot write the verdict: {error}")
                time.sleep(RETRY_RECORD)
            else:
                return


def complain(text: str) -> None:
    """Say something in `shim.err`, for the operator."""
    try:  # noqa: SIM105 -- contextlib is a slow import
        os.write(2, f"{time.time():.3f} {text}\n".encode("utf-8", "replace"))
    except OSError:
        pass


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    """Be called, so that the wake-up descriptor is written to."""
