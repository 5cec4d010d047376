"""Which names, links and files an archive of code may have: those that a job can unpack."""

import re
import tarfile
import unicodedata

from apps.sources.errors import FetchFailed

_MOST_PATH, _MOST_DEPTH, _MOST_NAME = 1024, 48, 255
_NTFS_GIT = re.compile(r"git~[0-9]+")


def judge(name: str, member: tarfile.TarInfo) -> None:
    """Let pass what a job can unpack. Raises: FetchFailed, naming the file."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    shown = ascii(name[:120])
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        msg = f"{shown} is a path that leads out of the code"
        raise FetchFailed(msg)
    if len(name) > _MOST_PATH or len(parts) > _MOST_DEPTH or any(len(part.encode()) > _MOST_NAME for part in parts):
        msg = f"{shown} is a path that is too long or too deep"
        raise FetchFailed(msg)
    if member.issym() and not _stays_inside(len(parts), member.linkname):
        msg = f"{shown} is a link that leads out of the code"
        raise FetchFailed(msg)
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        msg = f"{shown} is a device or another special file"
        raise FetchFailed(msg)


def is_git(part: str) -> bool:
    """Say whether some file system would take a name for `.git`: with other letters, trailing dots, or signs not shown."""
    shown = "".join(sign for sign in part if unicodedata.category(sign) != "Cf").lower().rstrip(". ")
    return shown == ".git" or _NTFS_GIT.fullmatch(shown) is not None


def _stays_inside(depth: int, target: str) -> bool:
    """Say whether a link at that depth leads to a place inside: up at its beginning only, and no further than it lies."""
    steps = [step for step in target.split("/") if step not in ("", ".")]
    ups = next((i for i, step in enumerate(steps) if step != ".."), len(steps))
    return (
        bool(target) and not target.startswith("/") and "\0" not in target and ups < depth and ".." not in steps[ups:]
    )
