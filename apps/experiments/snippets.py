"""A specification as people keep it: YAML for a file, a command line, a few lines of Python."""

import pprint
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

_FLAGS = ("name", "kind", "timeout", "grace", "retries", "priority", "project", "team", "visibility")
_ORDER = ("name", "kind", "command", "code", "resources", "env", "timeout", "grace", "retries", "priority")
_FOLDER = "."


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
    """Write the `fathom run` line that asks for the same; uploaded code becomes a folder, which the line has to name."""
    words = ["fathom", "run"]
    for flag in _FLAGS:
        if document.get(flag) is not None:
            words += [f"--{flag}", str(document[flag])]
    for resource, amount in document.get("resources", {}).items():
        words += [f"--{resource}", str(amount)]
    for flag, field in (("--env", "env"), ("--tag", "tags")):
        for key, value in document.get(field, {}).items():
            words += [flag, f"{key}={value}"]
    if document.get("code"):
        words += ["--code", folder]
    if name := document.get("cluster", {}).get("name"):
        words += ["--cluster", name]
    return _folded([*words, "--", *_command(document)])


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
    return f"import fathom\n\nspec = {spec}\n\nwith fathom.Client() as client:\n    experiment = client.experiments.create(spec)\n"


def _ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    known = [key for key in _ORDER if key in document]
    return {key: document[key] for key in [*known, *(key for key in document if key not in _ORDER)]}


def _folded(words: list[str]) -> str:
    """Break before each option, so that a long line can be read."""
    lines: list[str] = []
    line = ""
    for word in map(shlex.quote, words):
        if word.startswith("--") and len(line) > 40:  # noqa: PLR2004 -- a readable length
            lines.append(line)
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
    return " \\\n".join([*lines, line])
