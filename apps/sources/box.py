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
from pathlib import Path

from django.conf import settings

from apps.core import bwrap
from apps.sources.errors import FetchFailed, Unreachable
from apps.sources.sandbox import PATH, become, bwrap_arguments, is_boxed, limits, uid_of_tools

Beat = Callable[[bytes], None]  # told what the tools complain about, and at least once a second nothing

_INSIDE, _INSIDE_SECRETS = "/run/fathom/fetch", "/run/fathom/secrets"
_PREFIX = "fetch-"
_LOOK_SECONDS, _WEIGH_SECONDS = 0.5, 2.0
_MOST_SAID_BYTES = 64 << 10
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
        return f"{_INSIDE if is_boxed() else self.folder}/{name}"

    def give(self, name: str, data: bytes) -> str:
        """Write a file that the tools alone can read; return where they find it."""
        descriptor = os.open(self.given / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if (uid := uid_of_tools()) is not None:
                os.fchown(file.fileno(), uid, uid)
        return f"{_INSIDE_SECRETS if is_boxed() else self.given}/{name}"

    @property
    def template(self) -> str:
        """Return what a new repository is made from."""
        return f"{_INSIDE_SECRETS if is_boxed() else self.given}/template"

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file into the folder, before any tool has run in it."""
        with (self.folder / name).open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
        (self.folder / name).chmod(0o644)

    def run(self, words: Sequence[str], env: Mapping[str, str]) -> Done:
        """Run a tool to its end. Raises: FetchFailed when it takes too long or too much disk, and what `beat` raises."""
        uid = None if is_boxed() else uid_of_tools()
        process = subprocess.Popen(  # noqa: S603 -- our own words
            [*self._box(), *limits(), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": PATH, "HOME": self.path("home"), "LC_ALL": "C", **env},
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
        if bwrap.weight_of(self.folder) > settings.FETCH_BYTES:
            raise FetchFailed(too_large())

    def _box(self) -> list[str]:
        if not is_boxed():
            return []
        return [
            *bwrap_arguments(),
            *("--ro-bind", str(self.given / "passwd"), "/etc/passwd"),
            *("--bind", str(self.folder), _INSIDE, "--ro-bind", str(self.given), _INSIDE_SECRETS),
            *("--", *become()),
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
        (given / "passwd").write_text(
            f"fetch:x:{uid_of_tools() or os.geteuid()}:{uid_of_tools() or os.getegid()}::/:/bin/false\n"
        )
        (given / "template/info").mkdir(parents=True)
        (given / "template/info/attributes").write_text(_ATTRIBUTES)
        for path, mode in ((given / "passwd", 0o644), *((path, 0o755) for path in _parts(given))):
            path.chmod(mode)
        if (uid := uid_of_tools()) is not None:
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
    return is_boxed() or uid_of_tools() is None


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
