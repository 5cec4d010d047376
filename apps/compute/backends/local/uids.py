"""Claims on the user ids that jobs run as: one job, one id, for as long as the job's folder is there."""

import hashlib
import os
from pathlib import Path


class NoUserLeft(Exception):
    """Every user id of the range is in use."""


def claim(jobs_root: Path, name: str, *, base: int, count: int) -> int:
    """Return a user id that no other job of this cluster has.

    A claim is a symbolic link `<jobs_root>/.uids/<id>` that says whose it is; making one is atomic. Where to look
    first comes from the name, so that ids of removed jobs, which may still own files elsewhere, come again late.
    Raises: NoUserLeft, OSError.
    """
    claims = jobs_root / ".uids"
    claims.mkdir(mode=0o700, exist_ok=True)
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    for step in range(min(count, 100_000)):
        uid = base + (first + step) % count
        if _try(claims / str(uid), jobs_root, name):
            return uid
    msg = f"all {count} user ids from {base} on are in use"
    raise NoUserLeft(msg)


def _try(path: Path, jobs_root: Path, name: str) -> bool:
    for _ in range(2):
        try:
            path.symlink_to(name)
        except FileExistsError:
            holder = os.readlink(path)
            if holder == name:
                return True
            if (jobs_root / holder).exists():
                return False
            path.unlink(missing_ok=True)  # a claim never comes before its folder, so the folder is gone for good
        else:
            return True
    return False


def release(jobs_root: Path, name: str, uid: int) -> None:
    """Give the id back, if it is this name's. Idempotent."""
    path = jobs_root / ".uids" / str(uid)
    try:
        if os.readlink(path) == name:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
