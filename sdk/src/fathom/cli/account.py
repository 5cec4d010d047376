"""Around the work: projects, tokens, teams, clusters, usage."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from fathom.cli.output import ago, chip, clean, emit, facts, mapping, output_option, size, table
from fathom.cli.state import State, pass_state, short
from fathom.models import Amount, Project, Token, Usage

F = TypeVar("F", bound=Callable[..., Any])
_HOURS = {"h": 1, "d": 24}


class Hours(click.ParamType[int]):
    """A length of time in whole hours: 24h, 7d, 0."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,4})([hd])?", value)
        if match is None or (match[2] is None and match[1] != "0"):
            self.fail(f"{value!r} is no length of time such as 24h or 7d.", param, ctx)
        return int(match[1]) * _HOURS.get(match[2], 0)


class Days(click.ParamType[int]):
    """A length of time in whole days: 30d or 30."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,4})d?", str(value))
        if match is None or int(match[1]) < 1:
            self.fail(f"{value!r} is no number of days such as 30d.", param, ctx)
        return int(match[1])


@click.group()
def projects() -> None:
    """Folders for runs."""


@projects.command("list")
@output_option
@pass_state
def list_projects(state: State, output: str) -> None:
    """List the projects you may see."""
    found = list(state.client.projects.list())
    rows = [_project_row(item) for item in found]
    headers = ["ID", "NAME", "TEAM", "VISIBILITY", "OWNER", "CREATED"]
    emit(output, [item.raw for item in found], lambda: table(headers, rows))


@projects.command("create")
@click.argument("name")
@click.option("--description", default="", help="One sentence on what it is for.")
@click.option("--team", help="The team that owns it.")
@click.option("--visibility", type=click.Choice(["private", "team", "organization", "public"]))
@output_option
@pass_state
def create_project(
    state: State, name: str, description: str, team: str | None, visibility: str | None, output: str
) -> None:
    """Create a project."""
    project = state.client.projects.create(name, description=description, team=team, visibility=visibility)
    emit(output, project.raw, lambda: _project_facts(project))


@projects.command("show")
@click.argument("project_id", metavar="PROJECT")
@output_option
@pass_state
def show_project(state: State, project_id: str, output: str) -> None:
    """Show one project."""
    project = state.client.projects.get(state.project_id(project_id))
    emit(output, project.raw, lambda: _project_facts(project))


@projects.command("update")
@click.argument("project_id", metavar="PROJECT")
@click.option("--name")
@click.option("--description")
@click.option("--visibility", type=click.Choice(["private", "team", "organization", "public"]))
@output_option
@pass_state
def update_project(state: State, /, project_id: str, output: str, **changes: str | None) -> None:
    """Change what is given."""
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        message = "Nothing to change: give at least one option."
        raise click.UsageError(message)
    project = state.client.projects.update(state.project_id(project_id), **given)
    emit(output, project.raw, lambda: _project_facts(project))


@projects.command("delete")
@click.argument("project_id", metavar="PROJECT")
@pass_state
def delete_project(state: State, project_id: str) -> None:
    """Delete a project."""
    state.client.projects.delete(state.project_id(project_id))
    click.echo(f"Deleted {project_id}.")


@projects.command("retention")
@click.argument("project_id", metavar="PROJECT")
@click.option("--after-end", type=click.IntRange(0), help="Days after a run has ended for which its files are kept.")
@click.option("--after-delete", type=click.IntRange(0), help="Days after a run was deleted.")
@click.option("--forever", is_flag=True, help="Keep all for ever, whatever the team's rule says.")
@click.option("--as-team", is_flag=True, help="Take the project's own rule away.")
@output_option
@pass_state
def project_retention(
    state: State,
    project_id: str,
    after_end: int | None,
    after_delete: int | None,
    forever: bool,  # noqa: FBT001 -- a flag
    as_team: bool,  # noqa: FBT001 -- a flag
    output: str,
) -> None:
    """Show or change how long the files of a project's runs are kept. Pinned files stay, and those of model versions."""
    full, api = state.project_id(project_id), state.client.projects
    if as_team:
        api.end_retention(full)
    if forever or after_end is not None or after_delete is not None:
        api.set_retention(full, days_after_end=after_end, days_after_archive=after_delete)
    rule = api.retention(full)
    emit(output, rule, lambda: facts(_rule_facts(rule)))


def _rule_facts(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    ends = (("after the end of a run", "days_after_end"), ("after its deletion", "days_after_archive"))
    told = [(words, "for ever" if rule[key] is None else f"{rule[key]} days") for words, key in ends]
    return [("rule of", rule["rule_of"]), *told]


@projects.command("views")
@click.argument("project_id", metavar="PROJECT")
@output_option
@pass_state
def project_views(state: State, project_id: str, output: str) -> None:
    """List the saved views of a project's run table: your own and the shared ones."""
    found = list(state.client.views.list(project=state.project_id(project_id)))
    rows = [[item.id, item.name, item.owner, "shared" if item.is_shared else "", item.query] for item in found]
    emit(output, [item.raw for item in found], lambda: table(["ID", "NAME", "OWNER", "", "QUERY"], rows))


@click.group()
def token() -> None:
    """Your API tokens."""


def token_options(command: F) -> F:
    """What a token may do, from where and for how long."""
    options = (
        click.option(
            "--scope", "scopes", multiple=True, help="What it may do; repeatable. By default everything you may."
        ),
        click.option("--address", "addresses", multiple=True, metavar="NETWORK", help="Only from there; repeatable."),
        click.option(
            "--expires",
            "--expires-in-days",
            "expires_in_days",
            type=Days(),
            metavar="DAYS",
            help="Its life: 30d. By default 90 days.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def show_secret(made: Token, output: str) -> None:
    """Print a new token's secret, this once, alone on standard output."""
    if output == "table":
        click.echo("Keep it now; it is not shown again:", err=True)
    emit(output, made.raw, lambda: made.token or "")


@token.command("create")
@click.argument("name")
@token_options
@output_option
@pass_state
def create_token(state: State, /, name: str, output: str, **facts: Any) -> None:
    """Create a token. The secret is shown this once, on standard output alone."""
    facts["scopes"] = facts["scopes"] or ("all",)
    show_secret(state.client.tokens.create(name, **facts), output)


@token.command("rotate")
@click.argument("token_id", metavar="ID")
@click.option(
    "--overlap", type=Hours(), default=24, metavar="TIME", help="How long the old one still works: 24h, 7d, 0."
)
@output_option
@pass_state
def rotate_token(state: State, token_id: str, overlap: int, output: str) -> None:
    """Replace a token by a new one with the same rights; the old one ends after the overlap."""
    show_secret(state.client.tokens.rotate(token_id, overlap_hours=overlap), output)


@token.command("update")
@click.argument("token_id", metavar="ID")
@click.option("--address", "addresses", multiple=True, metavar="NETWORK", help="Only from there; repeatable.")
@click.option("--everywhere", is_flag=True, help="From everywhere again.")
@click.option("--reason", default="", help="Why, for the audit trail.")
@output_option
@pass_state
def update_token(
    state: State, token_id: str, addresses: Sequence[str], *, everywhere: bool, reason: str, output: str
) -> None:
    """Change from where a token may be used; elsewhere it is refused at once."""
    if bool(addresses) == everywhere:
        message = "Give at least one --address, or --everywhere."
        raise click.UsageError(message)
    changed = state.client.tokens.update(token_id, addresses=addresses, reason=reason)
    emit(output, changed.raw, lambda: _usable_from(changed))


@token.command("list")
@output_option
@pass_state
def list_tokens(state: State, output: str) -> None:
    """List your tokens, without their secrets."""
    found = list(state.client.tokens.list())
    headers = ["ID", "NAME", "KIND", "PREFIX", "SCOPES", "EXPIRES", "LAST USED"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_token_row(item) for item in found]))


@token.command("show")
@click.argument("token_id", metavar="ID")
@output_option
@pass_state
def show_token(state: State, token_id: str, output: str) -> None:
    """Show one token, without its secret."""
    found = state.client.tokens.get(token_id)
    headers = ["ID", "NAME", "KIND", "PREFIX", "SCOPES", "EXPIRES", "LAST USED"]
    emit(output, found.raw, lambda: table(headers, [_token_row(found)]))


@token.command("revoke")
@click.argument("token_ids", metavar="ID...", nargs=-1, required=True)
@pass_state
def revoke_token(state: State, token_ids: Sequence[str]) -> None:
    """Revoke tokens; they stop working at once."""
    for token_id in token_ids:
        state.client.tokens.revoke(token_id)
        click.echo(f"Revoked {token_id}.")


@click.command()
@click.argument("name", required=False)
@output_option
@pass_state
def clusters(state: State, name: str | None, output: str) -> None:
    """List the places where jobs run, or show the one called NAME."""
    found = [state.client.clusters.get(name)] if name else list(state.client.clusters.list())
    rows = [
        [
            clean(item.name),
            clean(item.kind),
            chip(item.state),
            clean(item.isolation),
            mapping(item.labels),
            clean(item.message, 80),
        ]
        for item in found
    ]
    headers = ["NAME", "KIND", "STATE", "ISOLATION", "LABELS", "MESSAGE"]
    emit(output, [item.raw for item in found], lambda: table(headers, rows))


@click.command()
@output_option
@pass_state
def usage(state: State, output: str) -> None:
    """Show what is used of which limit, and what waits."""
    now = state.client.usage()
    emit(output, now.raw, lambda: _usage_text(now))


def _project_row(item: Project) -> list[str]:
    return [
        short(item.id),
        clean(item.name),
        clean(item.team),
        clean(item.visibility),
        clean(item.owner),
        ago(item.created_at),
    ]


def _project_facts(item: Project) -> str:
    return facts(
        [
            ("id", item.id),
            ("name", clean(item.name)),
            ("description", clean(item.description)),
            ("team", clean(item.team)),
            ("visibility", clean(item.visibility)),
            ("owner", clean(item.owner)),
            ("created", str(item.created_at or "")),
        ]
    )


def _token_row(item: Token) -> list[str]:
    return [
        item.id,
        clean(item.name),
        clean(item.kind),
        clean(item.prefix),
        clean(" ".join(item.scopes)),
        str(item.expires_at.date()) if item.expires_at else "never",
        ago(item.last_used_at) or "never",
    ]


def _usable_from(item: Token) -> str:
    return f"{clean(item.name)} may be used from {clean(', '.join(item.addresses)) or 'everywhere'}."


def _usage_text(now: Usage) -> str:
    rows = [
        [clean(node.kind), clean(node.name), clean(name), _amount(name, amount.used), _limit(name, amount)]
        for node in now.nodes
        for name, amount in node.resources.items()
    ]
    text = table(["OF", "NAME", "RESOURCE", "USED", "LIMIT"], rows, right=(3, 4))
    waiting = [[clean(item.position), short(item.id), clean(item.name), clean(item.reason, 100)] for item in now.queue]
    queue = table(["#", "ID", "WAITING", "WHY"], waiting, right=(0,))
    return "\n\n".join(part for part in (text, queue) if part)


def _amount(resource: str, value: float) -> str:
    if resource in {"cpu", "gpu"}:  # counted in thousandths
        return f"{value / 1000:g}"
    return size(value) if resource in {"memory", "disk"} else f"{value:g}"


def _limit(resource: str, amount: Amount) -> str:
    return "no limit" if amount.limit is None else _amount(resource, amount.limit)


COMMANDS = {"clusters": clusters, "projects": projects, "token": token, "tokens": token, "usage": usage}
