"""The interpreters on which environments can be built here."""

import json
import subprocess
from dataclasses import dataclass
from functools import lru_cache

_SECONDS = 20
_ASK = (
    "import json, sys, sysconfig; v = '.'.join(map(str, sys.version_info[:2]));"
    " print(json.dumps([v, f'{sys.implementation.name}-{v}-{sysconfig.get_platform()}']))"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`version` as people write it: "3.11". `platform` says for what a lock is made."""

    path: str
    version: str
    platform: str


@lru_cache(maxsize=64)
def interpreters(paths: tuple[str, ...]) -> dict[str, Interpreter]:
    """Return those that can be started, by version, the first of each version; asked once."""
    found: dict[str, Interpreter] = {}
    for path in paths:
        try:
            done = subprocess.run(  # noqa: S603 -- the operator names the interpreter
                [path, "-I", "-c", _ASK], capture_output=True, timeout=_SECONDS, check=True, cwd="/", env={}
            )
            version, platform = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        found.setdefault(version, Interpreter(path, version, platform))
    return found
