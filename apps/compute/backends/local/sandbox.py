"""How a job is kept away from the platform, from the machine and from other jobs: found out by trying, not by guessing.

Three modes, best first: `bwrap` (namespaces of its own, a file system that shows the system read-only and of the rest
only the job's own folder, and, when the platform runs as root, a user of its own), `user` (a user of its own, nothing
hidden but by file modes), `none`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.compute.backends.local import prepared, rundir
from apps.compute.backends.local.settings import LocalSettings
from apps.core import bwrap

IMPORT_ROOT = Path(__file__).resolve().parents[4]
PACKAGE = Path(__file__).resolve().parent
SHIM_PYTHON = os.path.realpath(sys.executable)  # not the virtual environment's: it starts a quarter faster
LEAN = ("-I", "-S", "-E")
INSIDE_IMPORT_ROOT = "/run/fathom/lib"
INSIDE_SECRETS = "/run/fathom/secrets"
INSIDE_JOB = "/run/fathom/job"
INSIDE_ENVIRONMENTS = "/run/fathom/environments"
GUARD_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from apps.compute.backends.local.guard import main; main(int(sys.argv[2]))"
)
SYSTEM = (
    "/usr",
    "/etc",
    "/opt",
    "/nix",
    "/run/systemd/resolve",
    "/sys/devices",
    "/sys/class",
    "/sys/bus",
    "/sys/module",
)
TEMPORARY = ("/tmp", "/var/tmp")
READY = "ready"  # below the root of the environments: those that are whole
GUARD_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL")
PROBE_SECONDS = 20
FAILED_PROBE_LASTS = 60.0  # seconds; a success lasts as long as the process
_PROBE = """
import os, sys
uid, interpreter, jobs, hidden = int(sys.argv[1]), sys.argv[2], sys.argv[3] + "/", sys.argv[4:]
if uid > 0:
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
assert os.getpid() == 1, "not in a process namespace"
assert len([p for p in os.listdir("/proc") if p.isdigit()]) == 1, "other processes are visible"
for path in hidden:
    try:
        # The way down to the jobs' own folders has to be there; nothing else.
        seen = [name for name in os.listdir(path) if not jobs.startswith(path + "/" + name + "/")]
    except OSError:
        seen = []
    assert not seen, path + " is visible"
os.execv(interpreter, [interpreter, "-c", "pass"])
"""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What this machine can do for these settings."""

    mode: str  # "bwrap", "user", "none"; "" when what was asked for cannot be had
    own_users: bool
    isolates: bool
    warnings: tuple[str, ...]
    bwrap: str = ""
    interpreter_paths: tuple[str, ...] = ()


_cache: dict[LocalSettings, tuple[float, Isolation]] = {}
_probing = threading.Lock()


def isolation(settings: LocalSettings) -> Isolation:
    """Return what can be had; tried once and remembered, tried again after a minute when it fell short."""
    with _probing:
        found = _cache.get(settings)
        if found and (found[1].isolates or time.monotonic() - found[0] < FAILED_PROBE_LASTS):
            return found[1]
        fresh = _find(settings)
        _cache[settings] = (time.monotonic(), fresh)
        return fresh


def _find(settings: LocalSettings) -> Isolation:
    paths = tuple(
        _outermost(path for python in (settings.python, *settings.pythons) for path in _interpreter_paths(python))
    )
    problems: list[str] = []
    for mode in ("bwrap", "user", "none") if settings.sandbox == "auto" else (settings.sandbox,):
        if mode == "none":
            break
        candidate = Isolation(mode, _is_root(), True, (), shutil.which("bwrap") or "", paths)
        problem = _try_bwrap(settings, candidate) if mode == "bwrap" else _try_user(settings)
        if not problem:
            return candidate
        problems.append(f"{mode}: {problem}")
    if settings.sandbox in ("bwrap", "user"):
        return Isolation("", False, False, (f"sandbox={settings.sandbox} cannot be had: {problems[0]}",))
    why = f" ({'; '.join(problems)})" if problems else ""
    warning = (
        "single-tenant: jobs run as the platform's own user and can read whatever it can; "
        f"let in only people you trust with all of it{why}"
    )
    return Isolation("none", False, False, (warning,), "", paths)


def _is_root() -> bool:
    return os.geteuid() == 0


def _interpreter_paths(interpreter: str) -> tuple[str, ...]:
    """Ask the jobs' interpreter which folders it needs to see."""
    script = (
        "import json, os, sys; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix,"
        " os.path.dirname(sys.executable), os.path.dirname(os.path.realpath(sys.executable)), *sys.path]))"
    )
    try:
        done = subprocess.run(  # noqa: S603 -- the operator names the interpreter
            [interpreter, "-c", script], capture_output=True, timeout=PROBE_SECONDS, check=True, cwd="/", env={}
        )
        found = [str(path) for path in json.loads(done.stdout) if path]
    except (OSError, subprocess.SubprocessError, ValueError):
        found = [os.path.dirname(interpreter)]
    found += [os.path.dirname(SHIM_PYTHON), sys.base_prefix]
    return tuple(_outermost(path for path in found if os.path.isdir(path) and not _inside(path, SYSTEM)))


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _outermost(paths: Iterator[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted(set(paths), key=len):
        if path != "/" and not _inside(path, tuple(kept)):
            kept.append(path)
    return kept


def base_arguments(settings: LocalSettings, found: Isolation) -> list[str]:
    """Return the bwrap command line up to what is of one job alone. Later arguments lie over earlier ones."""
    argv = [found.bwrap, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1", "--die-with-parent"]
    if found.own_users:
        argv += bwrap.capabilities(GUARD_CAPABILITIES)
    argv += system_arguments()
    for path in TEMPORARY:  # before anything that may be shown below it
        argv += ["--perms", "1777", "--tmpfs", path]
    shown = (*found.interpreter_paths, *settings.readable_paths, *settings.writable_paths)
    inside = f"{INSIDE_IMPORT_ROOT}/apps/compute/backends/local"
    argv += parents(*shown, INSIDE_SECRETS, INSIDE_JOB, INSIDE_ENVIRONMENTS, inside)
    for path in (*found.interpreter_paths, *settings.readable_paths):
        argv += ["--ro-bind-try", path, path]
    for path in settings.writable_paths:
        argv += ["--bind-try", path, path]
    for path in (*settings.hidden_paths, settings.jobs_root):
        if _inside(path, (*SYSTEM, *shown)) and os.path.isdir(path):
            argv += ["--tmpfs", path]
    argv += ["--ro-bind-try", str(environments_root(settings, "bwrap") / READY), INSIDE_ENVIRONMENTS]
    return [*argv, "--ro-bind", str(PACKAGE), inside]


def system_arguments() -> list[str]:
    """Return arguments that show the machine's programs and libraries, read-only, and devices that do no harm."""
    argv = [word for path in SYSTEM if os.path.isdir(path) for word in ("--ro-bind", path, path)]
    return [*argv, *bwrap.roots(), "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]


def parents(*paths: str) -> list[str]:
    """Return arguments that make the folders above `paths`; bwrap itself would make them for its own user only."""
    above = {str(parent) for path in paths for parent in Path(path).parents if str(parent) != "/"}
    return [word for path in sorted(above) if not _inside(path, SYSTEM) for word in ("--dir", path)]


def job_arguments(base: list[str]) -> list[str]:
    """Return the whole command line of a guard that waits for its job, but for the descriptor on which it waits."""
    argv = [*base, "--bind", prepared.JOB, INSIDE_JOB]
    for path in TEMPORARY:
        if not any(_inside(word, (path,)) for word in base if word != path):
            argv += ["--bind", prepared.TMP, path]  # on disk, unless something to be seen lies there
    argv += ["--ro-bind", prepared.SECRETS, INSIDE_SECRETS]
    return [*argv, "--", SHIM_PYTHON, *LEAN, "-c", GUARD_BOOT, INSIDE_IMPORT_ROOT]


def _try_bwrap(settings: LocalSettings, found: Isolation) -> str:
    """Run the jobs' interpreter in a sandbox. Returns what went wrong, or nothing."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if not found.bwrap:
        return "bwrap (package bubblewrap) is not installed"
    uid = settings.uid_base if found.own_users else -1
    hidden = (*settings.hidden_paths, settings.jobs_root)
    argv = [
        *base_arguments(settings, found),
        "--",
        SHIM_PYTHON,
        *LEAN,
        "-c",
        _PROBE,
        str(uid),
        settings.python,
        settings.jobs_root,
        *hidden,
    ]
    return _try(argv)


def _try_user(settings: LocalSettings) -> str:
    """Run the jobs' interpreter as the first of the users, in a folder where jobs would run."""
    if not _is_root():
        return "only root can give every job a user of its own"
    script = (
        "import os, sys; u = int(sys.argv[1]); os.setgroups([]); os.setresgid(u, u, u); os.setresuid(u, u, u); "
        "os.chdir(sys.argv[2]); os.execv(sys.argv[3], [sys.argv[3], '-c', 'pass'])"
    )
    uid = settings.uid_base
    try:
        with _probe_folder(scratch_root(settings), uid) as folder:
            return _try([SHIM_PYTHON, *LEAN, "-c", script, str(uid), folder, settings.python])
    except OSError as error:
        return str(error)


@contextmanager
def _probe_folder(root: Path, uid: int) -> Iterator[str]:
    prepare_scratch(root)
    folder = tempfile.mkdtemp(prefix=".probe-", dir=root)
    try:
        os.chown(folder, uid, uid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _try(argv: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            argv, capture_output=True, timeout=PROBE_SECONDS, check=False, stdin=subprocess.DEVNULL, cwd="/", env={}
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


def scratch_root(settings: LocalSettings) -> Path:
    """Return the folder of the jobs' own folders in mode `user`: one that another user can reach."""
    if settings.scratch_root:
        return Path(settings.scratch_root)
    root = Path(settings.jobs_root)
    if all(parent.stat().st_mode & 0o001 for parent in root.parents):
        return root / ".scratch"
    return Path("/var/tmp") / f"fathom-{cluster_key(settings)}"


def prepare_scratch(root: Path) -> None:
    """Make the folder. Raises: OSError when somebody else owns it or may write to it."""
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    status = root.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not root.is_dir() or root.is_symlink():
        msg = f"{root} belongs to somebody else, or others may write to it"
        raise PermissionError(msg)
    root.chmod(0o711)
    if root.name == ".scratch":
        root.parent.chmod(0o711)


def environments_root(settings: LocalSettings, mode: str) -> Path:
    """Return the folder of the environments: in mode `user` one that another user can reach."""
    if settings.environments_root:
        return Path(settings.environments_root)
    if mode == "user":
        return scratch_root(settings) / ".environments"
    return Path(settings.jobs_root).parent / "environments"


def secrets_root(settings: LocalSettings) -> Path | None:
    """Return where secrets may lie: memory, never a disk, if the machine has such a place."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        return None
    return memory / f"fathom-{cluster_key(settings)}"


def cluster_key(settings: LocalSettings) -> str:
    """Return what tells this cluster's things from another's on the same machine."""
    return hashlib.sha256(f"{settings.jobs_root}\0{os.geteuid()}".encode()).hexdigest()[:10]


def job_folder(settings: LocalSettings, mode: str, name: str) -> str:
    """Return the folder that belongs to the job itself."""
    if mode == "user":
        return str(scratch_root(settings) / name)
    return str(Path(settings.jobs_root) / name / rundir.JOB)
