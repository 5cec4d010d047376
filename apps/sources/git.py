"""A commit, its submodules, and what was changed on top, brought into one archive."""

from dataclasses import dataclass
from typing import IO

from apps.sources.access import Access
from apps.sources.addresses import Address, beside
from apps.sources.box import Box
from apps.sources.errors import FetchFailed, Unreachable
from apps.sources.packing import Packer
from apps.sources.repository import Commit, Repository

_MOST_SUBMODULES, _MOST_DEPTH = 50, 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a repository is wanted. `patch`: a file of the box, "" for none."""

    address: Address
    ref: str = ""
    subfolder: str = ""
    submodules: bool = False
    patch: str = ""


def bring(wanted: Wanted, box: Box, access: Access, raw: IO[bytes]) -> Commit:
    """Write what is wanted as an archive to `raw`. Raises: FetchFailed, Unreachable."""
    repository = Repository(box, access, wanted.address, "repository")
    commit = repository.fetch(wanted.ref)
    tree = repository.tree_of(commit.id, wanted.patch)
    packer = Packer(raw, commit.made_at)
    inside = f"{wanted.subfolder}/" if wanted.subfolder else ""
    repository.write_to(packer, repository.below(tree, wanted.subfolder) if inside else tree, "")
    if wanted.submodules:
        _Submodules(box, access, packer).add(repository, tree, inside=inside)
    packer.close()
    return commit


class _Submodules:
    """Adds the submodules of a tree, and theirs, each at its place."""

    def __init__(self, box: Box, access: Access, packer: Packer) -> None:
        self._box, self._access, self._packer = box, access, packer
        self._count = 0

    def add(self, parent: Repository, tree: str, *, inside: str = "", prefix: str = "", depth: int = 1) -> None:
        for path, commit, url in parent.submodules(tree):
            place = prefix + path
            if not place.startswith(inside):
                continue
            self._count += 1
            if depth > _MOST_DEPTH or self._count > _MOST_SUBMODULES:
                msg = f"it has more than {_MOST_SUBMODULES} submodules, or they go deeper than {_MOST_DEPTH}"
                raise FetchFailed(msg)
            try:
                self._add(parent, place, commit, url, inside, depth)
            except (FetchFailed, Unreachable) as error:
                if str(error).startswith("its submodule"):
                    raise
                msg = f"its submodule {place[:200]}: {error}"
                raise type(error)(msg) from error

    def _add(self, parent: Repository, place: str, commit: str, url: str, inside: str, depth: int) -> None:
        try:
            address = beside(parent.address, url)
        except ValueError as error:
            raise FetchFailed(str(error)) from error
        repository = Repository(self._box, self._access, address, f"submodule-{self._count}")
        tree = repository.tree_of(repository.fetch(commit).id, "")
        repository.write_to(self._packer, tree, f"{place.removeprefix(inside)}/")
        self.add(repository, tree, inside=inside, prefix=f"{place}/", depth=depth + 1)
