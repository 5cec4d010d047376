"""Running the tools that build environments: as nobody in particular, seeing little, for so long and no more."""

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from apps.compute.backends.base import BuildFailed, Tell, Unavailable
from apps.compute.backends.local.sandbox import (
    GUARD_CAPABILITIES,
    LEAN,
    SHIM_PYTHON,
    TEMPORARY,
    Isolation,
    parents,
    system_arguments,
)
from apps.compute.backends.local.settings import LocalSettings
from apps.core import bwrap

_INSIDE, _INSIDE_CACHE, _INSIDE_UV = "/run/fathom/build", "/run/fathom/cache", "/run/fathom/uv"
_LOOK_SECONDS = 0.5
_WEIGH_SECONDS = 3.0
_TAIL_BYTES = 64 << 10
_PATH = "/usr/local/bin:/usr/bin:/bin"
# How the machine reaches the network: the operator's, and no secret of the platform's.
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
# The end of whoever started it is the end of this: no half-dead build goes on.
_BECOME = """
import ctypes, os, resource, sys
uid, largest = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)); resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.umask(0o022)
if uid >= 0:
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0); libc.prctl(1, 9, 0, 0, 0)
os.chdir(sys.argv[3])
os.execv(sys.argv[4], sys.argv[4:])
"""
_UNREACHABLE = re.compile(
    r"error sending request|client error \(connect\)|dns error|operation timed out|connection (refused|reset)"
    r"|failed to lookup address|network is unreachable|50[234] ",
    re.IGNORECASE,
)
_FRAME = re.compile(r"^[\s\u00d7╰─▶│├·]*(error: |cause: )?", re.MULTILINE)
_WORDS = re.compile(r"[a-z0-9][a-z0-9-]*[a-z0-9]|[a-z0-9]")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of one build: its folder, which is also where they start, its cache, and as whom they run."""

    settings: LocalSettings
    isolation: Isolation
    folder: Path
    cache: Path
    uid: int

    def write(self, name: str, text: str) -> None:
        """Write a file for the tools to read, replacing one of that name. SECURITY: following no link they left there."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, 0o644)  # whatever the platform's umask is
            file.write(text)

    def uv(self, words: Sequence[str], tell: Tell, *, is_quiet: bool = False) -> tuple[int, str]:
        """Run `uv`; return its exit code and the end of what it said. Raises: BuildFailed, Unavailable."""
        if not is_quiet:
            tell(f"$ uv {' '.join(words)}\n".encode())
        is_boxed = self.isolation.mode == "bwrap"
        code, said = self._run([_INSIDE_UV if is_boxed else find_uv_bin(), *words], tell, is_quiet=is_quiet)
        if code != 0 and _UNREACHABLE.search(said):
            msg = f"the package index cannot be reached: {readable(said)[-300:]}"
            raise Unavailable(msg)
        return code, said

    def run(self, words: Sequence[str], tell: Tell) -> None:
        """Run a command whose result does not matter. Raises: BuildFailed."""
        self._run(words, tell, is_quiet=True)

    def _run(self, words: Sequence[str], tell: Tell, *, is_quiet: bool) -> tuple[int, str]:
        os.utime(self.folder)  # in use: not to be taken for what a killed build has left
        is_boxed = self.isolation.mode == "bwrap"
        begin = [str(self.uid), str(self.settings.build_bytes), _INSIDE if is_boxed else str(self.folder)]
        process = subprocess.Popen(  # noqa: S603 -- our own words
            [*self._box(), SHIM_PYTHON, *LEAN, "-c", _BECOME, *begin, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=self._environment(),
            start_new_session=True,
        )
        try:
            said = self._listen(process, (lambda _: tell(b"")) if is_quiet else tell)
            return process.wait(), said.decode("utf-8", "replace")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _listen(self, process: "subprocess.Popen[bytes]", tell: Tell) -> bytes:
        """Read until its end; return the last it said. Raises: BuildFailed when it takes too long, or too much disk."""
        out = process.stdout
        assert out is not None  # noqa: S101 -- it was asked for
        os.set_blocking(out.fileno(), False)
        tail, deadline, weigh_at = b"", time.monotonic() + self.settings.build_seconds, 0.0
        with selectors.DefaultSelector() as ready:
            ready.register(out, selectors.EVENT_READ)
            while True:
                data = out.read(1 << 16) if ready.select(_LOOK_SECONDS) else b""
                if data == b"" and process.poll() is not None:
                    self._weigh()
                    return tail
                tail = (tail + (data or b""))[-_TAIL_BYTES:]
                tell(data or b"")
                if time.monotonic() > deadline:
                    msg = f"it took longer than {self.settings.build_seconds} s"
                    raise BuildFailed(msg)
                if time.monotonic() > weigh_at:
                    self._weigh()
                    weigh_at = time.monotonic() + _WEIGH_SECONDS

    def _weigh(self) -> None:
        if bwrap.weight_of(self.folder) > self.settings.build_bytes:
            msg = f"it needs more than {self.settings.build_bytes} bytes of disk"
            raise BuildFailed(msg)

    def _environment(self) -> dict[str, str]:
        """Build the tools' environment from nothing, so that nothing of the platform's can be in it."""
        is_boxed = self.isolation.mode == "bwrap"
        given = {name: value for name in _NETWORK for name in (name, name.lower()) if (value := os.environ.get(name))}
        index = {"UV_DEFAULT_INDEX": self.settings.package_index} if self.settings.package_index else {}
        return {
            "PATH": _PATH,
            "HOME": _INSIDE if is_boxed else str(self.folder),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "UV_CACHE_DIR": _INSIDE_CACHE if is_boxed else str(self.cache),
            "UV_LINK_MODE": "copy",
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            **index,
            **given,
        }

    def _box(self) -> list[str]:
        """Return the command line of the sandbox: the system read-only, its folder and its cache, nothing else."""
        found = self.isolation
        if found.mode != "bwrap":
            return []
        argv = [found.bwrap, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
        if found.own_users:
            argv += bwrap.capabilities(GUARD_CAPABILITIES)
        argv += system_arguments()
        for path in TEMPORARY:
            argv += ["--perms", "1777", "--tmpfs", path]
        argv += parents(*found.interpreter_paths, _INSIDE, _INSIDE_CACHE, _INSIDE_UV)
        for path in found.interpreter_paths:
            argv += ["--ro-bind-try", path, path]
        argv += ["--ro-bind", find_uv_bin(), _INSIDE_UV, "--bind", str(self.cache), _INSIDE_CACHE]
        return [*argv, "--bind", str(self.folder), _INSIDE, "--"]


def readable(said: str) -> str:
    """Return the last complaint of a tool as sentences, without its drawing."""
    lines = [line.strip() for line in _FRAME.sub("", said).splitlines() if line.strip()]
    return " ".join(lines)[-1500:]


def named_in(said: str, lines: Sequence[str]) -> list[int]:
    """Return which of `lines`, from 1 on, speak of a package that `said` names."""
    words = set(_WORDS.findall(_plain(said)))
    named = [(number, _NAME.match(line)) for number, line in enumerate(lines, 1)]
    return [number for number, name in named if name and _plain(name.group()) in words]


def _plain(text: str) -> str:
    """Write names the way an index compares them."""
    return re.sub(r"[-_.]+", "-", text).lower()
