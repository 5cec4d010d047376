"""Who am I: login, logout, whoami."""

import platform
import sys
from urllib.parse import urlsplit

import click

from fathom.cli.output import clean, emit, facts, output_option
from fathom.cli.state import State, pass_state
from fathom.config import DEFAULT_URL, Config, Connection, Host, clean_url, config_path
from fathom.errors import ApiError


@click.command()
@click.option("--url", default=DEFAULT_URL, show_default=True, envvar="FATHOM_URL", help="The platform's address.")
@click.option("--token", help="A token you have; `-` reads it from standard input.")
@click.option("--username", "-u", help="Log in with a password (asked for) and make a token from it.")
@click.option("--name", help="What to call this host in the configuration; by default its address's host and port.")
@click.option("--expires-in-days", type=click.IntRange(1), help="How long the token made from a password lives.")
def login(url: str, token: str | None, username: str | None, name: str | None, expires_in_days: int | None) -> None:
    """Store a token for a platform; it becomes the current host.

    With neither --token nor --username you are asked for a name and a password. The token is kept in
    ~/.config/fathom/config.json, readable by you only.
    """
    from fathom.client import Client  # noqa: PLC0415 -- help does without HTTP

    address = clean_url(url)
    _warn_if_readable(address)
    token_id = ""
    if token == "-":  # noqa: S105 -- not a password
        token = sys.stdin.readline().strip()
    if not token:
        username = username or click.prompt("Username")
        password = click.prompt(f"Password for {username} on {address}", hide_input=True, err=True)
        anonymous = Client(connection=Connection(address, lambda: None))
        made = anonymous.login(
            username, password, name=f"fathom on {platform.node()}"[:100], expires_in_days=expires_in_days
        )
        token, token_id = made.token or "", made.id
    secret = token
    me = Client(connection=Connection(address, lambda: secret)).me()
    config = Config.load()
    host = name or urlsplit(address).netloc
    config.hosts[host] = Host(address, secret, me.username, token_id)
    config.current = host
    config.save()
    click.echo(f"Logged in to {address} as {clean(me.username)}. (host {host!r} in {config_path()})")


@click.command()
@pass_state
def logout(state: State) -> None:
    """Forget the current host's token, and revoke it if `fathom login` made it."""
    config = Config.load()
    name = state.host or config.current
    host = config.hosts.pop(name, None)
    if host is None:
        click.echo("You are not logged in.")
        return
    for token_id in filter(None, (host.admin_token_id, host.token_id)):
        from fathom.client import Client  # noqa: PLC0415 -- only here

        try:
            Client(connection=Connection(host.url, lambda: host.token), retry_seconds=2).tokens.revoke(token_id)
        except ApiError as error:
            click.echo(f"The token could not be revoked ({error}); it is only forgotten here.", err=True)
    if config.current == name:
        config.current = next(iter(config.hosts), "")
    config.save()
    click.echo(f"Logged out of {host.url}.")


@click.command()
@output_option
@pass_state
def whoami(state: State, output: str) -> None:
    """Show who the current token speaks for."""
    me = state.client.me()
    teams = ", ".join(f"{clean(team.slug)} ({clean(team.role)})" for team in me.teams)
    token = me.token
    pairs = [
        ("platform", state.client.url),
        ("user", clean(me.username)),
        ("email", clean(me.email)),
        ("admin", "yes" if me.is_admin else ""),
        ("teams", teams),
        ("token", f"{clean(token.name)} [{', '.join(token.scopes)}]" if token else ""),
        ("expires", str(token.expires_at or "never") if token else ""),
    ]
    emit(output, dict(me.raw), lambda: facts(pairs))


def _warn_if_readable(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        click.echo(f"Warning: {address} is not encrypted; others on the network can read your token.", err=True)


COMMANDS = {"login": login, "logout": logout, "whoami": whoami}
