"""What was tracked: runs, metrics, artifacts."""

from collections.abc import Sequence
from pathlib import Path

import click

from fathom.cli.output import ago, chip, clean, emit, facts, mapping, number, output_option, size, table
from fathom.cli.state import State, pass_state, short
from fathom.models import MetricSeries, Run

id_argument = click.argument("id_", metavar="ID")


@click.group()
def runs() -> None:
    """What experiments, notebooks and scripts have tracked."""


@runs.command("list")
@click.option("--project", help="Its name or id.")
@click.option("--name", "q", help="Its name contains this.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@output_option
@pass_state
def list_runs(
    state: State,
    project: str | None,
    q: str | None,
    limit: int,
    everything: bool,  # noqa: FBT001 -- a flag
    output: str,
) -> None:
    """List runs, newest first."""
    listing = state.client.runs.list(project=project, q=q)
    found = list(listing) if everything else listing.first(limit)
    rows = [_run_row(item) for item in found]
    headers = ["ID", "NAME", "STATUS", "PROJECT", "OWNER", "CREATED", "METRICS"]
    emit(output, [item.raw for item in found], lambda: table(headers, rows))


@runs.command("show")
@id_argument
@output_option
@pass_state
def show_run(state: State, id_: str, output: str) -> None:
    """Show a run: parameters, tags, last metrics."""
    run = state.client.runs.get(state.run_id(id_))
    emit(output, run.raw, lambda: _describe(run))


@runs.command("create")
@click.option("--project", default="default", show_default=True)
@click.option("--name")
@output_option
@pass_state
def create_run(state: State, project: str, name: str | None, output: str) -> None:
    """Begin a run that no job stands behind; prints its id."""
    run = state.client.runs.create(project=project, name=name)
    emit(output, run.raw, lambda: run.id)


@runs.command("log")
@id_argument
@click.option("--metric", "metrics", multiple=True, metavar="K=NUMBER", help="Repeatable.")
@click.option("--step", type=int, help="The step of the metrics.")
@click.option("--param", "params", multiple=True, metavar="K=V", help="Repeatable.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Repeatable.")
@pass_state
def log_to_run(
    state: State, id_: str, metrics: Sequence[str], step: int | None, params: Sequence[str], tags: Sequence[str]
) -> None:
    """Add metrics, parameters and tags to a run."""
    from fathom.cli.submit import pairs  # noqa: PLC0415 -- only here
    from fathom.records import wire_float  # noqa: PLC0415 -- only here

    points = []
    for key, text in pairs(metrics).items():
        try:
            point: dict[str, object] = {"key": key, "value": wire_float(float(text))}
        except ValueError:
            message = f"the metric {key} needs a number, not {text!r}."
            raise click.UsageError(message) from None
        points.append({**point, "step": step} if step is not None else point)
    batch = {"metrics": points, "params": pairs(params), "tags": pairs(tags)}
    state.client.runs.log_batch(state.run_id(id_), batch)


@runs.command("finish")
@id_argument
@click.option("--status", type=click.Choice(["finished", "failed", "killed"]), default="finished", show_default=True)
@pass_state
def finish_run(state: State, id_: str, status: str) -> None:
    """End a run that no job stands behind."""
    state.client.runs.finish(state.run_id(id_), status=status)


@runs.command("delete")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@pass_state
def delete_runs(state: State, ids: Sequence[str]) -> None:
    """Delete runs."""
    for given in ids:
        full = state.run_id(given)
        state.client.runs.delete(full)
        click.echo(f"Deleted {full}.")


@click.command()
@id_argument
@click.option("--key", "keys", multiple=True, help="Print this metric's points; repeatable.")
@click.option("--points", type=click.IntRange(1), default=1000, show_default=True, help="At most so many a metric.")
@output_option
@pass_state
def metrics(state: State, id_: str, keys: Sequence[str], points: int, output: str) -> None:
    """Show the metrics of an experiment or run: their last values, or with --key the curves."""
    full = state.run_id(id_)
    if keys or output != "table":
        series = state.client.runs.metrics(full, keys=keys, points=points)
        emit(output, [item.raw for item in series], lambda: _points_table(series))
        return
    from fathom.cli.live import metrics_table  # noqa: PLC0415 -- only here

    click.echo(metrics_table(state.client.runs.get(full)) or "Nothing was tracked.")


@click.group()
def artifacts() -> None:
    """Files that an experiment or run left."""


@artifacts.command("list")
@id_argument
@click.argument("folder", required=False, default="")
@output_option
@pass_state
def list_artifacts(state: State, id_: str, folder: str, output: str) -> None:
    """List all files, or those below a folder."""
    found = list(state.client.runs.walk_artifacts(state.run_id(id_), folder=folder))
    rows = [[clean(item.path), size(item.size_bytes), clean(item.content_type), ago(item.created_at)] for item in found]
    headers = ["PATH", "SIZE", "TYPE", "CREATED"]
    emit(output, [item.raw for item in found], lambda: table(headers, rows, right=(1,)))


@artifacts.command("get")
@id_argument
@click.argument("paths", nargs=-1)
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder to write to.")
@pass_state
def get_artifacts(state: State, id_: str, paths: Sequence[str], to: Path) -> None:
    """Download files; without PATHS all of them."""
    from fathom.resources.runs import safe_parts  # noqa: PLC0415 -- only here

    full = state.run_id(id_)
    if not paths:
        for file in state.client.runs.get_artifacts(full, to):
            click.echo(file)
    for path in paths:
        click.echo(state.client.runs.get_artifact(full, path, to.joinpath(*safe_parts(path))))


@artifacts.command("put")
@id_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--folder", default="", help="The artifact folder to put them in.")
@pass_state
def put_artifacts(state: State, id_: str, files: Sequence[Path], folder: str) -> None:
    """Upload files."""
    full = state.run_id(id_)
    for file in files:
        name = f"{folder.strip('/')}/{file.name}" if folder else file.name
        state.client.runs.put_artifact(full, file, name)
        click.echo(name)


@artifacts.command("delete")
@id_argument
@click.argument("paths", nargs=-1, required=True)
@pass_state
def delete_artifacts(state: State, id_: str, paths: Sequence[str]) -> None:
    """Delete files."""
    full = state.run_id(id_)
    for path in paths:
        state.client.runs.delete_artifact(full, path)
        click.echo(f"Deleted {path}.")


@artifacts.command("pin")
@id_argument
@click.argument("paths", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Let the rule of the project decide again.")
@pass_state
def pin_artifacts(state: State, id_: str, paths: Sequence[str], undo: bool) -> None:  # noqa: FBT001 -- a flag
    """Keep files whatever the rule of their project says."""
    full = state.run_id(id_)
    for path in paths:
        state.client.runs.pin_artifact(full, path, pinned=not undo)
        click.echo(f"{'Unpinned' if undo else 'Pinned'} {path}.")


def _run_row(item: Run) -> list[str]:
    values = ", ".join(f"{clean(key, 20)} {number(metric.value)}" for key, metric in list(item.metrics.items())[:3])
    return [
        short(item.id),
        clean(item.name, 40),
        chip(item.status),
        clean(item.project.name, 24),
        clean(item.owner, 20),
        ago(item.created_at),
        values,
    ]


def _describe(run: Run) -> str:
    from fathom.cli.live import metrics_table  # noqa: PLC0415 -- only here

    head = facts(
        [
            ("id", run.id),
            ("name", clean(run.name)),
            ("status", chip(run.status)),
            ("project", clean(run.project.name)),
            ("owner", clean(run.owner)),
            ("created", ago(run.created_at)),
            ("params", mapping(run.params)),
            ("tags", mapping(run.tags)),
        ]
    )
    metrics_text = metrics_table(run)
    return f"{head}\n\n{metrics_text}" if metrics_text else head


def _points_table(series: Sequence[MetricSeries]) -> str:
    rows = [
        [
            clean(item.key),
            "" if point.step is None else str(point.step),
            point.time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if point.time else "",
            number(point.value),
        ]
        for item in series
        for point in item.points
    ]
    return table(["METRIC", "STEP", "TIME", "VALUE"], rows, right=(1, 3))


COMMANDS = {"artifacts": artifacts, "metrics": metrics, "runs": runs}
