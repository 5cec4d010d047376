"""Around the work: projects, tokens, teams, clusters, usage."""

from collections.abc import Sequence

import click

from fathom.cli.output import ago, chip, clean, emit, facts, mapping, output_option, size, table
from fathom.cli.state import State, pass_state, short
from fathom.models import Amount, Project, Team, Token, Usage


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


@click.group()
def token() -> None:
    """Your API tokens."""


@token.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="What it may do; repeatable. By default everything you may.")
@click.option("--expires-in-days", type=click.IntRange(1))
@output_option
@pass_state
def create_token(state: State, name: str, scopes: Sequence[str], expires_in_days: int | None, output: str) -> None:
    """Create a token. The secret is shown this once, on standard output alone."""
    made = state.client.tokens.create(name, scopes=scopes or ("all",), expires_in_days=expires_in_days)
    if output == "table":
        click.echo("Keep it now; it is not shown again:", err=True)
    emit(output, made.raw, lambda: made.token or "")


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
@click.argument("slug", required=False)
@output_option
@pass_state
def teams(state: State, slug: str | None, output: str) -> None:
    """List your teams, or show one with its members."""
    if slug:
        team = state.client.teams.get(slug)
        rows = [[clean(member.username), clean(member.role)] for member in team.members]
        emit(output, team.raw, lambda: table(["MEMBER", "ROLE"], rows) or _team_line(team))
        return
    found = list(state.client.teams.list())
    rows = [[clean(item.slug), clean(item.name), clean(item.organization), clean(item.role)] for item in found]
    emit(output, [item.raw for item in found], lambda: table(["TEAM", "NAME", "ORGANIZATION", "YOUR ROLE"], rows))


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


def _team_line(team: Team) -> str:
    return facts([("team", clean(team.slug)), ("name", clean(team.name)), ("your role", clean(team.role))])


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


COMMANDS = {"clusters": clusters, "projects": projects, "teams": teams, "token": token, "usage": usage}
