"""The platform's end of the process that forks shims (`starter`)."""

import marshal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from apps.compute.backends.base import Unavailable
from apps.compute.backends.local import sandbox
from apps.compute.backends.local.starter import MESSAGE

_BOOT = "import sys; sys.path.append(sys.argv[1]); from apps.compute.backends.local.starter import main; main()"


class Starter:
    """Keeps one running; replaces one that died. `template`: see `prepared.Prepared`."""

    def __init__(self, template: dict[str, Any]) -> None:
        self._template = marshal.dumps(template)
        self._guard = threading.Lock()
        self._channel: socket.socket | None = None

    def start_shim(self, fds: Sequence[int]) -> None:
        """Fork a shim that gets `fds`: plan, answer, errors, run folder, lock. Raises: Unavailable."""
        with self._guard:
            for _ in range(2):
                channel = self._channel or self._open()
                try:
                    socket.send_fds(channel, [MESSAGE], fds)
                except OSError:  # it was killed
                    self._close()
                else:
                    return
        msg = "the process that starts jobs cannot be kept alive"
        raise Unavailable(msg)

    def close(self) -> None:
        """Let it end; the next start makes another."""
        with self._guard:
            self._close()

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sandbox.SHIM_PYTHON, *sandbox.LEAN, "-c", _BOOT, str(sandbox.IMPORT_ROOT), str(theirs.fileno())]
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 -- our own words
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    cwd="/",
                    env={},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                msg = f"cannot start a process: {error.strerror or error}"
                raise Unavailable(msg) from error
        assert self._process.stdin is not None  # noqa: S101 -- it was started with a pipe
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # one that died is found by the next message
            stdin.write(self._template)
        self._channel = ours
        return ours

    def _close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
            self._process.kill()  # it may be stopped, and would not see the end; what it had not begun is tried again
            self._process.wait()

    def __del__(self) -> None:
        self._close()
