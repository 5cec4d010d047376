"""What an environment may be made of: one reading of packages, images and variables for every door."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.core.errors import Invalid
from apps.environments.conda import File, read_conda
from apps.environments.requirements import read_lines

MOST_TEXT = 100_000
MOST_PACKAGES = 500
MOST_VARIABLES = 200
_LONGEST_VALUE = 32_768
_PYTHON = re.compile(r"3\.\d{1,2}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_R_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]{1,99}")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,499}")
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
    told = _attempt(problems, "packages", lambda: _read_packages(packages)) or File()
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


def _attempt(problems: dict[str, list[str]], name: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ValueError as error:
        problems.setdefault(name, []).append(str(error))
        return None


def _read_packages(text: str) -> File:
    if "\x00" in text or len(text) > MOST_TEXT:
        msg = f"Text of at most {MOST_TEXT} characters."
        raise ValueError(msg)
    found = read_conda(text) if _IS_CONDA.search(text) else File(read_lines(text.splitlines()))
    if len(found.packages) > MOST_PACKAGES:
        msg = f"At most {MOST_PACKAGES} packages."
        raise ValueError(msg)
    return found


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
