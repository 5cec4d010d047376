"""Packing a folder of code: the same files always make the same archive, byte for byte, so it is uploaded once.

Left out: what `.gitignore` and `.fathomignore` name (in any folder, also in those above it up to the root of its working
tree; last match wins, `!` takes back), version control, caches, virtual environments and `.env` files. Links that leave the folder are left out too.
"""

import gzip
import hashlib
import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fathom.errors import FathomError

MAX_BYTES = 100 << 20
IGNORE_FILES = (".gitignore", ".fathomignore")
ALWAYS_IGNORED = """
.git/
.hg/
.svn/
__pycache__/
*.py[co]
.venv/
venv/
node_modules/
.ipynb_checkpoints/
.mypy_cache/
.ruff_cache/
.pytest_cache/
.DS_Store
.env
.fathom/
fathom-offline/
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an ignore file, as a pattern over paths relative to that file's folder."""

    base: str
    pattern: re.Pattern[str]
    negated: bool
    only_folders: bool
    above: str = ""
    """Where the packed folder lies below that file's, which lies above it: "sub/folder/"."""

    def matches(self, path: str, *, is_folder: bool) -> bool:
        if self.only_folders and not is_folder:
            return False
        if self.above:
            return self.pattern.fullmatch(self.above + path) is not None
        if not path.startswith(self.base):
            return False
        return self.pattern.fullmatch(path[len(self.base) :]) is not None


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive on disk. `path` is a temporary file; the caller removes it."""

    path: Path
    sha256: str
    size_bytes: int
    files: tuple[str, ...]

    @property
    def ref(self) -> str:
        return f"sha256:{self.sha256}"


def pack(folder: Path) -> Packed:
    """Make the archive of `folder`.

    Raises: FathomError when it is no folder, cannot be read, or the archive is larger than the platform accepts.
    """
    if not folder.is_dir():
        message = f"The code folder {folder} does not exist or is not a folder."
        raise FathomError(message)
    handle, name = tempfile.mkstemp(prefix="fathom-code-", suffix=".tar.gz")
    path = Path(name)
    try:
        files = tuple(sorted(included(folder)))
        with os.fdopen(handle, "wb") as raw:
            _write(raw, folder, files)
        size = path.stat().st_size
        if size > MAX_BYTES:
            _refuse(folder, files, size)
        with path.open("rb") as packed:
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
    except OSError as error:
        path.unlink(missing_ok=True)
        message = f"The code folder {folder} cannot be packed: {error}"
        raise FathomError(message) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Packed(path, digest, size, files)


def included(folder: Path) -> Iterator[str]:
    """Paths of the files to pack, relative, with forward slashes."""
    root = folder.resolve()
    yield from _walk(folder, root, "", [*parse_rules(ALWAYS_IGNORED, ""), *_rules_above(root)])


def _rules_above(folder: Path) -> list[Rule]:
    """The rules of the working tree that `folder` is a part of, from its root down to the folder above; none outside of one."""
    parents = list(folder.parents)
    root = next((place for place in (folder, *parents) if (place / ".git").exists()), folder)
    rules = []
    for place in reversed([place for place in parents if place.is_relative_to(root)]):
        below = f"{folder.relative_to(place).as_posix()}/"
        for name in IGNORE_FILES:
            file = place / name
            if file.is_file():
                rules += parse_rules(file.read_text(encoding="utf-8", errors="replace"), "", above=below)
    return rules


def parse_rules(text: str, base: str, *, above: str = "") -> list[Rule]:
    """The rules of an ignore file that lies in the folder `base` ("" or "sub/folder/"), or above the packed one."""
    rules = []
    for line in text.splitlines():
        pattern = line if line.endswith("\\ ") else line.rstrip()
        if not pattern or pattern.startswith("#"):
            continue
        negated = pattern.startswith("!")
        pattern = pattern[1:] if negated else pattern
        only_folders = pattern.endswith("/")
        pattern = pattern.rstrip("/")
        if not pattern:
            continue
        rules.append(Rule(base, _compile(pattern), negated, only_folders, above))
    return rules


def _compile(pattern: str) -> re.Pattern[str]:
    name = pattern.removeprefix("/")
    prefix = "" if "/" in pattern else "(?:.*/)?"  # without a slash it holds at every depth
    try:
        return re.compile(prefix + translate(name), re.DOTALL)
    except re.error:  # a range like [z-a]: git matches nothing either
        return re.compile(r"(?!)")


def translate(pattern: str) -> str:
    """A glob of an ignore file as a regular expression: `*` and `?` stay within a name, `**` crosses folders."""
    result, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        bracket = re.match(r"\[(!|\^)?(\]?[^\]]*)\]", rest)
        if rest.startswith("**/"):
            result, position = result + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            result, position = result + ".*", position + 2
        elif rest[0] == "*":
            result, position = result + "[^/]*", position + 1
        elif rest[0] == "?":
            result, position = result + "[^/]", position + 1
        elif bracket:
            members = re.sub(r"([\\\[\]&~|])", r"\\\1", bracket.group(2))
            result += f"(?!/)[{'^' if bracket.group(1) else ''}{members}]"
            position += bracket.end()
        elif rest[0] == "\\" and len(rest) > 1:
            result, position = result + re.escape(rest[1]), position + 2
        else:
            result, position = result + re.escape(rest[0]), position + 1
    return result


def ignored(rules: list[Rule], path: str, *, is_folder: bool) -> bool:
    """Whether the last rule that matches says so."""
    for rule in reversed(rules):
        if rule.matches(path, is_folder=is_folder):
            return not rule.negated
    return False


def _walk(folder: Path, root: Path, prefix: str, rules: list[Rule]) -> Iterator[str]:
    for name in IGNORE_FILES:
        file = folder / name
        if file.is_file():
            rules = rules + parse_rules(file.read_text(encoding="utf-8", errors="replace"), prefix)
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            if not ignored(rules, path, is_folder=True):
                yield from _walk(Path(entry.path), root, f"{path}/", rules)
        elif not ignored(rules, path, is_folder=False) and _is_own_file(Path(entry.path), root):
            yield path


def _is_own_file(path: Path, root: Path) -> bool:
    """A regular file, or a link to one inside the folder (its content is packed): never a device, socket or way out."""
    return path.is_file() and path.resolve().is_relative_to(root)


def _write(raw: io.BufferedWriter, folder: Path, files: tuple[str, ...]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in files:
            with (folder / name).open("rb") as content:
                status = os.fstat(content.fileno())
                entry = tarfile.TarInfo(name)
                entry.size = status.st_size
                entry.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
                archive.addfile(entry, content)


def _refuse(folder: Path, files: tuple[str, ...], size: int) -> NoReturn:
    largest = sorted(((folder / name).stat().st_size, name) for name in files)[-3:]
    names = ", ".join(f"{name} ({bytes_ >> 20} MiB)" for bytes_, name in reversed(largest))
    message = (
        f"The code folder {folder} makes an archive of {size >> 20} MiB; the platform takes {MAX_BYTES >> 20} MiB. "
        f"Name what the job does not need in .fathomignore. Largest: {names}."
    )
    raise FathomError(message)
