"""The lines of a requirements file.

SECURITY: a line names a package and its versions, nothing else. Options, addresses, paths and other files are refused: they
would make the platform fetch what a user names, or read what lies on its own disk.
"""

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_LONGEST_LINE = 500


def read_lines(lines: Iterable[str], what: str = "line") -> list[str]:
    """Keep the packages of a requirements file. Raises: ValueError, naming the line as the file counts it."""
    kept = []
    for number, raw in enumerate(lines, 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if line:
            try:
                kept.append(_read_line(line))
            except ValueError as error:
                msg = f"{what} {number} ({line[:80]}): {error}"
                raise ValueError(msg) from error
    return kept


def _read_line(line: str) -> str:
    if line.startswith("-"):
        msg = "options are not taken; write one package a line"
        raise ValueError(msg)
    if len(line) > _LONGEST_LINE or not line.isprintable():
        msg = f"at most {_LONGEST_LINE} printable characters"
        raise ValueError(msg)
    if "://" in line or line.startswith((".", "/", "~")) or "\\" in line:
        msg = "packages come from the index; addresses and paths are not taken"
        raise ValueError(msg)
    try:
        wanted = Requirement(line)
    except InvalidRequirement as error:
        msg = f"not a package with versions, like pandas>=2,<3 ({str(error).splitlines()[0]})"
        raise ValueError(msg) from error
    if wanted.url:
        msg = "packages come from the index; addresses and paths are not taken"
        raise ValueError(msg)
    if canonicalize_name(wanted.name) == "fathom":
        msg = "Fathom's SDK is in every environment; on the index this name is another package"
        raise ValueError(msg)
    return line
