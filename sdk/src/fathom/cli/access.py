"""Sharing: `access`, `share` and `unshare`. An object is written as its kind and id: run/0199aaaa-…"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from fathom.cli.output import ago, clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state
from fathom.models import Access, AccessLine, AccessRequest, Why

F = TypeVar("F", bound=Callable[..., Any])

_ROLES = click.Choice(["viewer", "editor", "manager"])
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class _Expiry(click.ParamType):  # type: ignore[type-arg]  # not generic in every click that we take
    """`12h`, `7d`, `2w`, or a time such as 2026-12-31T12:00:00Z."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if found := re.fullmatch(r"(\d{1,5})([hdw])", value):
            return datetime.now(UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("Expected a length such as 7d, or a time such as 2026-12-31T12:00:00Z.", param, ctx)
        return moment if moment.tzinfo else moment.astimezone()


def _subject(command: F) -> F:
    """The three ways to say with whom."""
    for name in ("organization", "team", "user"):
        command = click.option(f"--{name}", metavar="NAME")(command)
    return command


def _one(**names: str | None) -> dict[str, str]:
    given = {kind: name for kind, name in names.items() if name}
    if len(given) != 1:
        message = "Name exactly one of --user, --team and --organization."
        raise click.UsageError(message)
    return given


def _object(state: State, text: str) -> tuple[str, str]:
    """Split "run/0199" into kind and full id; prefixes and names work where the kind has a list."""
    kind, slash, given = text.partition("/")
    if not slash or not kind or not given:
        message = "Write the object as KIND/ID, such as experiment/0199aaaa."
        raise click.UsageError(message)
    full = {"run": state.run_id, "experiment": state.experiment_id, "project": state.project_id}
    return kind, full[kind](given) if kind in full else given


@click.group()
def access() -> None:
    """Who has access to an object and why, and requests for access."""


@access.command("list")
@click.argument("target", metavar="KIND/ID")
@output_option
@pass_state
def list_access(state: State, target: str, output: str) -> None:
    """List who has access, as what and through what."""
    kind, object_id = _object(state, target)
    found = state.client.access.get(kind, object_id)
    lines, page = list(found.lines), found
    while page.more:
        page = state.client.access.get(kind, object_id, offset=len(lines))
        lines += page.lines
    raw = {**found.raw, "results": [line.raw for line in lines], "more": False}
    emit(output, raw, lambda: _access_table(found, lines))


@access.command("why")
@click.argument("target", metavar="KIND/ID")
@click.option("--user", metavar="NAME", help="About somebody else; you must manage the object.")
@click.option("--action", help="What one would do; by default view.")
@output_option
@pass_state
def why(state: State, target: str, user: str | None, action: str | None, output: str) -> None:
    """Say why somebody may do something with an object, or what is missing for it."""
    kind, object_id = _object(state, target)
    found = state.client.access.why(kind, object_id, user=user, action=action)
    emit(output, found.raw, lambda: _why_text(found))


@access.command("visibility")
@click.argument("target", metavar="KIND/ID")
@click.argument("visibility", type=click.Choice(["private", "team", "organization", "public"]))
@click.option("--team", metavar="NAME", help="Bring it into this team.")
@pass_state
def set_visibility(state: State, target: str, visibility: str, team: str | None) -> None:
    """Set who sees an object besides its owner and those it is shared with."""
    kind, object_id = _object(state, target)
    state.client.access.set_visibility(kind, object_id, visibility, team=team)
    click.echo(f"{target} is {visibility} now.")


@access.command("transfer")
@click.argument("target", metavar="KIND/ID")
@click.option("--to", metavar="NAME", required=True, help="The new owner.")
@click.option("--reason", default="")
@pass_state
def transfer(state: State, target: str, to: str, reason: str) -> None:
    """Give an object of yours to another owner."""
    kind, object_id = _object(state, target)
    state.client.access.transfer(kind, object_id, to, reason=reason)
    click.echo(f"{target} belongs to {clean(to)} now.")


@access.command("request")
@click.argument("target", metavar="KIND/ID")
@click.option("--role", type=_ROLES, default="viewer", show_default=True)
@click.option("--message", default="", help="What you need it for.")
@pass_state
def request(state: State, target: str, role: str, message: str) -> None:
    """Ask for access to what you may not see, or not enough. The id must be the full one."""
    kind, slash, object_id = target.partition("/")
    if not slash:
        problem = "Write the object as KIND/ID."
        raise click.UsageError(problem)
    click.echo(clean(state.client.access.request(kind, object_id, role=role, message=message)))


@access.command("requests")
@click.argument("request_id", metavar="ID", required=False)
@click.option("--mine", is_flag=True, help="Those you made, instead of those you can decide.")
@click.option("--state", "in_state", type=click.Choice(["open", "granted", "refused", "withdrawn"]))
@output_option
@pass_state
def requests(state: State, request_id: str | None, *, mine: bool, in_state: str | None, output: str) -> None:
    """List the requests that you can decide, or show one."""
    if request_id:
        found = [state.client.access.get_request(request_id)]
    else:
        found = list(state.client.access.requests(mine=mine, state=in_state))
    headers = ["ID", "BY", "ROLE", "OF", "STATE", "ASKED", "MESSAGE"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_request_row(item) for item in found]))


@access.command("grant")
@click.argument("request_id", metavar="ID")
@click.option("--role", type=_ROLES, help="Instead of the role that was asked for.")
@click.option("--expires", type=_Expiry(), help="Such as 7d.")
@click.option("--note", default="")
@pass_state
def grant(state: State, request_id: str, role: str | None, expires: datetime | None, note: str) -> None:
    """Grant a request: the object is shared."""
    done = state.client.access.grant(request_id, role=role, expires_at=expires, note=note)
    click.echo(f"{clean(done.by)} has access to {clean(done.kind)}/{done.object_id} now.")


@access.command("refuse")
@click.argument("request_id", metavar="ID")
@click.option("--note", default="", help="Shown to who asked.")
@pass_state
def refuse(state: State, request_id: str, note: str) -> None:
    """Refuse a request."""
    done = state.client.access.refuse(request_id, note=note)
    click.echo(f"Refused {clean(done.by)}.")


@access.command("withdraw")
@click.argument("request_id", metavar="ID")
@pass_state
def withdraw(state: State, request_id: str) -> None:
    """Take a request of yours back."""
    state.client.access.withdraw(request_id)
    click.echo(f"Withdrew {request_id}.")


@click.command()
@click.argument("target", metavar="KIND/ID")
@_subject
@click.option("--role", type=_ROLES, default="viewer", show_default=True)
@click.option("--expires", type=_Expiry(), help="Such as 12h, 7d, 2w or a time; by default never.")
@click.option("--reason", default="", help="Written to the audit trail.")
@output_option
@pass_state
def share(
    state: State, /, target: str, role: str, expires: datetime | None, reason: str, output: str, **names: str | None
) -> None:
    """Share an object with a person, a team or an organization, or change that share."""
    subject = _one(**names)
    kind, object_id = _object(state, target)
    found = state.client.access.share(kind, object_id, role, expires_at=expires, reason=reason, **subject)
    emit(output, found.raw, lambda: _access_table(found, list(found.lines)))


@click.command()
@click.argument("target", metavar="KIND/ID")
@_subject
@pass_state
def unshare(state: State, /, target: str, **names: str | None) -> None:
    """End a share, at once."""
    subject = _one(**names)
    kind, object_id = _object(state, target)
    state.client.access.unshare(kind, object_id, **subject)
    click.echo(f"No longer shared with {clean(next(iter(subject.values())))}.")


def _access_table(found: Access, lines: list[AccessLine]) -> str:
    rows = [
        [clean(line.name), clean(line.role), clean(line.through), str(line.expires_at or ""), clean(line.granted_by)]
        for line in lines
    ]
    head = facts([("team", clean(found.team)), ("visible to", clean(found.visibility)), ("your role", found.role)])
    return f"{head}\n\n{table(['WHO', 'ROLE', 'WHY', 'EXPIRES', 'BY'], rows)}"


def _why_text(found: Why) -> str:
    answer = f"{clean(found.user)} may {'' if found.allowed else 'not '}{clean(found.action)} it."
    paths = [
        f"  {clean(path.role)} {clean(path.through)}{f', until {path.expires_at}' if path.expires_at else ''}"
        for path in found.paths
    ]
    missing = [f"  {clean(sentence)}" for sentence in found.missing]
    scopes = [] if found.scopes is None else [f"  The token carries: {clean(' '.join(found.scopes)) or 'nothing'}."]
    return "\n".join([answer, *paths, *missing, *scopes])


def _request_row(item: AccessRequest) -> list[str]:
    target = f"{clean(item.kind)}/{item.object_id}"
    return [
        item.id,
        clean(item.by),
        clean(item.role),
        target,
        clean(item.state),
        ago(item.created_at),
        clean(item.message, 60),
    ]


COMMANDS = {"access": access, "share": share, "unshare": unshare}
