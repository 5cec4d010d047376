"""How you come in: password, sessions, admin rights for a while."""

from collections.abc import Sequence
from dataclasses import replace

import click

from fathom.cli.output import ago, clean, emit, output_option, table
from fathom.cli.state import State, pass_state
from fathom.config import Config, Connection, Host
from fathom.errors import ApiError
from fathom.models import Session


@click.command()
@click.option("--reason", help="What for; it goes into the audit trail.")
@click.option("--code", help="A code of your second factor; asked for if you have to give one.")
@click.option("--minutes", type=click.IntRange(1), help="For how long; by default as long as the platform says.")
@click.option("--end", is_flag=True, help="Lay the rights down now.")
@pass_state
def elevate(state: State, *, reason: str | None, code: str | None, minutes: int | None, end: bool) -> None:
    """Act as an admin in the commands that follow, for a while.

    Your password is asked for. The short-lived token is kept beside your own in the configuration file.
    """
    config, name, host = _current(state)
    if end:
        _lay_down(config, name, host)
        return
    reason = reason or click.prompt("What for")
    password = click.prompt("Password", hide_input=True, err=True)
    code = (
        code if code is not None else click.prompt("Code of your second factor (empty if none)", default="", err=True)
    )
    from fathom.client import Client  # noqa: PLC0415 -- help does without HTTP

    own = Client(connection=Connection(host.url, lambda: host.token))
    made = own.elevate(password, reason=str(reason), code=code.strip(), minutes=minutes)
    until = made.expires_at.timestamp() if made.expires_at else 0.0
    config.hosts[name] = replace(host, admin_token=made.token or "", admin_token_id=made.id, admin_until=until)
    config.save()
    click.echo(f"You act as an admin until {made.expires_at}. `fathom elevate --end` ends it.")


@click.command()
@click.option("--end-tokens", is_flag=True, help="Revoke every personal token too, also the one in use here.")
@pass_state
def password(state: State, *, end_tokens: bool) -> None:
    """Change your password. Your browser sessions end; tokens go on unless you say --end-tokens."""
    current = click.prompt("Present password", hide_input=True, err=True)
    new = click.prompt("New password", hide_input=True, confirmation_prompt="New password again", err=True)
    state.client.change_password(current, new, end_tokens=end_tokens)
    click.echo("Your password is changed." + (" Your tokens are revoked: log in again." if end_tokens else ""))


@click.group()
def sessions() -> None:
    """The browsers in which you are logged in."""


@sessions.command("list")
@output_option
@pass_state
def list_sessions(state: State, output: str) -> None:
    """List them; an admin who acts as one sees everybody's."""
    found = list(state.client.sessions.list())
    headers = ["ID", "USER", "ADDRESS", "BROWSER", "BEGAN", "LAST USED"]
    emit(output, [item.raw for item in found], lambda: table(headers, [_row(item) for item in found]))


@sessions.command("end")
@click.argument("session_ids", metavar="ID...", nargs=-1, required=True)
@pass_state
def end_sessions(state: State, session_ids: Sequence[str]) -> None:
    """End sessions; their browsers are logged out at once."""
    for session_id in session_ids:
        state.client.sessions.end(session_id)
        click.echo(f"Ended {session_id}.")


def _row(item: Session) -> list[str]:
    return [
        item.id,
        clean(item.user),
        clean(item.ip),
        clean(item.user_agent, 40),
        ago(item.created_at),
        ago(item.last_seen_at),
    ]


def _current(state: State) -> tuple[Config, str, Host]:
    config = Config.load()
    name = state.host or config.current
    if name not in config.hosts:
        message = "Log in first: the rights are kept beside your own token. `fathom login`"
        raise click.UsageError(message)
    return config, name, config.hosts[name]


def _lay_down(config: Config, name: str, host: Host) -> None:
    if host.admin_token_id:
        from fathom.client import Client  # noqa: PLC0415 -- only here

        try:
            own = Client(connection=Connection(host.url, lambda: host.token), retry_seconds=2)
            own.tokens.revoke(host.admin_token_id)
        except ApiError as error:
            click.echo(f"The token could not be revoked ({error}); it is only forgotten here.", err=True)
    config.hosts[name] = replace(host, admin_token="", admin_token_id="", admin_until=0.0)
    config.save()
    click.echo("You no longer act as an admin.")


COMMANDS = {"elevate": elevate, "password": password, "sessions": sessions}
