"""What concerns this machine: syncing offline files, shell completion, the version."""

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from fathom.cli.output import clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state, short
from fathom.version import VERSION


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=Path("fathom-offline"))
@output_option
@pass_state
def sync(state: State, path: Path, output: str) -> int:
    """Upload what was tracked without a platform: a file, or all files in a folder (by default fathom-offline).

    It may be repeated: what has arrived is not sent again.
    """
    from fathom.syncing import spool_files, sync_file  # noqa: PLC0415 -- only here

    done = [sync_file(state.client, file) for file in spool_files(path)]
    rows = [
        [clean(item.path.name), short(item.run_id), str(item.batches), str(item.artifacts), _remark(item.incomplete)]
        for item in done
    ]
    data = [
        {
            "path": str(item.path),
            "run": item.run_id,
            "batches": item.batches,
            "artifacts": item.artifacts,
            "refused": list(item.refused),
            "incomplete": item.incomplete,
        }
        for item in done
    ]
    emit(output, data, lambda: table(["FILE", "RUN", "BATCHES", "ARTIFACTS", ""], rows, right=(2, 3)))
    refused = [(item.path, why) for item in done for why in item.refused]
    for file, why in refused:
        click.echo(f"{file}: the platform refused a record: {clean(why)}", err=True)
    return 1 if refused else 0


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's completion script: eval "$(fathom completion bash)"."""
    from fathom.cli import cli  # noqa: PLC0415 -- the group knows its commands by name only

    kind = get_completion_class(shell)
    if kind is None:
        message = f"No completion is known for {shell}."
        raise click.UsageError(message)
    click.echo(kind(cli, {}, "fathom", "_FATHOM_COMPLETE").source())


@click.command()
@output_option
def version(output: str) -> None:
    """Show the version of this tool."""
    python = sys.version.split()[0]
    data = {"fathom": VERSION, "python": python}
    emit(output, data, lambda: facts([("fathom", VERSION), ("python", python)]))


def _remark(incomplete: bool) -> str:  # noqa: FBT001 -- private
    return "the last line was cut off" if incomplete else ""


COMMANDS = {"completion": completion, "sync": sync, "version": version}
