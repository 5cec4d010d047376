"""A conda environment.yml, as far as it says what pip understands, too."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from apps.environments.requirements import read_lines

_CONDA = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")


@dataclass(frozen=True, slots=True)
class File:
    """What a file says of an environment."""

    packages: list[str] = field(default_factory=list)
    python: str = ""
    variables: dict[str, Any] = field(default_factory=dict)


def read_conda(text: str) -> File:
    try:
        told = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"not YAML: {str(error).splitlines()[0]}"
        raise ValueError(msg) from error
    dependencies = told.get("dependencies") if isinstance(told, dict) else None
    if not isinstance(dependencies, list) or set(told) - {"name", "channels", "dependencies", "variables", "prefix"}:
        msg = "an environment.yml has name, channels, dependencies and variables, and its dependencies are a list"
        raise ValueError(msg)
    found = File(variables=_texts(told.get("variables") or {}))
    python = ""
    for entry in dependencies:
        if isinstance(entry, dict):
            found.packages.extend(_pip_section(entry))
        elif (line := _conda_line(entry)).startswith("python "):
            python = line.removeprefix("python ")
        elif line:
            found.packages.append(line)
    return File(found.packages, python, found.variables)


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
    return read_lines(lines, "pip entry")


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
    return read_lines([f"{name}{version}"], "dependency")[0]
