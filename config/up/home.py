"""The data folder of an installation on one machine: its modes, its keys, and the lock that keeps a second start away."""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import orjson

from config.embedded.errors import StartError

FOLDERS = ("run", "log", "blobs", "jobs")
_MARKS = ("secret.key", "pg", "run")  # a folder with one of these is ours
_LEAST_FREE = 256 << 20
_LARGEST_LOG = 16 << 20


@dataclass(frozen=True, slots=True)
class Home:
    path: Path
    lock: int  # file descriptor; the lock lasts as long as it is open, so a killed start leaves none behind

    def release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / "run" / "env.json").unlink()
        os.close(self.lock)


def open_home(path: Path, url: str) -> Home:
    """Make or check the data folder and lock it. Raises: StartError with one sentence."""
    try:
        _make(path)
        lock = _lock(path, url)
        _keys(path)
        _trim_logs(path / "log")
    except OSError as error:
        raise StartError(_why(path, error)) from error
    free = shutil.disk_usage(path).free
    if free < _LEAST_FREE:
        msg = f"The disk of {path} is full ({free >> 20} MB free): Fathom needs {_LEAST_FREE >> 20} MB to start."
        raise StartError(msg)
    return Home(path, lock)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only we can read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _make(path: Path) -> None:
    if path.is_dir() and any(path.iterdir()) and not any((path / mark).exists() for mark in _MARKS):
        msg = f"{path} is not empty and not a data folder of Fathom: choose another with --home."
        raise StartError(msg)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    for name in FOLDERS:
        (path / name).mkdir(mode=0o700, exist_ok=True)
    # Some file systems let us make folders and refuse files.
    write_private(path / "run" / "probe", b"")
    (path / "run" / "probe").unlink()


def _lock(path: Path, url: str) -> int:
    fd = os.open(path / "run" / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with os.fdopen(fd) as file:
            holder = orjson.loads(file.read() or "{}")
        where = f" at {holder['url']}/ (process {holder['pid']})" if holder else ""
        msg = f"Fathom already runs on {path}{where}: stop that one first, or choose another folder with --home."
        raise StartError(msg) from None
    os.truncate(fd, 0)
    os.pwrite(fd, orjson.dumps({"pid": os.getpid(), "url": url}), 0)
    return fd


def _keys(path: Path) -> None:
    data_key = path / "data.key"
    if not data_key.exists() and (path / "pg").exists() and (path / "secret.key").exists():
        msg = f"{data_key} is missing, and what is stored in {path} cannot be read without it: put it back from your copy."
        raise StartError(msg)
    made = {
        "secret.key": secrets.token_urlsafe(50),
        "data.key": secrets.token_hex(32),
        # An id of its own: what was sealed under a ring that is lost names a key that is missing.
        "credential.keys": f"k{secrets.token_hex(4)}:{secrets.token_hex(32)}",
    }
    for name, value in made.items():
        key = path / name
        if not key.exists():
            write_private(key, value.encode())
        key.chmod(0o600)


def _trim_logs(folder: Path) -> None:
    for log in folder.glob("*.log"):
        if log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))


def _why(path: Path, error: OSError) -> str:
    where = error.filename or path
    match error.errno:
        case errno.EROFS:
            return f"{path} is on a read-only file system: choose another folder with --home."
        case errno.EACCES | errno.EPERM:
            return f"{where} may not be written by this user: choose another folder with --home, or become its owner."
        case errno.ENOSPC | errno.EDQUOT:
            return f"The disk of {path} is full: free some space, or choose another folder with --home."
        case errno.ENOTDIR | errno.EEXIST:
            return f"{where} is not a folder: choose another with --home."
        case _:
            return f"The data folder {path} cannot be used: {error.strerror}."
