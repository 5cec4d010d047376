"""What every sandbox of ours has of bubblewrap's command line, and the weight of what a tool left in its folder."""

import os
from collections.abc import Sequence
from pathlib import Path

_LINKS = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")


def roots() -> list[str]:
    """Return arguments that show the machine's programs and libraries where they are links, as on most, or folders."""
    argv = []
    for path in _LINKS:
        if Path(path).is_symlink():
            argv += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).is_dir():
            argv += ["--ro-bind", path, path]
    return argv


def capabilities(kept: Sequence[str]) -> list[str]:
    """Return arguments that leave root only these."""
    return ["--cap-drop", "ALL", *(word for name in kept for word in ("--cap-add", name))]


def weight_of(folder: Path) -> int:
    """Return the bytes of all files below, also while they come and go."""
    size = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            try:
                size += Path(inside, name).lstat().st_size
            except FileNotFoundError:
                continue
    return size
