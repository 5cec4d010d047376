"""The folder of one job: its files, its lock, and how they are written. Standard library only: the shim imports this.

<jobs_root>/<name>/lock        held from before the folder has its name until the shim and its guard are gone
                   uid         the user id claimed for the job, when it has one of its own
                   shim.json   written once, under the lock, before the body may start: at most one start
                   started     written when the body runs: epoch seconds
                   stop        the wish to end: "<grace seconds> <epoch seconds>"
                   log         the masked output, append-only
                   exit.json   the verdict, written last
                   shim.err    what the shim itself had to say
                   job/        the job's own: code/ (working directory), tmp/
"""

import fcntl
import os
import struct
import time

LOCK = "lock"
UID = "uid"
SHIM = "shim.json"
STARTED = "started"
STOP = "stop"
LOG = "log"
EXIT = "exit.json"
SHIM_ERRORS = "shim.err"
JOB = "job"
MAX_NAME = 128
SHIM_NAME = "fathom-shim"  # what the shim and its guard call themselves

# struct flock with 64-bit offsets: type, whence, start, len, pid
_FLOCK = "hhqqi4x"
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_F_OFD_GETLK = 36
_F_OFD_SETLK = 37


def is_name(name: str) -> bool:
    """Say whether a job can have this name: what is safe as a file name, and hides nothing."""
    return (
        0 < len(name) <= MAX_NAME
        and name.isascii()
        and name[0].isalnum()
        and all(char.isalnum() or char in "._-" for char in name)
    )


def take_lock(fd: int) -> bool:
    """Take the lock for the open file `fd`, without waiting.

    LOCKING: an open-file-description lock. It passes to the shim with the descriptor, with no moment in between, and
    the kernel gives it back when the last holder is gone, however that came about.
    """
    try:
        fcntl.fcntl(fd, _F_OFD_SETLK, _WHOLE_FILE)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_locked(fd: int) -> bool:
    """Say whether anybody else holds the lock. LOCKING: asks, and takes nothing, so asking can make nobody lose."""
    answer = fcntl.fcntl(fd, _F_OFD_GETLK, _WHOLE_FILE)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def write_durably(folder: int, name: str, data: bytes) -> None:
    """Put `data` at `name` in the open folder so that it is there whole or not at all, even after a power cut."""
    temporary = f".{name}.{os.getpid()}.{time.monotonic_ns()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def read_small(folder: int, name: str) -> bytes | None:
    """Return the content of a small file in the open folder; None when it is not there."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def flat_json(values: dict[str, str | int | float | bool | None]) -> bytes:
    """Write one flat JSON object. By hand, because `json` would add half again to the start of the shim."""
    return ("{" + ", ".join(f"{_quote(key)}: {_literal(value)}" for key, value in values.items()) + "}\n").encode()


def _literal(value: str | float | bool | None) -> str:  # noqa: FBT001 -- a JSON value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote(value) if isinstance(value, str) else repr(value)


def _quote(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [units[i] << 8 | units[i + 1] for i in range(0, len(units), 2)]
    safe = [chr(c) if 0x20 <= c < 0x7F and c not in (0x22, 0x5C) else f"\\u{c:04x}" for c in codes]  # noqa: PLR2004 -- printable ASCII
    return f'"{"".join(safe)}"'
