"""Turning a spec into the plan of one job, and starting its shim."""

import marshal
import os
import select
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from apps.compute.backends.base import Rejected, Unavailable
from apps.compute.backends.local import cgroups, prepared, rundir, sandbox, uids
from apps.compute.backends.local.sandbox import Isolation
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.backends.local.warm import Starter
from apps.compute.backends.secret_forms import as_bytes, secret_forms
from apps.compute.contract import WorkloadSpec

ACCEPT_SECONDS = 15.0
LEAST_MEMORY = 64 << 20  # bytes, for a job that asked for none
LEAST_CPU_MILLI = 100  # for a job that asked for none
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_ARGUMENT = 128 << 10  # bytes; the kernel's own limit for one string
MAX_ARGUMENTS = 1 << 20  # bytes, command and environment together


def check(spec: WorkloadSpec, capacity: Mapping[str, int]) -> None:
    """Refuse what can never run here. Raises: Rejected."""
    if not spec.command or not spec.command[0]:
        msg = "the command is empty"
        raise Rejected(msg)
    strings = [*spec.command, *(f"{key}={value}" for key, value in spec.env.items())]
    names = [*spec.env, *spec.secrets]
    if any("\0" in text for text in strings) or any("=" in name or "\0" in name or not name for name in names):
        msg = "a NUL character in the command or environment, or a name of a variable that is empty or has '='"
        raise Rejected(msg)
    if any("/" in name or name.startswith(".") for name in spec.secrets):
        msg = "the name of a secret must be the name of a variable"
        raise Rejected(msg)
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in strings]
    if max(sizes) >= MAX_ARGUMENT or sum(sizes) > MAX_ARGUMENTS:
        msg = f"command and environment are too long: at most {MAX_ARGUMENT} bytes each, {MAX_ARGUMENTS} in all"
        raise Rejected(msg)
    asked = {"cpu": spec.resources.cpu_milli, "memory": spec.resources.memory_bytes, "gpu": spec.resources.gpu_milli}
    for resource, amount in asked.items():
        if amount > capacity.get(resource, 0):
            msg = f"{resource}: {amount} asked for, this cluster has {capacity.get(resource, 0)}"
            raise Rejected(msg)


def marks(name: str, job: str) -> dict[str, str]:
    """Return the variables by which the processes of a job are known, wherever they have gone."""
    return {"FATHOM_ATTEMPT_HANDLE": name, "FATHOM_JOB_DIR": job}


class Launcher:
    """Starts shims for one cluster. Holds what is the same for all of its jobs."""

    def __init__(self, settings: LocalSettings, found: Isolation) -> None:
        self._settings = settings
        self._isolation = found
        self.groups = cgroups.prepare(settings.cgroup_parent) if settings.limits else {}
        self.secrets_root = sandbox.secrets_root(settings)
        if self.secrets_root:
            sandbox.prepare_scratch(self.secrets_root)
        if found.mode == "user":
            sandbox.prepare_scratch(sandbox.scratch_root(settings))
        for folder in set(self.groups.values()):  # of processes that waited for a job and were killed
            for path in Path(folder).glob(f"{sandbox.cluster_key(settings)}.{prepared.PREFIX}*"):
                if prepared.is_orphan(path.name):
                    cgroups.Group({"": str(path)}).destroy()
        is_sandboxed = found.mode == "bwrap"
        template = {
            "jobs_root": settings.jobs_root,
            "secrets_root": str(self.secrets_root or ""),
            "groups": self.groups,
            "key": sandbox.cluster_key(settings),
            "argv": sandbox.job_arguments(sandbox.base_arguments(settings, found)) if is_sandboxed else [],
        }
        self._starter = Starter(template)

    def group_name(self, name: str) -> str:
        return f"{sandbox.cluster_key(self._settings)}.{name}"

    def secrets_folder(self, name: str) -> str:
        if self.secrets_root:
            return str(self.secrets_root / name)
        return f"{sandbox.job_folder(self._settings, self._isolation.mode, name)}/secrets"

    def start(self, name: str, run: Path, spec: WorkloadSpec, lock: int) -> None:
        """Start the shim and wait for its word that the start is durable. LOCKING: the caller holds `lock`.

        Raises: Unavailable.
        """
        plan = self._plan(name, run, spec)
        body = marshal.dumps(plan)
        with ExitStack() as ours:
            plan_write, answer_read = self._start_shim(run, lock, ours)
            try:
                is_taken = _hand_over(plan_write, answer_read, len(body).to_bytes(8, "little") + body)
            except TimeoutError:
                self._starter.close()
                is_taken = False
            if not is_taken:
                said = (run / rundir.SHIM_ERRORS).read_text("utf-8", "replace").strip()[-300:]
                msg = f"the shim of {name} did not start: {said or 'no answer'}"
                raise Unavailable(msg)

    def _start_shim(self, run: Path, lock: int, ours: ExitStack) -> tuple[IO[bytes], int]:
        """Return where to write the plan and where to read the answer; `ours` closes both."""
        with ExitStack() as theirs:
            plan_read, plan_write = os.pipe()
            theirs.callback(os.close, plan_read)
            writer = ours.enter_context(os.fdopen(plan_write, "wb", buffering=0))
            answer_read, answer_write = os.pipe()
            ours.callback(os.close, answer_read)
            theirs.callback(os.close, answer_write)
            errors = theirs.enter_context(open(run / rundir.SHIM_ERRORS, "ab"))
            folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            theirs.callback(os.close, folder)
            self._starter.start_shim([plan_read, answer_write, errors.fileno(), folder, lock])
        return writer, answer_read

    def _plan(self, name: str, run: Path, spec: WorkloadSpec) -> dict[str, Any]:
        settings, mode = self._settings, self._isolation.mode
        job = sandbox.job_folder(settings, mode, name)
        uid = self._claim_user(name, run)
        inside = sandbox.INSIDE_JOB if mode == "bwrap" else job
        secrets = sandbox.INSIDE_SECRETS if mode == "bwrap" else self.secrets_folder(name)
        asked = spec.resources
        return {
            "command": list(spec.command),
            "env": {**self._environment(spec, inside, secrets), **marks(name, inside)},
            "secrets": {key: as_bytes(value) for key, value in spec.secrets.items()},
            "secrets_folder": self.secrets_folder(name),
            "masks": secret_forms(spec.secrets.values()),
            "sandboxed": mode == "bwrap",
            "uid": uid,
            "job": job,
            "cwd": f"{inside}/code",
            "cgroups": cgroups.Group.of(self.groups, self.group_name(name)).folders,
            "memory_bytes": asked.memory_bytes or LEAST_MEMORY,
            "cpu_milli": asked.cpu_milli or LEAST_CPU_MILLI,
            "max_processes": settings.max_processes,
            "max_open_files": settings.max_open_files,
            "max_log_bytes": spec.max_log_bytes,
            "timeout": spec.timeout.total_seconds() if spec.timeout is not None else 0.0,
            "grace": float(settings.timeout_grace_seconds),
            "code": self._code(spec),
        }

    def _claim_user(self, name: str, run: Path) -> int:
        """Return the job's own user id, or -1. Written down before it is used, so that `remove` can give it back."""
        if not self._isolation.own_users:
            return -1
        settings = self._settings
        try:
            uid = uids.claim(Path(settings.jobs_root), name, base=settings.uid_base, count=settings.uid_count)
        except uids.NoUserLeft as error:
            raise Unavailable(str(error)) from error
        (run / rundir.UID).write_text(str(uid))
        return uid

    def _environment(self, spec: WorkloadSpec, job: str, secrets: str) -> dict[str, str]:
        """Build the job's environment from nothing, so that nothing of the platform's can be in it."""
        venv = self._virtual_environment(spec)
        first = f"{venv}/bin:" if venv else ""
        return {
            "PATH": f"{first}{os.path.dirname(self._settings.python)}:{SYSTEM_PATH}",
            **({"VIRTUAL_ENV": venv} if venv else {}),
            "HOME": job,
            "TMPDIR": os.path.join(job, "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **spec.env,
            **{f"{name}_FILE": f"{secrets}/{name}" for name in spec.secrets},
        }

    def _virtual_environment(self, spec: WorkloadSpec) -> str:
        """Return where the job sees its environment."""
        if not spec.environment:
            return ""
        if self._isolation.mode == "bwrap":
            return f"{sandbox.INSIDE_ENVIRONMENTS}/{spec.environment}"
        return str(sandbox.environments_root(self._settings, self._isolation.mode) / sandbox.READY / spec.environment)

    def _code(self, spec: WorkloadSpec) -> dict[str, Any] | None:
        if spec.code is None:
            return None
        return {
            "path": spec.code.path,
            "sha256": spec.code.sha256,
            "format": spec.code.format,
            "max_bytes": self._settings.max_code_bytes,
            "max_files": self._settings.max_code_files,
            "max_ratio": self._settings.max_code_ratio,
        }


def _hand_over(plan: IO[bytes], answer: int, message: bytes) -> bool:
    """Send the plan; return whether the shim answered that it has durably taken the job on. Raises: TimeoutError."""
    os.set_blocking(plan.fileno(), False)
    view = memoryview(message)
    try:
        while view:
            _await(plan.fileno(), select.POLLOUT)
            view = view[plan.write(view) or 0 :]
    except BrokenPipeError:
        return False
    _await(answer, select.POLLIN)
    return os.read(answer, 2) == b"ok"


def _await(fd: int, event: int) -> None:
    waiting = select.poll()  # not select(): a big platform has descriptors above its 1,024
    waiting.register(fd, event)
    if not waiting.poll(ACCEPT_SECONDS * 1000):
        raise TimeoutError
