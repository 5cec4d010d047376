"""What a specification says of code that is to be fetched, read strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.errors import Invalid
from apps.sources.addresses import Address, read_archive, read_git
from apps.sources.choices import SourceKind

_REF = re.compile(r"(?!.*(?:\.\.|@\{|//|\.lock(?:/|$)|/\.|/$|\.$))[A-Za-z0-9_][^\x00-\x20\x7f~^:?*\[\\]*")
_SHA = "sha256:"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Code that has to be fetched, as a specification names it."""

    kind: SourceKind
    address: Address
    ref: str = ""
    branch: str = ""
    subfolder: str = ""
    submodules: bool = False
    patch: str = ""
    sha256: str = ""
    credential: str = ""

    @property
    def place(self) -> str:
        """Return the field of the specification that a problem with the credential stands beside."""
        return "code.git.credential" if self.kind == SourceKind.GIT else "code.credential"


def read_wanted(code: Mapping[str, Any]) -> Wanted | None:
    """Return what the `code` of a specification wants fetched; None for an upload. Raises: Invalid."""
    given = [name for name in ("upload", "git", "archive") if name in code]
    if len(given) != 1:
        raise Invalid(errors={"code": ["Exactly one of upload, git and archive."]})
    if given[0] != "archive" and (stray := next((name for name in ("credential", "sha256") if name in code), "")):
        raise Invalid(errors={f"code.{stray}": ["Only beside an archive; that of a repository stands in git."]})
    return None if given == ["upload"] else (_read_git(code["git"]) if given == ["git"] else _read_archive(code))


def _read_git(git: Mapping[str, Any]) -> Wanted:
    problems: dict[str, list[str]] = {}
    address = None
    try:
        address = read_git(git["url"])
    except ValueError as error:
        problems["code.git.url"] = [str(error)]
    ref, branch, subfolder = git.get("ref", ""), git.get("branch", ""), git.get("subfolder", "").strip("/")
    for name, value in (("ref", ref), ("branch", branch)):
        if value and not _REF.fullmatch(value):
            problems[f"code.git.{name}"] = ["The name of a branch or tag, or a whole commit."]
    if any(part in ("", ".", "..") for part in subfolder.split("/")) and subfolder:
        problems["code.git.subfolder"] = ["A folder inside the repository: examples/digits."]
    if problems or address is None:
        raise Invalid(errors=problems)
    patch = git.get("patch", "").removeprefix(_SHA)
    facts = {"credential": git.get("credential", ""), "submodules": git.get("submodules", False), "patch": patch}
    return Wanted(SourceKind.GIT, address, ref, branch, subfolder, **facts)


def _read_archive(code: Mapping[str, Any]) -> Wanted:
    try:
        address = read_archive(code["archive"])
    except ValueError as error:
        raise Invalid(errors={"code.archive": [str(error)]}) from error
    sha256 = code.get("sha256", "").removeprefix(_SHA)
    return Wanted(SourceKind.ARCHIVE, address, sha256=sha256, credential=code.get("credential", ""))
