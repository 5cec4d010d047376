"""`fathom env`: the packages work runs with, locked by version."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from fathom.cli import exits
from fathom.cli.output import ago, chip, clean, emit, facts, output_option, size, table
from fathom.cli.state import State, pass_state, short
from fathom.cli.submit import pairs
from fathom.models.environments import Environment, EnvironmentBuild, EnvironmentVersion

VISIBILITIES = click.Choice(["private", "team", "organization", "public"])
reference_argument = click.argument("reference", metavar="NAME[@VERSION]")
name_argument = click.argument("name")
file_option = click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A requirements.txt or a conda environment.yml.",
)
python_option = click.option("--python", help="Its version, 3.11; default: the cluster's own.")
env_option = click.option("--env", "env", multiple=True, metavar="K=V", help="A variable for jobs; repeatable.")
r_option = click.option("--r-package", "r_packages", multiple=True, metavar="NAME", help="Repeatable.")
image_option = click.option("--image", help="Base image, for clusters that run containers.")


@click.group()
def env() -> None:
    """Environments. NAME is a name or an id; without a VERSION the newest is meant."""


@env.command("list")
@click.option("--name", "q", help="Its name contains this.")
@click.option("--team")
@click.option("--shared", is_flag=True, help="Only what was shared with you.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@output_option
@pass_state
def list_environments(state: State, /, limit: int, output: str, **filters: Any) -> None:
    """List the environments you may see, newest first."""
    found = state.client.environments.list(**filters).first(limit)
    headers = ["ID", "NAME", "VERSION", "TEAM", "OWNER", "CHANGED"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_row(item) for item in found], right=(2,)))


@env.command("create")
@name_argument
@file_option
@python_option
@env_option
@r_option
@image_option
@click.option("--team", help="The team it belongs to; without one it is your own.")
@click.option("--visibility", type=VISIBILITIES)
@click.option("--description")
@output_option
@pass_state
def create_environment(state: State, /, name: str, output: str, **options: Any) -> None:
    """Make an environment with its first version."""
    made = state.client.environments.create(name, **_contents(options))
    emit(output, made.raw, lambda: f"{clean(made.name)}@{made.newest_number}")


@env.command("add")
@name_argument
@file_option
@python_option
@env_option
@r_option
@image_option
@output_option
@pass_state
def add_version(state: State, /, name: str, output: str, **options: Any) -> None:
    """Make the next version; those that are there stay as they are."""
    made = state.client.environments.add(_find(state, name).id, **_contents(options))
    emit(output, made.raw, lambda: clean(made.name))


@env.command("show")
@reference_argument
@output_option
@pass_state
def show_version(state: State, reference: str, output: str) -> None:
    """Show a version: what it is made of, where it has been built."""
    environment, number = _meant(state, reference)
    found = state.client.environments.version(environment.id, number)
    emit(output, found.raw, lambda: _facts(environment, found))


@env.command("versions")
@name_argument
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@output_option
@pass_state
def list_versions(state: State, name: str, limit: int, output: str) -> None:
    """List the versions of an environment, newest first."""
    found = state.client.environments.versions(_find(state, name).id).first(limit)
    headers = ["VERSION", "PYTHON", "PACKAGES", "BUILT", "BY", "MADE"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_version_row(item) for item in found]))


@env.command("update")
@name_argument
@click.option("--name", "new_name")
@click.option("--description")
@click.option("--visibility", type=VISIBILITIES)
@output_option
@pass_state
def update_environment(state: State, /, name: str, new_name: str | None, output: str, **changes: Any) -> None:
    """Change name, description or visibility."""
    given = {key: value for key, value in {"name": new_name, **changes}.items() if value is not None}
    found = state.client.environments.update(_find(state, name).id, **given)
    emit(output, found.raw, lambda: clean(found.name))


@env.command("delete")
@name_argument
@click.option("--reason", default="", help="Kept in the history.")
@pass_state
def delete_environment(state: State, name: str, reason: str) -> None:
    """Take an environment out of sight; what ran in it can be run again."""
    state.client.environments.delete(_find(state, name).id, reason=reason)
    click.echo(f"Deleted {name}.")


@env.command("build")
@reference_argument
@click.option("--cluster", default="", help="Where; default: where work would go.")
@click.option("--detach", "-d", is_flag=True, help="Do not wait for its end.")
@output_option
@pass_state
def build_version(state: State, reference: str, cluster: str, detach: bool, output: str) -> int:  # noqa: FBT001 -- a flag
    """Build a version now, or again where that failed, and wait for its end. Fails when the build does."""
    environment, number = _meant(state, reference)
    client = state.client.environments
    build = client.build(environment.id, number, cluster=cluster)
    if not detach:
        build = client.wait(environment.id, number, build.cluster)
    emit(output, build.raw, lambda: _build_line(build))
    return exits.FAILED if build.state == "failed" else exits.OK


@env.command("log")
@reference_argument
@click.option("--cluster", required=True, help="The name of the cluster it was built on.")
@click.option("--lock", is_flag=True, help="The lock, with every package's hashes, in place of the log.")
@output_option
@pass_state
def show_log(state: State, reference: str, cluster: str, lock: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """Show what the tools of a build said."""
    environment, number = _meant(state, reference)
    build = state.client.environments.build_of(environment.id, number, cluster)
    emit(output, build.raw, lambda: build.lock if lock else build.log)


def _find(state: State, name: str) -> Environment:
    try:
        return state.client.environments.get(str(UUID(name)))
    except ValueError:
        return state.client.environments.find(name)


def _meant(state: State, reference: str) -> tuple[Environment, str]:
    name, _, number = reference.partition("@")
    return _find(state, name), number or "latest"


def _contents(options: dict[str, Any]) -> dict[str, Any]:
    """Turn options into what a version is made of; what was not given is left out."""
    file, variables = options.pop("file"), pairs(options.pop("env"))
    r_packages = list(options.pop("r_packages"))
    packages = file.read_text(encoding="utf-8") if file else None
    return {**options, "packages": packages, "variables": variables or None, "r_packages": r_packages or None}


def _row(item: Environment) -> Sequence[str]:
    number = str(item.newest_number)
    return (short(item.id), clean(item.name), number, item.team or "", item.owner, ago(item.updated_at))


def _version_row(item: EnvironmentVersion) -> Sequence[str]:
    built = ", ".join(f"{build.cluster}: {build.state}" for build in item.builds)
    packages = clean(", ".join(item.packages))
    return (str(item.number), item.python, packages, built, item.created_by, ago(item.created_at))


def _facts(environment: Environment, version: EnvironmentVersion) -> str:
    lines: list[tuple[str, str]] = [
        ("environment", clean(version.name)),
        ("id", version.environment_id),
        ("owner", environment.owner),
        ("team", environment.team or ""),
        ("visibility", environment.visibility),
        ("python", version.python or "the cluster's own"),
        ("image", clean(version.image)),
        ("packages", clean(", ".join(version.packages)) or "none"),
        ("R packages", clean(", ".join(version.r_packages))),
        ("variables", clean(", ".join(f"{key}={value}" for key, value in version.variables.items()))),
        ("made", f"{ago(version.created_at)} by {version.created_by}"),
        *((f"on {build.cluster}", _build_line(build)) for build in version.builds),
    ]
    return facts(lines)


def _build_line(build: EnvironmentBuild) -> str:
    said = [chip(build.state), size(build.size_bytes) if build.size_bytes else "", clean(build.message)]
    return "  ".join(part for part in said if part)


COMMANDS = {"env": env}
