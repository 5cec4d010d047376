"""Finding and managing experiments."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from fathom.cli import exits
from fathom.cli.output import ago, chip, clean, duration, emit, facts, mapping, output_option, table
from fathom.cli.state import State, pass_state, short
from fathom.models import Experiment, Source

STATES = ("queued", "starting", "running", "stopping", "succeeded", "failed", "stopped", "lost")
ids_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True)
id_argument = click.argument("id_", metavar="ID")


@click.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Repeatable.")
@click.option("--kind")
@click.option("--project", help="Its name or id.")
@click.option("--team")
@click.option("--owner")
@click.option("--mine", is_flag=True, help="Only your own.")
@click.option("--shared", is_flag=True, help="Only what was shared with you.")
@click.option("--name", "q", help="Its name contains this.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Repeatable.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@output_option
@pass_state
def list_(
    state: State,
    /,
    limit: int,
    everything: bool,  # noqa: FBT001 -- a flag
    mine: bool,  # noqa: FBT001 -- a flag
    output: str,
    **filters: Any,
) -> None:
    """List experiments, newest first."""
    owner = state.client.me().username if mine else filters["owner"]
    listing = state.client.experiments.list(
        state=list(filters["states"]),
        kind=filters["kind"],
        project=filters["project"],
        team=filters["team"],
        owner=owner,
        q=filters["q"],
        tag=list(filters["tags"]),
        shared=filters["shared"],
    )
    found = list(listing) if everything else listing.first(limit)
    headers = ["ID", "NAME", "STATE", "PROJECT", "OWNER", "CREATED", "DURATION", "WHY"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_row(item) for item in found], right=(6,)))
    if not found and output == "table":
        click.echo("No experiments. Submit one with: fathom run -- COMMAND", err=True)


@click.command()
@id_argument
@output_option
@pass_state
def show(state: State, id_: str, output: str) -> None:
    """Show an experiment: state, reason, spec and last metrics."""
    experiment = state.client.experiments.get(state.experiment_id(id_))
    emit(output, experiment.raw, lambda: _describe(state, experiment))


@click.command()
@id_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends; then exit with the job's exit code.")
@click.option("--attempt", type=click.IntRange(1), help="Of this attempt instead of the newest.")
@click.option("--save", type=click.Path(dir_okay=False), help="Write the whole log into a file instead.")
@pass_state
def logs(state: State, id_: str, follow: bool, attempt: int | None, save: str | None) -> int:  # noqa: FBT001 -- a flag
    """Print the log of an experiment."""
    full = state.experiment_id(id_)
    if save:
        state.client.experiments.download_log(full, save, attempt=attempt)
        return exits.OK
    if follow:
        from fathom.cli.live import follow as follow_live  # noqa: PLC0415 -- only who watches pays
        from fathom.cli.live import job_exit_code  # noqa: PLC0415 -- the same

        return job_exit_code(follow_live(state.client, state.client.experiments.get(full), attempt=attempt))
    for text in state.client.experiments.logs(full, attempt=attempt):
        sys.stdout.write(text)
    return exits.OK


@click.command()
@ids_argument
@click.option("--reason", default="", help="Kept with the event.")
@click.option("--wait", "wait_", is_flag=True, help="Return only when they have ended.")
@output_option
@pass_state
def stop(state: State, ids: Sequence[str], reason: str, wait_: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """Stop experiments. Their logs, metrics and artifacts stay."""
    stopped = []
    for given in ids:
        experiment = state.client.experiments.stop(state.experiment_id(given), reason=reason)
        stopped.append(state.client.experiments.wait(experiment.id) if wait_ else experiment)
    _report(stopped, output)


@click.command()
@ids_argument
@output_option
@pass_state
def retry(state: State, ids: Sequence[str], output: str) -> None:
    """Start ended experiments again, as a new attempt of each."""
    _report([state.client.experiments.retry(state.experiment_id(given)) for given in ids], output)


@click.command()
@id_argument
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: resources.cpu=2.")
@click.option("--detach", "-d", is_flag=True, help="Do not follow; print the id and return.")
@output_option
@pass_state
def clone(state: State, id_: str, changes: Sequence[str], detach: bool, output: str) -> int:  # noqa: FBT001 -- a flag
    """Submit the same spec again, changed where you say."""
    from fathom.cli.submit import watch  # noqa: PLC0415 -- only here

    full = state.experiment_id(id_)
    changed = overrides(changes, state.client.experiments.get(full).spec if changes else {})
    made = state.client.experiments.clone(full, overrides=changed)
    if detach or output != "table":
        emit(output, made.raw, lambda: made.id)
        return exits.OK
    click.echo(f"Submitted {clean(made.name)}  {made.id}", err=True)
    return watch(state, made)


@click.command()
@ids_argument
@pass_state
def delete(state: State, ids: Sequence[str]) -> None:
    """Archive ended experiments: they leave every list."""
    for given in ids:
        full = state.experiment_id(given)
        state.client.experiments.delete(full)
        click.echo(f"Deleted {full}.")


@click.command()
@id_argument
@click.option("--attempts", "by_attempt", is_flag=True, help="A line per attempt instead.")
@output_option
@pass_state
def events(state: State, id_: str, by_attempt: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """Show what happened to an experiment, by whom and why."""
    full = state.experiment_id(id_)
    if by_attempt:
        tries = list(state.client.experiments.attempts(full))
        rows = [
            [
                str(item.number),
                chip(item.verdict) if item.verdict else "",
                clean(item.exit_code),
                clean(item.started_at),
                "" if item.cpu_seconds is None else f"{item.cpu_seconds:.1f} s",
                "" if item.peak_memory_bytes is None else f"{item.peak_memory_bytes / (1 << 30):.2f} GiB",
                clean(item.message, 80),
            ]
            for item in tries
        ]
        headers = ["ATTEMPT", "VERDICT", "EXIT", "STARTED", "CPU", "MEMORY", "WHY"]
        emit(output, [item.raw for item in tries], lambda: table(headers, rows))
        return
    found = list(state.client.experiments.events(full))
    rows = [
        [
            item.at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if item.at else "",
            str(item.attempt),
            chip(item.to_state),
            clean(item.actor),
            clean(item.reason),
            clean(item.message, 100),
        ]
        for item in found
    ]
    headers = ["WHEN", "ATTEMPT", "STATE", "BY", "REASON", "MESSAGE"]
    emit(output, [item.raw for item in found], lambda: table(headers, rows))


@click.command()
@ids_argument
@click.option("--timeout", type=click.FloatRange(0), help="Give up after so many seconds (exit code 124).")
@output_option
@pass_state
def wait(state: State, ids: Sequence[str], timeout: float | None, output: str) -> int:
    """Return when all have ended; exit with the first exit code that is not 0."""
    from fathom.cli.live import job_exit_code  # noqa: PLC0415 -- only here

    ended = [state.client.experiments.wait(state.experiment_id(given), timeout=timeout) for given in ids]
    _report(ended, output)
    return next((code for item in ended if (code := job_exit_code(item))), exits.OK)


def overrides(changes: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
    """`a.b=1` arguments as whole fields of the spec: `resources.cpu=2` keeps its memory.

    Values are YAML, so numbers and lists can be given. Raises: UsageError.
    """
    import yaml  # noqa: PLC0415 -- only here

    result: dict[str, Any] = {}
    for item in changes:
        field, separator, value = item.partition("=")
        if not separator or not field:
            message = f"{item!r} should look like FIELD=VALUE."
            raise click.UsageError(message)
        top, _, inner = field.partition(".")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value
        if inner:
            whole = result.setdefault(top, dict(spec.get(top) or {}))
            whole[inner] = parsed
        else:
            result[top] = parsed
    return result


def _row(item: Experiment) -> list[str]:
    return [
        short(item.id),
        clean(item.name, 40),
        chip(item.state),
        clean(item.project.name, 24),
        clean(item.owner, 20),
        ago(item.created_at),
        duration(item.duration_seconds),
        clean(item.message, 60) if item.state != "succeeded" else "",
    ]


def _describe(state: State, item: Experiment) -> str:
    from fathom.cli.live import metrics_table  # noqa: PLC0415 -- only here
    from fathom.errors import ApiError  # noqa: PLC0415 -- only here

    command = item.spec.get("command")
    resources = item.spec.get("resources") or {}
    head = facts(
        [
            ("id", item.id),
            ("name", clean(item.name)),
            ("state", chip(item.state)),
            ("why", clean(item.message)),
            ("command", clean(" ".join(command) if isinstance(command, list) else command, 120)),
            ("kind", clean(item.kind)),
            ("code", clean(_code(item.source)) if item.source else ""),
            ("project", clean(item.project.name)),
            ("owner", clean(item.owner) + (f" (team {clean(item.team)})" if item.team else "")),
            ("visibility", clean(item.visibility)),
            ("resources", mapping(resources)),
            ("cluster", clean(item.cluster)),
            ("attempt", str(item.attempt or "")),
            ("exit code", "" if item.exit_code is None else str(item.exit_code)),
            ("created", f"{item.created_at:%Y-%m-%d %H:%M:%S} UTC ({ago(item.created_at)})" if item.created_at else ""),
            ("duration", duration(item.duration_seconds)),
            ("tags", mapping(item.tags)),
            ("url", clean(item.url)),
        ]
    )
    try:
        metrics = metrics_table(state.client.runs.get(item.id))
    except ApiError:
        metrics = ""
    return f"{head}\n\n{metrics}" if metrics else head


def _code(source: Source) -> str:
    """Where its code comes from, and which commit that was; how far it is as long as that is not known."""
    if source.state != "ready":
        return f"{source.url} ({source.state}{f': {source.message}' if source.message else ''})"
    if not source.commit:
        return f"{source.url} (sha256:{source.sha256[:12]})"
    branch = f"{source.branch}, " if source.branch else ""
    return f"{source.url} ({branch}{source.commit}{', with changes' if source.is_dirty else ''})"


def _report(items: Sequence[Experiment], output: str) -> None:
    rows = [[short(item.id), clean(item.name, 40), chip(item.state), clean(item.message, 80)] for item in items]
    data = items[0].raw if len(items) == 1 else [item.raw for item in items]
    emit(output, data, lambda: table(["ID", "NAME", "STATE", "WHY"], rows))


COMMANDS = {
    "clone": clone,
    "delete": delete,
    "events": events,
    "list": list_,
    "logs": logs,
    "retry": retry,
    "show": show,
    "stop": stop,
    "wait": wait,
}
