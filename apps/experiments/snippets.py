"""A specification as people keep it: YAML for a file, a command line, a few lines of Python."""

import pprint
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

_FLAGS = ("name", "kind", "environment", "timeout", "grace", "retries", "priority", "project", "team", "visibility")
_ORDER = (
    "name",
    "kind",
    "command",
    "code",
    "environment",
    "resources",
    "env",
    "credentials",
    "timeout",
    "grace",
    "retries",
    "priority",
)
_FOLDER = "."
_WIDTH = 60  # longer lines are broken before each option


class _Dumper(yaml.SafeDumper):
    """Several lines of text stand as a block, not as one line full of escapes."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(document: Mapping[str, Any]) -> str:
    """Write a spec file for `fathom run -f`."""
    text: str = yaml.dump(
        _ordered(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False
    )
    return text


def as_cli(document: Mapping[str, Any], folder: str = _FOLDER) -> str:
    """Write the `fathom run` line that asks for the same; for uploaded code it names a folder."""
    options: list[tuple[str, ...]] = [
        (f"--{flag}", str(document[flag])) for flag in _FLAGS if document.get(flag) is not None
    ]
    options += [(f"--{resource}", str(amount)) for resource, amount in document.get("resources", {}).items()]
    for flag, field in (("--env", "env"), ("--tag", "tags")):
        options += [(flag, f"{key}={value}") for key, value in document.get(field, {}).items()]
    for entry in document.get("credentials", ()):
        options.append(("--credential", f"{entry['name']}:{entry['as']}" if "as" in entry else entry["name"]))
    options += _code(document.get("code") or {}, folder)
    if name := document.get("cluster", {}).get("name"):
        options.append(("--cluster", name))
    parts = ["fathom run", *map(shlex.join, options), f"-- {shlex.join(_command(document))}"]
    line = " ".join(parts)
    return line if len(line) <= _WIDTH else " \\\n  ".join(parts)


def _code(code: Mapping[str, Any], folder: str) -> list[tuple[str, ...]]:
    if git := code.get("git"):
        flags = {"--git": "url", "--ref": "ref", "--subfolder": "subfolder", "--code-credential": "credential"}
        options: list[tuple[str, ...]] = [(flag, git[name]) for flag, name in flags.items() if git.get(name)]
        return [*options, *([("--submodules",)] if git.get("submodules") else [])]
    if archive := code.get("archive"):
        named = [("--code-credential", code["credential"])] if code.get("credential") else []
        return [("--archive", archive), *named]
    return [("--code", folder)] if code else []


def _command(document: Mapping[str, Any]) -> list[str]:
    """Return the words after `--`; a shell line stays one word, which the CLI hands to a shell."""
    command = document.get("command", "")
    if isinstance(command, list):
        return command
    try:
        return shlex.split(command) if document.get("kind") == "python" else [command]
    except ValueError:
        return [command]


def as_python(document: Mapping[str, Any]) -> str:
    """Write the SDK call that asks for the same."""
    spec = pprint.pformat(_ordered(document), sort_dicts=False, width=88)
    call = "with fathom.Client() as client:\n    experiment = client.experiments.create(spec)"
    return f"import fathom\n\nspec = {spec}\n\n{call}\n"


def _ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    known = [key for key in _ORDER if key in document]
    return {key: document[key] for key in [*known, *(key for key in document if key not in _ORDER)]}
