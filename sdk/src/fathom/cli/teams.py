"""Teams: who is in them, and what their programs act as."""

from typing import Any

import click

from fathom.cli.account import show_secret, token_options
from fathom.cli.output import chip, clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state
from fathom.models import ServiceAccount, Team

ROLES = ("viewer", "member", "maintainer")
role_option = click.option("--role", type=click.Choice(ROLES), default="member", show_default=True)
service_role = click.Choice(ROLES[:2])


class _Teams(click.Group):
    """`fathom teams` lists, `fathom teams SLUG` shows: the short forms of `list` and `show`."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"-h", "--help"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Teams)
def teams() -> None:
    """Your teams, their members and service accounts."""


@teams.command("list")
@output_option
@pass_state
def list_teams(state: State, output: str) -> None:
    """List your teams."""
    found = list(state.client.teams.list())
    rows = [[clean(item.slug), clean(item.name), clean(item.organization), clean(item.role)] for item in found]
    emit(output, [item.raw for item in found], lambda: table(["TEAM", "NAME", "ORGANIZATION", "YOUR ROLE"], rows))


@teams.command("show")
@click.argument("slug")
@output_option
@pass_state
def show_team(state: State, slug: str, output: str) -> None:
    """Show a team with its members."""
    _emit_team(state.client.teams.get(slug), output)


@teams.command("create")
@click.argument("slug")
@click.option("--name", required=True)
@click.option("--organization", required=True, help="Its slug.")
@output_option
@pass_state
def create_team(state: State, slug: str, name: str, organization: str, output: str) -> None:
    """Make a team. Admins only."""
    _emit_team(state.client.teams.create(slug, name=name, organization=organization), output)


@teams.command("update")
@click.argument("slug")
@click.option("--name")
@click.option(
    "--archive/--restore", "archived", default=None, help="Close it for new work and members; or open it again."
)
@click.option("--reason", help="Needed to archive and to restore.")
@output_option
@pass_state
def update_team(state: State, /, slug: str, output: str, **changes: Any) -> None:
    """Rename, archive or restore a team. Admins only."""
    _emit_team(state.client.teams.update(slug, **given_of(changes)), output)


@teams.group()
def members() -> None:
    """Who is in a team. Its maintainers change that."""


@members.command("add")
@click.argument("team")
@click.argument("username")
@role_option
@pass_state
def add_member(state: State, team: str, username: str, role: str) -> None:
    """Put somebody into a team, or give him another role."""
    member = state.client.teams.set_member(team, username, role=role)
    click.echo(f"{clean(member.username)} is {clean(member.role)} of {team}.")


@members.command("remove")
@click.argument("team")
@click.argument("username")
@pass_state
def remove_member(state: State, team: str, username: str) -> None:
    """Take somebody out of a team; what he owns stays his."""
    state.client.teams.remove_member(team, username)
    click.echo(f"{username} is no longer in {team}.")


@teams.group("service-accounts")
def service_accounts() -> None:
    """What a team's programs act as. Its maintainers keep them; `fathom tokens` rotates and revokes their tokens."""


@service_accounts.command("list")
@click.argument("team")
@output_option
@pass_state
def list_accounts(state: State, team: str, output: str) -> None:
    """List the service accounts of a team."""
    found = list(state.client.service_accounts.list(team))
    emit(
        output,
        [item.raw for item in found],
        lambda: table(["ACCOUNT", "ROLE", "STATE"], [_row(item) for item in found]),
    )


@service_accounts.command("show")
@click.argument("team")
@click.argument("name")
@output_option
@pass_state
def show_account(state: State, team: str, name: str, output: str) -> None:
    """Show one."""
    _emit_account(state.client.service_accounts.get(team, name), output)


@service_accounts.command("create")
@click.argument("team")
@click.argument("name")
@click.option("--role", type=service_role, default="member", show_default=True)
@output_option
@pass_state
def create_account(state: State, team: str, name: str, role: str, output: str) -> None:
    """Make a service account; it is called svc.TEAM.NAME."""
    _emit_account(state.client.service_accounts.create(team, name, role=role), output)


@service_accounts.command("update")
@click.argument("team")
@click.argument("name")
@click.option("--role", type=service_role)
@click.option("--enable/--disable", "is_active", default=None, help="Its tokens end for good when it is disabled.")
@click.option("--reason")
@output_option
@pass_state
def update_account(state: State, /, team: str, name: str, output: str, **changes: Any) -> None:
    """Give it another role, disable or enable it."""
    _emit_account(state.client.service_accounts.update(team, name, **given_of(changes)), output)


@service_accounts.command("token")
@click.argument("team")
@click.argument("account")
@click.argument("name")
@token_options
@output_option
@pass_state
def create_account_token(state: State, /, team: str, account: str, name: str, output: str, **facts_: Any) -> None:
    """Create a token for a service account. The secret is shown this once, on standard output alone."""
    facts_["scopes"] = facts_["scopes"] or ("all",)
    show_secret(state.client.service_accounts.create_token(team, account, name, **facts_), output)


def given_of(changes: dict[str, Any]) -> dict[str, Any]:
    """The options that were given. Raises: UsageError when there is none."""
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        message = "Nothing to change: give at least one option."
        raise click.UsageError(message)
    return given


def _emit_team(team: Team, output: str) -> None:
    kind = {True: "service account", False: ""}
    rows = [[clean(one.username), clean(one.role), kind[one.is_service]] for one in team.members]
    emit(output, team.raw, lambda: table(["MEMBER", "ROLE", ""], rows) or _line(team))


def _line(team: Team) -> str:
    state = [("state", "archived")] if team.archived else []
    return facts([("team", clean(team.slug)), ("name", clean(team.name)), ("your role", clean(team.role)), *state])


def _row(account: ServiceAccount) -> list[str]:
    return [clean(account.username), clean(account.role), chip("ok" if account.is_active else "stopped")]


def _emit_account(account: ServiceAccount, output: str) -> None:
    emit(output, account.raw, lambda: table(["ACCOUNT", "ROLE", "STATE"], [_row(account)]))


COMMANDS = {"teams": teams}
