"""Small things done with files and folders, durably where it matters."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from apps.compute.backends.local import rundir

STALE_SECONDS = 3600


class JobLock:
    """The open lock file of one job. As a context it closes the file, which gives back what only we hold."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls, folder: Path) -> "JobLock":
        lock = cls(os.open(folder / rundir.LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        rundir.take_lock(lock.fd)
        return lock

    @classmethod
    def take(cls, folder: Path) -> "JobLock | None":
        """Return the lock if nobody else holds it."""
        lock = cls(os.open(folder / rundir.LOCK, os.O_RDWR | os.O_CLOEXEC))
        if rundir.take_lock(lock.fd):
            return lock
        lock.close()
        return None

    @staticmethod
    @contextmanager
    def opened(folder: Path) -> Iterator["JobLock | None"]:
        """Open the lock file without taking the lock; None when there is no such folder."""
        try:
            lock = JobLock(os.open(folder / rundir.LOCK, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            yield None
            return
        with lock:
            yield lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.fd)


def put(run: Path, name: str, data: bytes) -> None:
    folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rundir.write_durably(folder, name, data)
    finally:
        os.close(folder)


def sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the record at `path`; None when there is none, or none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def remove_stale(folder: Path, *, prefixes: tuple[str, ...]) -> None:
    """Delete what calls that were cut off have left in `folder`. Old ones only: the young may still be at work."""
    for path in folder.iterdir():
        if not path.name.startswith(prefixes):
            continue
        try:
            is_old = path.stat().st_mtime < time.time() - STALE_SECONDS
        except FileNotFoundError:  # renamed to what it was made for
            continue
        if is_old:
            remove_tree(path)


def remove_tree(path: Path) -> None:
    """Delete a folder with all that is in it; absent is fine. Follows no link (shutil walks by descriptors)."""

    def open_up(_function: object, failed: str, info: tuple[type, BaseException, object]) -> None:
        if isinstance(info[1], FileNotFoundError):
            return
        os.chmod(os.path.dirname(failed), 0o700)  # a job may close its own folders; only matters without root
        if os.path.isdir(failed) and not os.path.islink(failed):
            os.chmod(failed, 0o700)
            shutil.rmtree(failed)
        else:
            os.unlink(failed)

    shutil.rmtree(path, onerror=open_up)
