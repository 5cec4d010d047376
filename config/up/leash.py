"""Runs a module on a leash: when the supervisor is gone, even by SIGKILL, so is this process a moment later.

`python -m config.up.leash <fd> <module> [arguments]`: `fd` is the reading end of a pipe whose other end only the
supervisor holds. Works on every system, unlike signals on the death of a parent.
"""

import os
import runpy
import signal
import sys
import threading
import time

_GRACE_SECONDS = 10


def _watch(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def main() -> None:
    fd, module = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(fd, False)
    threading.Thread(target=_watch, args=(fd,), daemon=True, name="leash").start()
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
