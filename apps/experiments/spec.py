"""The specification a user writes: one JSON Schema for API, CLI and form, and its exact meaning."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators

from apps.core.errors import Invalid
from apps.experiments.units import duration, quantity
from apps.sources import services as sources
from apps.sources.services import Wanted

DEFAULT_MEMORY = "1Gi"
_LONGEST_GRACE = 300


@dataclass(frozen=True, slots=True)
class Parsed:
    """A valid specification in base units. `document` is the user's own, with the defaults he did not write."""

    document: Mapping[str, Any]
    name: str
    kind: str
    command: tuple[str, ...]
    code_sha256: str
    source: Wanted | None
    cpu_milli: int
    memory_bytes: int
    gpu_milli: int
    disk_bytes: int
    timeout_seconds: int | None
    grace_seconds: int

    @property
    def gpu_model(self) -> str:
        return str(self.document.get("resources", {}).get("gpu_model", ""))

    @property
    def other(self) -> dict[str, int]:
        """What else is limited, by name: JSON knows no integers, 2.0 is one."""
        asked = self.document.get("resources", {}).get("other", {})
        return {name: int(amount) for name, amount in asked.items()}

    def get(self, key: str, default: Any = None) -> Any:
        return self.document.get(key, default)


@cache
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "spec_schema.json").read_text())
    return loaded


@cache
def _validator() -> Any:
    return validators.extend(  # type: ignore[no-untyped-call]  # not typed upstream
        Draft202012Validator, {"pattern": _pattern}
    )(schema())


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """Judge a `pattern` as JSON Schema means it: its `$` is the very end, Python's also matches before a last newline."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value[:100]!r} is not of the form {pattern}")


def parse(document: Any) -> Parsed:
    """Validate a specification. Unknown fields are refused. Raises: Invalid, with a sentence per field."""
    _check_shape(document)
    problems: dict[str, list[str]] = {}
    resources = document.get("resources", {})

    def exact(field: str, convert: Any) -> Any:
        try:
            return convert()
        except ValueError as error:
            problems.setdefault(field, []).append(str(error))

    values = {
        "command": exact("command", lambda: _command(document)),
        "cpu_milli": exact("resources.cpu", lambda: quantity(resources.get("cpu", 1), unit=1000)),
        "memory_bytes": exact("resources.memory", lambda: quantity(resources.get("memory", DEFAULT_MEMORY), unit=1)),
        "gpu_milli": exact("resources.gpu", lambda: quantity(resources.get("gpu", 0), unit=1000)),
        "disk_bytes": exact("resources.disk", lambda: quantity(resources.get("disk", 0), unit=1)),
        "timeout_seconds": exact("timeout", lambda: duration(document["timeout"])) if "timeout" in document else None,
        "grace_seconds": exact("grace", lambda: _grace(document.get("grace", 10))),
    }
    try:
        source = sources.read_wanted(document["code"]) if "code" in document else None
    except Invalid as error:
        problems |= error.errors
    if problems:
        raise Invalid(errors=problems)
    return Parsed(
        document=document,
        name=document.get("name") or _name_from(document["command"]),
        kind=document.get("kind", "shell"),
        code_sha256=document.get("code", {}).get("upload", "").removeprefix("sha256:"),
        source=source,
        **values,
    )


def _check_shape(document: Any) -> None:
    problems: dict[str, list[str]] = {}
    for error in _validator().iter_errors(document):
        field = ".".join(str(part) for part in error.absolute_path) or "spec"
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = set(error.schema.get("properties", {}))
            for name in sorted(set(error.instance) - known):
                where = f"{field}.{name}".removeprefix("spec.")
                problems.setdefault(where[:200], []).append("Unknown field.")
            continue
        problems.setdefault(field[:200], []).append(_sentence(error))
    if problems:
        raise Invalid(errors=problems)


def _sentence(error: Any) -> str:
    if error.validator == "required":
        return str(error.message).capitalize() + "."
    if error.validator == "enum":
        return f"One of {', '.join(map(str, error.validator_value))}."
    if error.schema.get("description"):
        return f"Expected: {error.schema['description']}"
    if error.schema == schema()["$defs"]["quantity"]:
        return "Not a quantity; write 2, 0.5, 500m, 512Mi or 4Gi."
    return str(error.message)[:300]


def _command(document: Mapping[str, Any]) -> tuple[str, ...]:
    command = document["command"]
    if isinstance(command, list):
        if not command[0]:
            msg = "the first word must not be empty"
            raise ValueError(msg)
        return tuple(command)
    if document.get("kind", "shell") == "shell":
        return ("/bin/sh", "-c", command)
    words = shlex.split(command)  # ValueError: "No closing quotation"
    if not words or not words[0]:
        msg = "there is no word in it" if not words else "the first word must not be empty"
        raise ValueError(msg)
    return tuple(words)


def _grace(value: str | float) -> int:
    seconds = duration(value)
    if seconds > _LONGEST_GRACE:
        msg = f"at most {_LONGEST_GRACE} seconds"
        raise ValueError(msg)
    return seconds


def _name_from(command: str | list[str]) -> str:
    words = command if isinstance(command, list) else command.split()
    text = re.sub(r"[\x00-\x1f]+", " ", " ".join(words)).strip()
    return (text[:57] + "…" if len(text) > 60 else text) or "unnamed"  # noqa: PLR2004 -- a readable length
