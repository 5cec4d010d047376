"""The audit trail, and the history of one object."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fathom.cli.output import clean, emit, output_option, table
from fathom.cli.state import State, pass_state
from fathom.models import AuditEvent
from fathom.resources.audit import Kind

_FILTERS = {
    "actor": "A user name.",
    "action": "As `stop` or `row.update`.",
    "object-type": "As `teams.team`.",
    "object-id": "Its id.",
    "organization": "A slug, or `platform`.",
    "outcome": "`ok` or `denied`.",
    "origin": "The door: api, portal, admin, …",
    "request-id": "As error pages show it.",
    "txid": "What one transaction wrote.",
    "since": "A time or a date.",
    "until": "Not included.",
}
_HEADERS = ["WHEN", "WHO", "WHAT", "OBJECT", "OUTCOME", "DOOR", "REASON"]


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in reversed(_FILTERS.items()):
        command = click.option(f"--{name}", help=text)(command)
    return command


@click.group()
def audit() -> None:
    """Who did what. The whole trail is for auditors and admins."""


@audit.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@pass_state
def list_events(state: State, /, limit: int, output: str, **filters: str | None) -> None:
    """List events, newest first."""
    _show(state.client.audit.list(**filters).first(limit), output)


@audit.command("export")
@_filters
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), default="ndjson", show_default=True)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@pass_state
def export_events(state: State, /, form: Any, file: Path, **filters: str | None) -> None:
    """Write all events that fit into FILE, oldest first."""
    state.client.audit.export(file, form=form, **filters)
    click.echo(f"Wrote {file}.", file=sys.stderr)


@audit.command("history")
@click.argument(
    "kind", type=click.Choice(["environments", "experiments", "models", "projects", "runs", "teams", "tokens"])
)
@click.argument("id_", metavar="ID")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@pass_state
def history(state: State, kind: Kind, id_: str, limit: int, output: str) -> None:
    """Show who did what to one object that you may view."""
    _show(state.client.audit.history(kind, id_).first(limit), output)


def _show(found: list[AuditEvent], output: str) -> None:
    emit(output, [event.raw for event in found], lambda: table(_HEADERS, [_row(event) for event in found]))


def _row(event: AuditEvent) -> list[str]:
    return [
        event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if event.at else "",
        clean(event.actor, 20),
        clean(event.action, 24),
        clean(f"{event.object_type} {event.object_label or event.object_id}".strip(), 50),
        clean(event.outcome),
        clean(event.origin),
        clean(event.reason, 60),
    ]


COMMANDS = {"audit": audit}
