"""One commit of a git repository, fetched into a folder without a working tree.

SECURITY: nothing is ever checked out. The files of a tree are read out of it as a tar archive: no hook, filter, template
or link of the repository comes into play.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from apps.sources import access as accesses
from apps.sources.access import Access
from apps.sources.addresses import Address
from apps.sources.box import Box, Done
from apps.sources.complaints import last, meaning
from apps.sources.errors import FetchFailed, Unreachable
from apps.sources.packing import Packer

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HERE = "refs/fathom/code"
_LINK_ENTRY = re.compile(rb"160000 commit ([0-9a-f]{40,64})\t(.+)", re.DOTALL)
_MODULE = re.compile(r"submodule\.(.+)\.(path|url)", re.DOTALL)
_FETCH = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--depth=1")


@dataclass(frozen=True, slots=True)
class Commit:
    """What a ref turned out to be; without a branch when it is a tag or a commit."""

    id: str
    branch: str
    made_at: int


class Repository:
    """A bare repository in the box, of one commit of one server."""

    def __init__(self, box: Box, access: Access, address: Address, name: str) -> None:
        self._box, self._access, self.address, self._name = box, access, address, name
        self._here({}, "init", "--bare", "--quiet", f"--template={box.template}", box.path(name), at="")

    def fetch(self, ref: str) -> Commit:
        """Fetch the commit that a branch, tag or commit means; the server's own branch for "". Raises: FetchFailed, Unreachable."""
        if _COMMIT.fullmatch(ref):
            branch = ""
            self._fetch_commit(ref)
        else:
            full, branch = self._find(ref)
            self._there(f"branch or tag {ref}", "fetch", *_FETCH, "--", self.address.url, f"+{full}:{_HERE}")
        said = self._here({}, "log", "-1", "--format=%H %ct", f"{_HERE}^{{commit}}").decode().split()
        return Commit(said[0], branch, int(said[1]))

    def tree_of(self, commit: str, patch: str) -> str:
        """Return the tree of a commit, with a patch applied to it. Raises: FetchFailed."""
        tree = self._here({}, "rev-parse", f"{commit}^{{tree}}").decode().strip()
        if not patch:
            return tree
        index = {"GIT_INDEX_FILE": self._box.path("index")}
        self._here(index, "read-tree", tree)
        done = self._git(index, "apply", "--cached", "--binary", "--whitespace=nowarn", "--", self._box.path(patch))
        if done.code != 0:
            msg = f"the patch does not fit commit {commit[:12]}: {last(done.said)}"
            raise FetchFailed(msg)
        return self._here(index, "write-tree").decode().strip()

    def below(self, tree: str, subfolder: str) -> str:
        """Return the tree of a folder. Raises: FetchFailed when there is none."""
        done = self._git({}, "ls-tree", "-z", "--full-tree", tree, "--", subfolder)
        entry = done.out.split(b"\t", 1)[0].decode("ascii", "replace").split()
        if len(entry) != 3 or entry[1] != "tree":  # noqa: PLR2004 -- mode, kind, id
            msg = f"it has no folder {subfolder}"
            raise FetchFailed(msg)
        return entry[2]

    def write_to(self, packer: Packer, tree: str, prefix: str) -> None:
        """Add the files of a tree to an archive. Raises: FetchFailed."""
        self._here({}, "archive", "--format=tar", f"--output={self._box.path('tree.tar')}", tree)
        path = self._box.folder / "tree.tar"
        with _opened(path) as source:
            packer.add(source, prefix)
        path.unlink()

    def submodules(self, tree: str) -> list[tuple[str, str, str]]:
        """List path, commit and address of the submodules of a whole tree. Raises: FetchFailed for one without address."""
        entries = self._here({}, "ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0")
        links = [match for entry in entries if (match := _LINK_ENTRY.fullmatch(entry))]
        urls = self._urls(tree) if links else {}
        found = []
        for link in links:
            path = link[2].decode("utf-8", "replace")
            if path not in urls:
                msg = f"the submodule {path[:200]} has no address in .gitmodules"
                raise FetchFailed(msg)
            found.append((path, link[1].decode(), urls[path]))
        return found

    def _urls(self, tree: str) -> dict[str, str]:
        done = self._git({}, "config", "--blob", f"{tree}:.gitmodules", "--null", "--list")
        modules: dict[str, dict[str, str]] = {}
        for entry in done.out.decode("utf-8", "replace").split("\0"):
            key, _, value = entry.partition("\n")
            if match := _MODULE.fullmatch(key):
                modules.setdefault(match[1], {})[match[2]] = value
        return {one["path"].strip("/"): one["url"] for one in modules.values() if {"path", "url"} <= one.keys()}

    def _find(self, ref: str) -> tuple[str, str]:
        """Return the full name of a ref, and the branch it is. Raises: FetchFailed when the server has none of that name."""
        asked = [f"refs/heads/{ref}", f"refs/tags/{ref}"] if ref else ["HEAD"]
        out = self._there("branch of its own", "ls-remote", "--symref", "--", self.address.url, *asked).decode(
            "utf-8", "replace"
        )
        pairs = [line.split("\t", 1) for line in out.splitlines() if "\t" in line]
        if not ref:
            own = next((value.removeprefix("ref: ") for value, name in pairs if value.startswith("ref: ")), "")
            if all(value.startswith("ref: ") for value, _ in pairs):
                msg = "it is empty: it has no commit yet"
                raise FetchFailed(msg)
            return "HEAD", own.removeprefix("refs/heads/")
        names = {name for _, name in pairs}
        for full in asked:
            if full in names:
                return full, ref if full.startswith("refs/heads/") else ""
        msg = f"it has no branch or tag {ref}; a commit is named by all of its 40 digits"
        raise FetchFailed(msg)

    def _fetch_commit(self, commit: str) -> None:
        """Fetch one commit; from a server that hands out only what its refs point to, all of them."""
        said = f"commit {commit}"
        try:
            self._there(said, "fetch", *_FETCH, "--", self.address.url, f"+{commit}:{_HERE}")
        except FetchFailed as error:
            if said not in str(error):
                raise
            everything = ("+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*")
            self._there(said, "fetch", *_FETCH[:-1], "--", self.address.url, *everything)
            if self._git({}, "update-ref", _HERE, commit).code != 0:
                raise

    def _there(self, ref: str, *words: str) -> bytes:
        """Run a command of git that asks the server. Raises: FetchFailed, Unreachable."""
        env, gate = self._access.to(self.address)
        done = self._git(env, *words)
        if gate.refused:
            raise FetchFailed(gate.refused)
        if done.code == 0:
            return done.out
        if gate.unreached:
            raise Unreachable(gate.unreached)
        raise meaning(done.said, self.address, ref, is_given=self._access.is_given)

    def _here(self, env: dict[str, str], *words: str, at: str | None = None) -> bytes:
        """Run a command of git that asks nobody, and that has no reason to fail."""
        done = self._git(env, *words, at=at)
        if done.code != 0:
            msg = f"git cannot read it: {last(done.said)}"
            raise FetchFailed(msg)
        return done.out

    def _git(self, env: dict[str, str], *words: str, at: str | None = None) -> Done:
        there = ["--git-dir", self._box.path(self._name)] if at is None else []
        return self._box.run(["git", *there, *words], {**accesses.local(), **env})


def _opened(path: Path) -> IO[bytes]:
    """Open what a tool wrote. SECURITY: following no link it left there."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
