"""What an environment may be made of: one reading of packages, images and variables for every door.

SECURITY: a line names a package and its versions, nothing else. Options, addresses, paths and other files are refused: they
would make the platform fetch what a user names, or read what lies on its own disk.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from apps.core.errors import Invalid

MOST_TEXT = 100_000
MOST_PACKAGES = 500
MOST_VARIABLES = 200
_LONGEST_LINE = 500
_LONGEST_VALUE = 32_768
_PYTHON = re.compile(r"3\.\d{1,2}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_R_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]{1,99}")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,499}")
_CONDA = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")
_IS_CONDA = re.compile(r"^dependencies\s*:", re.MULTILINE)
_SET_BY_THE_JOB = {"PATH", "HOME", "TMPDIR", "VIRTUAL_ENV", "PYTHONHOME", "LD_PRELOAD", "LD_LIBRARY_PATH"}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a version is made of, checked."""

    python: str = ""
    packages: tuple[str, ...] = ()
    r_packages: tuple[str, ...] = ()
    image: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


def read_contents(
    *,
    packages: str = "",
    python: str = "",
    r_packages: Iterable[str] = (),
    image: str = "",
    variables: Mapping[str, Any] | None = None,
) -> Contents:
    """Read what somebody asks for. `packages` is the text of a requirements file, or of a conda environment.yml.

    Raises: Invalid, with a sentence per field that names the line.
    """
    problems: dict[str, list[str]] = {}
    told = _attempt(problems, "packages", lambda: _read_packages(packages)) or _File()
    chosen = python.strip() or told.python
    if chosen and not _PYTHON.fullmatch(chosen):
        problems["python"] = ["A version like 3.11, or nothing for the cluster's own."]
    if image and not _IMAGE.fullmatch(image):
        problems["image"] = ["The name of an image, like python:3.11-slim."]
    r_names = [name.strip() for name in r_packages if name.strip()]
    if len(r_names) > MOST_PACKAGES or not all(_R_NAME.fullmatch(name) for name in r_names):
        problems["r_packages"] = [f"At most {MOST_PACKAGES} names, like dplyr."]
    given = {**told.variables, **(variables or {})}
    _attempt(problems, "variables", lambda: _check_variables(given))
    if problems:
        raise Invalid(errors=problems)
    return Contents(chosen, tuple(told.packages), tuple(r_names), image, given)


@dataclass(frozen=True, slots=True)
class _File:
    packages: list[str] = field(default_factory=list)
    python: str = ""
    variables: dict[str, Any] = field(default_factory=dict)


def _attempt(problems: dict[str, list[str]], name: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ValueError as error:
        problems.setdefault(name, []).append(str(error))
        return None


def _read_packages(text: str) -> _File:
    if "\x00" in text or len(text) > MOST_TEXT:
        msg = f"Text of at most {MOST_TEXT} characters."
        raise ValueError(msg)
    found = _read_conda(text) if _IS_CONDA.search(text) else _File(_read_lines(text.splitlines()))
    if len(found.packages) > MOST_PACKAGES:
        msg = f"At most {MOST_PACKAGES} packages."
        raise ValueError(msg)
    return found


def _read_lines(lines: Iterable[str], what: str = "line") -> list[str]:
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


def _read_conda(text: str) -> _File:
    try:
        told = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"not YAML: {str(error).splitlines()[0]}"
        raise ValueError(msg) from error
    dependencies = told.get("dependencies") if isinstance(told, dict) else None
    if not isinstance(dependencies, list) or set(told) - {"name", "channels", "dependencies", "variables", "prefix"}:
        msg = "an environment.yml has name, channels, dependencies and variables, and its dependencies are a list"
        raise ValueError(msg)
    found = _File(variables=_texts(told.get("variables") or {}))
    python = ""
    for entry in dependencies:
        if isinstance(entry, dict):
            found.packages.extend(_pip_section(entry))
        elif (line := _conda_line(entry)).startswith("python "):
            python = line.removeprefix("python ")
        elif line:
            found.packages.append(line)
    return _File(found.packages, python, found.variables)


def _texts(variables: Any) -> dict[str, Any]:
    if not isinstance(variables, dict):
        msg = "its variables are names with values"
        raise ValueError(msg)  # noqa: TRY004 -- what a person wrote, not what a caller passed
    return {str(name): value if isinstance(value, str) else str(value) for name, value in variables.items()}


def _pip_section(entry: dict[Any, Any]) -> list[str]:
    lines = entry.get("pip")
    if set(entry) != {"pip"} or not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        msg = "the only list among dependencies is pip"
        raise ValueError(msg)
    return _read_lines(lines, "pip entry")


def _conda_line(entry: Any) -> str:
    """Return the same as a line for pip; "python 3.11" for the interpreter, nothing for pip itself. Raises: ValueError."""
    text = str(entry).strip()
    match = _CONDA.fullmatch(text)
    if not isinstance(entry, str) or not match or "::" in text:
        msg = f"{text[:80]}: write a name and a version, like numpy=1.26"
        raise ValueError(msg)
    name, version = match.group(1).lower(), match.group(2).strip()
    if name == "python":
        wanted = re.fullmatch(r"={1,2}\s*(3\.\d{1,2})(\.\*)?", version)
        if version and not wanted:
            msg = f"{text[:80]}: write the version of Python as python=3.11"
            raise ValueError(msg)
        return f"python {wanted.group(1)}" if wanted else ""
    if name == "pip":
        return ""
    if name.startswith("r-"):
        msg = f"{text[:80]}: name R packages as such, not among the dependencies"
        raise ValueError(msg)
    if exact := re.fullmatch(r"=\s*([A-Za-z0-9.!+]+)(\.\*)?", version):  # conda's one sign means: begins so
        version = f"=={exact.group(1)}.*"
    return _read_lines([f"{name}{version}"], "dependency")[0]


def _check_variables(variables: Mapping[str, Any]) -> None:
    if len(variables) > MOST_VARIABLES:
        msg = f"At most {MOST_VARIABLES}."
        raise ValueError(msg)
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or name.startswith("FATHOM_") or name in _SET_BY_THE_JOB:
            msg = f"{name[:130]!r} cannot be set: letters, digits and _, not beginning with FATHOM_, not what a job's start sets."
            raise ValueError(msg)
        if not isinstance(value, str) or "\x00" in value or len(value) > _LONGEST_VALUE or not _is_unicode(value):
            msg = f"{name}: text of at most {_LONGEST_VALUE} characters."
            raise ValueError(msg)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
