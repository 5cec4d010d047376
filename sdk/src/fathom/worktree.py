"""A git working tree as code: the commit, which the platform fetches by itself, and as a patch what lies on top of it.

On top lie changes that are not committed, and files that are neither tracked nor ignored (`.gitignore`, `.fathomignore`).
Nothing of the working tree, its index or its repository is changed.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from fathom.errors import FathomError

_DIFF = (
    "diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=dirty",
    "--src-prefix=a/", "--dst-prefix=b/", "HEAD",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Captured:
    """Where the commit is to be had, and what lies on top of it. `subfolder` is the folder that was named, "" for the root."""

    url: str
    commit: str
    branch: str
    subfolder: str
    patch: bytes

    @property
    def is_dirty(self) -> bool:
        return bool(self.patch)


def capture(folder: str | os.PathLike[str]) -> Captured:
    """Look at the working tree that `folder` lies in.

    Raises: FathomError when there is none, it has no remote, or its commit is not there yet.
    """
    if shutil.which("git") is None:
        message = "git is not installed, or not in PATH."
        raise FathomError(message)
    place = Path(folder).resolve()
    if not place.is_dir():
        message = f"{folder} is no folder."
        raise FathomError(message)
    found = _git(place, "rev-parse", "--show-toplevel", fails=f"{folder} lies in no git working tree.")
    root = Path(found).resolve()
    commit = _git(root, "rev-parse", "--verify", "HEAD^{commit}", fails=f"The repository {root} has no commit yet.")
    branch = _ask(root, "symbolic-ref", "--quiet", "--short", "HEAD").strip()
    remote = _remote(root, branch)
    _require_pushed(root, remote, commit)
    url = _plain(_git(root, "remote", "get-url", remote, fails=f"The remote {remote} has no address."))
    subfolder = "" if place == root else place.relative_to(root).as_posix()
    return Captured(url, commit, branch, subfolder, _patch(root))


def is_address(place: str) -> bool:
    """Say whether this is the address of a repository, and no folder here."""
    return "://" in place or ("@" in place.partition(":")[0] and not Path(place).exists())


def _remote(root: Path, branch: str) -> str:
    """The remote of the branch, else `origin`, else the only one."""
    own = _ask(root, "config", "--get", f"branch.{branch}.remote").strip() if branch else ""
    names = _ask(root, "remote").split()
    for name in (own, "origin", *names[:1]):
        if name in names:
            return name
    message = (
        f"The repository {root} has no remote: the platform could not fetch it. Send the folder itself with --code."
    )
    raise FathomError(message)


def _require_pushed(root: Path, remote: str, commit: str) -> None:
    if _ask(root, "branch", "--remotes", "--list", f"{remote}/*", "--contains", commit).strip():
        return
    heads = (line.split("\t")[0] for line in _ask(root, "ls-remote", "--", remote).splitlines())
    if commit in heads:
        return
    message = (
        f"The commit {commit[:12]} is not on {remote}, from where the platform would fetch it. "
        "Push it first (git push), or send the folder itself with --code."
    )
    raise FathomError(message)


def _patch(root: Path) -> bytes:
    """What differs from the commit, made in an index and a store of objects of its own."""
    with tempfile.TemporaryDirectory(prefix="fathom-git-") as scratch:
        index, objects = Path(scratch) / "index", Path(scratch) / "objects"
        objects.mkdir()
        known = Path(_ask(root, "rev-parse", "--path-format=absolute", "--git-path", "index").strip())
        if known.is_file():
            shutil.copyfile(known, index)
        store = _ask(root, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip()
        environment = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": store,
        }
        # git heeds one kind of ignore file at a time: what neither kind names is in both lists.
        lists = [
            set(filter(None, _run(root, environment, "ls-files", "--others", ignored, "-z").split(b"\0")))
            for ignored in ("--exclude-standard", "--exclude-per-directory=.fathomignore")
        ]
        fresh = b"\0".join(sorted(lists[0] & lists[1]))
        _run(root, environment, "add", "--update", "--", ":/")
        if fresh:
            _run(root, environment, "add", "--pathspec-from-file=-", "--pathspec-file-nul", given=fresh, literal=True)
        return _run(root, environment, *_DIFF)


def _plain(url: str) -> str:
    """The address without what a person put into it to get in: that is what credentials are for."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _ask(root: Path, *words: str) -> str:
    """What git says, "" when it fails."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603, S607 -- the person's own git
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _git(root: Path, *words: str, fails: str) -> str:
    said = _ask(root, *words).strip()
    if not said:
        raise FathomError(fails)
    return said


def _run(root: Path, environment: Mapping[str, str], *words: str, given: bytes = b"", literal: bool = False) -> bytes:
    whole = ["git", *(["--literal-pathspecs"] if literal else []), *words]
    done = subprocess.run(  # noqa: S603 -- the person's own git
        whole, cwd=root, env={**os.environ, **environment}, input=given, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        message = f"git cannot say what was changed in {root}: {said[-1] if said else 'it failed'}"
        raise FathomError(message)
    return done.stdout
