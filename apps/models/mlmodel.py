"""What a folder in MLflow's format says of itself: signature, flavours, environment. Read, never trusted, never loaded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from apps.models.files import Kept, read_small

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORMAT = "MLmodel"
_ENVIRONMENTS = ("requirements.txt", "conda.yaml", "python_env.yaml")
LONGEST_ENVIRONMENT = 100_000


@dataclass(frozen=True, slots=True)
class Learned:
    """What was read; empty where the files say nothing."""

    signature: Mapping[str, Any] | None = None
    flavors: Sequence[str] = field(default_factory=list)
    environment: str = ""


def learn(files: Sequence[Kept]) -> Learned:
    """Read `MLmodel` and the environment file beside it, where there are any. Never raises for what it cannot read."""
    named = {file.path: file for file in files if file.path == _FORMAT or file.path in _ENVIRONMENTS}
    found = next((named[name] for name in _ENVIRONMENTS if name in named), None)
    return _learn(named.get(_FORMAT), found)


@lru_cache(maxsize=512)
def _learn(described: Kept | None, packages: Kept | None) -> Learned:
    """Read the two files; what has the same hash says the same."""
    document = _document(read_small(described))
    environment = read_small(packages)
    flavors = document.get("flavors")
    return Learned(
        _signature(document.get("signature")),
        sorted(str(name)[:100] for name in flavors)[:50] if isinstance(flavors, dict) else [],
        environment.replace("\x00", "")[:LONGEST_ENVIRONMENT],
    )


def _document(text: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, Loader=_LOADER) if text else {}  # noqa: S506 -- a safe loader, the one in C where it is there
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _signature(given: Any) -> dict[str, Any] | None:
    """Return inputs, outputs and params as JSON; MLflow keeps each as JSON within YAML."""
    if not isinstance(given, dict):
        return None
    found = {}
    for name in ("inputs", "outputs", "params"):
        value = given.get(name)
        try:
            found[name] = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            found[name] = None
    return {name: value for name, value in found.items() if value} or None
