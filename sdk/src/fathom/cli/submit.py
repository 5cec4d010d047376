"""`fathom run`: submit an experiment and watch it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fathom.cli import exits
from fathom.cli.output import clean, emit, output_option, use_color
from fathom.cli.state import State, pass_state, short
from fathom.models import Experiment
from fathom.spec import GitCode, load_spec, local_code
from fathom.worktree import is_address

FLAGS = (
    "name", "kind", "environment", "timeout", "grace", "retries", "priority", "priority_class", "project", "team",
    "visibility",
)  # fmt: skip
RESOURCES = ("cpu", "memory", "gpu", "disk")


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-f", "--file", "file", type=click.Path(path_type=Path), help="A spec file, YAML or JSON.")
@click.option("--name", help="What to call it; by default made from the command.")
@click.option("--kind", help="shell or python.")
@click.option("--environment", metavar="NAME[@VERSION]", help="What it runs in; `fathom env list`.")
@click.option("--cpu", help="Cores: 2, 0.5 or 500m.")
@click.option("--memory", help="512Mi, 4Gi, or bytes.")
@click.option("--gpu", help="How many.")
@click.option("--gpu-model", help="Of which model: a100.")
@click.option("--disk", help="10Gi, or bytes.")
@click.option(
    "--resource",
    "other",
    multiple=True,
    metavar="NAME=N",
    help="So many of what else is limited: licenses=2. Repeatable.",
)
@click.option("--env", "env", multiple=True, metavar="K=V", help="An environment variable; repeatable.")
@click.option(
    "--credential", "credentials", multiple=True, metavar="NAME[:ALIAS]", help="A credential the job gets; repeatable."
)
@click.option("--timeout", help="At most so long: 30m, 1h30m, or seconds.")
@click.option("--grace", help="Between the polite and the hard stop: 10s.")
@click.option("--retries", type=int, help="Start again so many times when it fails.")
@click.option("--priority", type=int, help="Among your own work.")
@click.option("--priority-class", help="Among everybody's work; `fathom quota classes list`.")
@click.option("--project", help="Its name or id.")
@click.option("--team", help="The team it belongs to.")
@click.option("--visibility", help="private, team, organization or public.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Repeatable.")
@click.option("--code", type=click.Path(), help="A folder to send along; the job starts in it.")
@click.option("--git", metavar="PLACE", help="A repository: its address, or a folder here with its changes.")
@click.option("--ref", help="Of the repository: a branch, a tag or a whole commit.")
@click.option("--subfolder", help="Of the repository: the folder in which the job starts.")
@click.option("--submodules", is_flag=True, help="Of the repository: with its submodules.")
@click.option("--archive", metavar="ADDRESS", help="A .tar.gz or .zip: https://…, s3://bucket/key or hdfs://….")
@click.option("--code-credential", metavar="NAME", help="With which the platform fetches repository or archive.")
@click.option("--no-code", is_flag=True, help="Send no code, whatever the file says.")
@click.option("--cluster", help="The name of the cluster to run on.")
@click.option("--detach", "-d", is_flag=True, help="Do not follow; print the id and return.")
@output_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_state
def run(
    state: State,
    /,
    file: Path | None,
    command: Sequence[str],
    detach: bool,  # noqa: FBT001 -- a flag
    output: str,
    **options: Any,
) -> int:
    """Submit an experiment and follow its log: fathom run [OPTIONS] -- COMMAND...

    Options override the file. A COMMAND of several words is started as it is; a single quoted one goes through a shell.
    The log goes to standard output, the rest to standard error. Exits with the job's exit code. Ctrl-C detaches:
    the experiment goes on, and `fathom stop` ends it.
    """
    spec = build_spec(load_spec(file) if file else {}, command, options)
    _add_source(state, spec, options)
    if not spec.get("command"):
        message = "There is nothing to run: give a command after `--`, or a file with -f."
        raise click.UsageError(message)
    _hint_at_code(spec, command)
    experiment = state.client.experiments.create(spec)
    if detach or output != "table":
        emit(output, dict(experiment.raw), lambda: experiment.id)
        return exits.OK
    click.echo(f"Submitted {click.style(clean(experiment.name), bold=True)}  {experiment.id}", err=True)
    return watch(state, experiment)


def watch(state: State, experiment: Experiment) -> int:
    """Follow to the end, or until Ctrl-C. Returns the exit code."""
    from fathom.cli.live import conclude, follow  # noqa: PLC0415 -- only who watches pays

    try:
        return conclude(state.client, follow(state.client, experiment))
    except KeyboardInterrupt:
        hint = (
            f"\nDetached; {clean(experiment.name)} goes on.\n"
            f"  follow:  fathom logs -f {short(experiment.id)}\n"
            f"  stop:    fathom stop {short(experiment.id)}"
        )
        click.echo(hint, err=True, color=use_color(sys.stderr))
        return exits.INTERRUPTED


def build_spec(base: dict[str, Any], command: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """The file's spec with the options on top; maps (`env`, `tags`, `resources`) are merged."""
    spec = dict(base)
    if command:
        spec["command"] = command[0] if len(command) == 1 else list(command)
    spec.update({key: options[key] for key in FLAGS if options.get(key) is not None})
    resources: dict[str, Any] = {key: _number(options[key]) for key in RESOURCES if options.get(key) is not None}
    if options.get("gpu_model"):
        resources["gpu_model"] = options["gpu_model"]
    if options.get("other"):
        known = (spec.get("resources") or {}).get("other") or {}
        resources["other"] = {**known, **_counts(options["other"])}
    for field, added in (("resources", resources), ("env", pairs(options["env"])), ("tags", pairs(options["tags"]))):
        if added:
            spec[field] = {**(spec.get(field) or {}), **added}
    if options.get("credentials"):
        spec["credentials"] = [*(spec.get("credentials") or []), *map(_credential, options["credentials"])]
    if options.get("cluster"):
        spec["cluster"] = {"name": options["cluster"]}
    if options.get("no_code"):
        spec.pop("code", None)
    if options.get("code"):
        spec["code"] = {"upload": str(Path(options["code"]).absolute())}
    return spec


def _add_source(state: State, spec: dict[str, Any], options: dict[str, Any]) -> None:
    """Put a repository or an archive into the spec; of a folder here what was changed in it is sent first."""
    git, archive, credential = options.get("git"), options.get("archive"), options.get("code_credential")
    of_git = {name: options[name] for name in ("ref", "subfolder", "submodules") if options.get(name)}
    if sum(bool(options.get(name)) for name in ("code", "git", "archive")) > 1:
        message = "Only one of --code, --git and --archive."
        raise click.UsageError(message)
    if archive:
        spec["code"] = {"archive": archive, **({"credential": credential} if credential else {})}
    elif git and is_address(git):
        spec["code"] = {"git": {"url": git, **of_git, **({"credential": credential} if credential else {})}}
    elif git:
        if "ref" in of_git:
            message = "--ref is for the address of a repository; a folder here has its own commit."
            raise click.UsageError(message)
        code = state.client.code.from_git(git, credential=credential or "", submodules=bool(options.get("submodules")))
        spec["code"] = {"git": {**code, **of_git}}
        _tell_of_changes(code)
    if (of_git and not git) or (credential and not (git or archive)):
        message = "--ref, --subfolder, --submodules and --code-credential go with --git or --archive."
        raise click.UsageError(message)


def _tell_of_changes(code: GitCode) -> None:
    changed = ", with what you changed on top" if "patch" in code else ""
    click.echo(f"Code: {clean(code['url'])} at {code['ref'][:12]}{changed}", err=True)


def _credential(text: str) -> dict[str, str]:
    name, _, alias = text.partition(":")
    return {"name": name, "as": alias} if alias else {"name": name}


def pairs(given: Sequence[str]) -> dict[str, str]:
    """`K=V` arguments as a mapping. Raises: UsageError for one without `=`."""
    result = {}
    for item in given:
        key, separator, value = item.partition("=")
        if not separator or not key:
            message = f"{item!r} should look like NAME=VALUE."
            raise click.UsageError(message)
        result[key] = value
    return result


def _counts(given: Sequence[str]) -> dict[str, int]:
    """`NAME=N` arguments as whole numbers. Raises: UsageError."""
    found = {}
    for name, text in pairs(given).items():
        if not (text.isascii() and text.isdigit()):
            message = f"{name}={text} should be a whole number: {name}=2."
            raise click.UsageError(message)
        found[name] = int(text)
    return found


def _number(text: str) -> int | str:
    """Whole numbers as numbers, quantities with a unit as they are written."""
    return int(text) if text.isascii() and text.isdigit() else text


def _hint_at_code(spec: dict[str, Any], command: Sequence[str]) -> None:
    """A command that names a file from here will not find it in the job unless the folder is sent along."""
    if spec.get("code") or local_code(spec):
        return
    local = next((word for word in command if word.endswith((".py", ".sh")) and Path(word).is_file()), None)
    if local and not Path(local).is_absolute():
        click.echo(f"Hint: {local} is a file here; send this folder along with --code .", err=True)


COMMANDS = {"run": run}
