"""Running the tools that fetch: as nobody in particular, seeing little, for so long and no more.

As root they get a user of their own. Where bubblewrap works they see the system's programs read-only, their folder and
what they were given, and no process but their own; elsewhere file modes alone keep them from the platform's files.
"""

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from apps.sources.errors import FetchFailed, Unreachable

Beat = Callable[[bytes], None]  # told what the tools complain about, and at least once a second nothing

_PATH = "/usr/local/bin:/usr/bin:/bin"
_INSIDE, _INSIDE_SECRETS = "/run/fathom/fetch", "/run/fathom/secrets"
_SHOWN = ("/usr", "/nix", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/alternatives", "/etc/crypto-policies")
_SHOWN_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/nsswitch.conf")
_LINKS = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
_TEMPORARY = "/tmp"  # noqa: S108 -- one of its own, inside
_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID")
_PREFIX = "fetch-"
_LOOK_SECONDS, _WEIGH_SECONDS, _PROBE_SECONDS = 0.5, 2.0, 20
_MOST_SAID_BYTES = 64 << 10
_MOST_MEMORY_BYTES = 4 << 30
MOST_OUTPUT_BYTES = 64 << 20
# What a repository says of itself would leave files out of its archive, or change them. Its own file goes before that.
_ATTRIBUTES = "* -export-ignore -export-subst\n"


@dataclass(frozen=True, slots=True)
class Done:
    """How a tool ended, what it wrote, and the end of what it complained about."""

    code: int
    out: bytes
    said: str


@dataclass(frozen=True, slots=True)
class Box:
    """One fetch's folder, in which its tools start and may write, and what they were given, in memory where there is any."""

    folder: Path
    given: Path
    deadline: float
    beat: Beat

    def path(self, name: str) -> str:
        """Return where the tools find a file of the folder."""
        return f"{_INSIDE if _is_boxed() else self.folder}/{name}"

    def give(self, name: str, data: bytes) -> str:
        """Write a file that the tools alone can read; return where they find it."""
        descriptor = os.open(self.given / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if (uid := _uid()) is not None:
                os.fchown(file.fileno(), uid, uid)
        return f"{_INSIDE_SECRETS if _is_boxed() else self.given}/{name}"

    @property
    def template(self) -> str:
        """Return what a new repository is made from."""
        return f"{_INSIDE_SECRETS if _is_boxed() else self.given}/template"

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file into the folder, before any tool has run in it."""
        with (self.folder / name).open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
        (self.folder / name).chmod(0o644)

    def run(self, words: Sequence[str], env: Mapping[str, str]) -> Done:
        """Run a tool to its end. Raises: FetchFailed when it takes too long or too much disk, and what `beat` raises."""
        uid = None if _is_boxed() else _uid()
        process = subprocess.Popen(  # noqa: S603 -- our own words
            [*self._box(), *_limits(), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": _PATH, "HOME": self.path("home"), "LC_ALL": "C", **env},
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        try:
            out, said = self._listen(process)
            return Done(process.wait(), out, said.decode("utf-8", "replace"))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pipe in filter(None, (process.stdout, process.stderr)):
                pipe.close()

    def _listen(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        heard: dict[object, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
        weigh_at = time.monotonic() + _WEIGH_SECONDS
        with selectors.DefaultSelector() as ready:
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None  # noqa: S101 -- both were asked for
                os.set_blocking(pipe.fileno(), False)
                ready.register(pipe, selectors.EVENT_READ)
            while ready.get_map():
                news = b""
                for key, _ in ready.select(_LOOK_SECONDS):
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        ready.unregister(key.fileobj)
                    heard[key.fileobj] += data
                    news += data if key.fileobj is process.stderr else b""
                self.beat(news)
                del heard[process.stderr][:-_MOST_SAID_BYTES]
                if len(heard[process.stdout]) > MOST_OUTPUT_BYTES:
                    msg = "it has too many files"
                    raise FetchFailed(msg)
                self.require_time()
                if time.monotonic() > weigh_at:
                    self.weigh()
                    weigh_at = time.monotonic() + _WEIGH_SECONDS
        self.weigh()
        return bytes(heard[process.stdout]), bytes(heard[process.stderr])

    def require_time(self) -> None:
        """Let go on what has time left. Raises: FetchFailed."""
        if time.monotonic() > self.deadline:
            msg = f"it took longer than {settings.FETCH_SECONDS} s"
            raise FetchFailed(msg)

    def weigh(self) -> None:
        """Let pass what is not too large. Raises: FetchFailed."""
        size = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    size += Path(folder, name).lstat().st_size
                except FileNotFoundError:
                    continue
        if size > settings.FETCH_BYTES:
            raise FetchFailed(too_large())

    def _box(self) -> list[str]:
        if not _is_boxed():
            return []
        return [
            *_bwrap_arguments(),
            *("--ro-bind", str(self.given / "passwd"), "/etc/passwd"),
            *("--bind", str(self.folder), _INSIDE, "--ro-bind", str(self.given), _INSIDE_SECRETS),
            *("--", *_become()),
        ]


def too_large() -> str:
    return f"it is larger than {settings.FETCH_BYTES >> 20} MiB, or has a file that is"


@contextmanager
def opened(beat: Beat) -> Iterator[Box]:
    """Make a box, and throw away at the end all that is in it. Raises: Unreachable when the disk will not have it."""
    root, memory = Path(settings.FETCH_ROOT), _memory()
    made: list[Path] = []
    try:
        for place in (root, memory):
            place.mkdir(mode=0o711, parents=True, exist_ok=True)
            _remove_stale(place)
            made.append(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place)))
        folder, given = made
        (folder / "home").mkdir()
        (given / "passwd").write_text(f"fetch:x:{_uid() or os.geteuid()}:{_uid() or os.getegid()}::/:/bin/false\n")
        (given / "template/info").mkdir(parents=True)
        (given / "template/info/attributes").write_text(_ATTRIBUTES)
        for path, mode in ((given / "passwd", 0o644), *((path, 0o755) for path in _parts(given))):
            path.chmod(mode)
        if (uid := _uid()) is not None:
            for path in (folder, folder / "home", given):
                os.chown(path, uid, uid)
        yield Box(folder, given, time.monotonic() + settings.FETCH_SECONDS, beat)
    except OSError as error:
        msg = f"the folder for what is fetched cannot be used: {error.strerror or error}"
        raise Unreachable(msg) from error
    finally:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)


def _parts(given: Path) -> tuple[Path, ...]:
    return given / "template", given / "template/info", given / "template/info/attributes"


def can_use_ssh() -> bool:
    """Say whether ssh can run here: it refuses a user that the machine does not know."""
    return _is_boxed() or _uid() is None


def _memory() -> Path:
    """Return where secrets may lie: memory, if the machine has such a place."""
    shared = Path("/dev/shm")  # noqa: S108 -- folders of our own in it
    usable = shared.is_dir() and os.access(shared, os.W_OK)
    return shared / f"fathom-fetch-{os.geteuid()}" if usable else Path(settings.FETCH_ROOT) / "given"


def _remove_stale(place: Path) -> None:
    """Remove what a killed worker left."""
    before = time.time() - settings.FETCH_SECONDS - 600
    for left in place.glob(f"{_PREFIX}*"):
        try:
            if left.lstat().st_mtime < before and left.lstat().st_ctime < before:
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:
            continue


def _uid() -> int | None:
    """Return as whom the tools run; None: as the platform's own user, which cannot become another."""
    return settings.FETCH_UID if os.geteuid() == 0 else None


def _limits() -> list[str]:
    tool = shutil.which("prlimit", path=_PATH)
    if tool is None:
        return []
    return [tool, f"--fsize={settings.FETCH_BYTES}", f"--as={_MOST_MEMORY_BYTES}", "--core=0", "--"]


def _become() -> list[str]:
    uid = _uid()
    if uid is None:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--"]


def _bwrap_arguments() -> list[str]:
    argv = [shutil.which("bwrap", path=_PATH) or "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    argv += ["--die-with-parent", "--new-session"]
    if _uid() is not None:
        argv += ["--cap-drop", "ALL", *(word for name in _CAPABILITIES for word in ("--cap-add", name))]
    for path in ("/etc", "/run", "/run/fathom"):  # bwrap itself would make them for its own user only
        argv += ["--dir", path]
    for path in (*_SHOWN, *_SHOWN_FILES):
        argv += ["--ro-bind-try", path, path]
    for path in _LINKS:
        if Path(path).is_symlink():
            argv += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).is_dir():
            argv += ["--ro-bind", path, path]
    return [*argv, "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", _TEMPORARY]


@cache
def _is_boxed() -> bool:
    """Find out by trying, once, whether bubblewrap works here."""
    if shutil.which("bwrap", path=_PATH) is None or (_uid() is not None and shutil.which("setpriv") is None):
        return False
    argv = [*_bwrap_arguments(), "--", *_become(), "true"]
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            argv, env={"PATH": _PATH}, capture_output=True, timeout=_PROBE_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
