"""People and how they come and go: users, registrations, invitations, organizations. Mostly for admins."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fathom.cli import exits
from fathom.cli.account import Days
from fathom.cli.output import ago, clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state
from fathom.cli.teams import ROLES, given_of
from fathom.models import ImportReport, Invitation, Offboarding, Organization, Registration, User

F = TypeVar("F", bound=Callable[..., Any])
reason_option = click.option("--reason", required=True, help="Written to the audit trail.")
_PLATFORM_ROLES = click.Choice(["", "admin", "auditor"])


def _person_options(command: F) -> F:
    for name in ("--last-name", "--first-name", "--email"):
        command = click.option(name)(command)
    return click.option("--platform-role", type=_PLATFORM_ROLES)(command)


@click.group()
def users() -> None:
    """People and service accounts: yourself, your teams' people; everybody, for admins."""


@users.command("list")
@click.option("-q", "q", metavar="TEXT", help="The name begins with this.")
@output_option
@pass_state
def list_users(state: State, q: str | None, output: str) -> None:
    """List the people you may see."""
    found = list(state.client.users.list(q=q))
    rows = [[clean(one.username), _name(one), clean(one.email or ""), _what(one), ago(one.last_login)] for one in found]
    headers = ["USER", "NAME", "E-MAIL", "WHAT", "LAST LOGIN"]
    emit(output, [one.raw for one in found], lambda: table(headers, rows))


@users.command("show")
@click.argument("username")
@output_option
@pass_state
def show_user(state: State, username: str, output: str) -> None:
    """Show one person."""
    _emit_user(state.client.users.get(username), output)


@users.command("create")
@click.argument("username")
@_person_options
@output_option
@pass_state
def create_user(state: State, /, username: str, output: str, **options: str | None) -> None:
    """Make an account without a password; `fathom invitations create --for-user` makes the link that opens it."""
    given = {name: value for name, value in options.items() if value is not None}
    _emit_user(state.client.users.create(username, **given), output)


@users.command("update")
@click.argument("username")
@click.option("--rename", "new_name", metavar="NAME", help="Another user name.")
@_person_options
@click.option("--reason", help="Needed for another platform role.")
@output_option
@pass_state
def update_user(state: State, /, username: str, output: str, new_name: str | None, **changes: str | None) -> None:
    """Change what is given."""
    _emit_user(state.client.users.update(username, **given_of({**changes, "username": new_name})), output)


@users.command("disable")
@click.argument("username")
@reason_option
@output_option
@pass_state
def disable_user(state: State, username: str, reason: str, output: str) -> None:
    """Shut somebody out at once: sessions and tokens end, jobs are stopped, assets stay."""
    _emit_user(state.client.users.disable(username, reason=reason), output)


@users.command("enable")
@click.argument("username")
@reason_option
@output_option
@pass_state
def enable_user(state: State, username: str, reason: str, output: str) -> None:
    """Let somebody in again, without his former tokens."""
    _emit_user(state.client.users.enable(username, reason=reason), output)


@users.command("offboard")
@click.argument("username")
@reason_option
@click.option("--assets", type=click.Choice(["keep", "transfer"]), default="keep", show_default=True)
@click.option("--transfer-to", metavar="USER", help="Who gets all of it; without, each team's goes to a member of it.")
@click.option("--jobs", type=click.Choice(["stop", "let_finish"]), default="stop", show_default=True)
@click.option("--memberships", type=click.Choice(["keep", "end"]), default="keep", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@output_option
@pass_state
def offboard_user(
    state: State,
    /,
    username: str,
    reason: str,
    dry_run: bool,  # noqa: FBT001 -- a flag
    transfer_to: str | None,
    output: str,
    **policy: str,
) -> None:
    """Shut somebody out and deal with what was his."""
    told = policy | ({"transfer_to": transfer_to} if transfer_to else {})
    done = state.client.users.offboard(username, reason=reason, dry_run=dry_run, **told)
    emit(output, done.raw, lambda: _offboarding_text(done))


@users.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would happen, line by line.")
@click.option(
    "--links", type=click.Path(dir_okay=False, path_type=Path), help="Write the one-time links into this file."
)
@output_option
@pass_state
def import_users(state: State, file: Path, dry_run: bool, links: Path | None, output: str) -> int:  # noqa: FBT001 -- a flag
    """Create the people of a CSV file and put them into teams, all or nothing."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8: {error}"
        raise click.UsageError(message) from error
    report = state.client.users.import_csv(text, dry_run=dry_run)
    if links is not None and report.links:
        links.touch(mode=0o600)
        links.write_text("".join(f"{name},{url}\n" for name, url in report.links.items()), encoding="utf-8")
    emit(output, report.raw, lambda: _report_text(report, show_links=links is None))
    return exits.USAGE if any(line.errors for line in report.lines) else exits.OK


@click.group()
def registrations() -> None:
    """Who asked for an account by himself. Admins only."""


@registrations.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were decided.")
@output_option
@pass_state
def list_registrations(state: State, everything: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """List who waits."""
    found = list(state.client.registrations.list(waiting=not everything))
    headers = ["ID", "USER", "E-MAIL", "STATE", "ASKED", "NOTE"]
    emit(output, [one.raw for one in found], lambda: table(headers, [_registration_row(one) for one in found]))


@registrations.command("show")
@click.argument("registration_id", metavar="ID")
@output_option
@pass_state
def show_registration(state: State, registration_id: str, output: str) -> None:
    """Show one."""
    _emit_registration(state.client.registrations.get(registration_id), output)


@registrations.command("approve")
@click.argument("registration_id", metavar="ID")
@reason_option
@output_option
@pass_state
def approve_registration(state: State, registration_id: str, reason: str, output: str) -> None:
    """Make the account that was asked for."""
    _emit_registration(state.client.registrations.approve(registration_id, reason=reason), output)


@registrations.command("reject")
@click.argument("registration_id", metavar="ID")
@reason_option
@output_option
@pass_state
def reject_registration(state: State, registration_id: str, reason: str, output: str) -> None:
    """Say no."""
    _emit_registration(state.client.registrations.reject(registration_id, reason=reason), output)


@click.group()
def invitations() -> None:
    """One-time links by which people join teams."""


@invitations.command("list")
@output_option
@pass_state
def list_invitations(state: State, output: str) -> None:
    """List those you made, and those into teams you maintain."""
    found = list(state.client.invitations.list())
    headers = ["ID", "FOR", "INTO", "STATE", "BY", "EXPIRES"]
    emit(output, [one.raw for one in found], lambda: table(headers, [_invitation_row(one) for one in found]))


@invitations.command("show")
@click.argument("invitation_id", metavar="ID")
@output_option
@pass_state
def show_invitation(state: State, invitation_id: str, output: str) -> None:
    """Show one, without its link."""
    found = state.client.invitations.get(invitation_id)
    headers = ["ID", "FOR", "INTO", "STATE", "BY", "EXPIRES"]
    emit(output, found.raw, lambda: table(headers, [_invitation_row(found)]))


@invitations.command("create")
@click.option("--team", "places", multiple=True, metavar="TEAM[=ROLE]", help="Repeatable. By default as member.")
@click.option("--for-user", metavar="USER", help="Opens this account, which has no password yet. Admins only.")
@click.option("--email", help="A note on whom it is for; nothing is sent.")
@click.option(
    "--expires", "expires_in_days", type=Days(), metavar="DAYS", help="7d; by default what the platform says."
)
@output_option
@pass_state
def create_invitation(state: State, /, places: Sequence[str], output: str, **options: Any) -> None:
    """Make a link; it is shown this once, on standard output alone."""
    made = state.client.invitations.create(dict(_place(text) for text in places), **options)
    if output == "table":
        click.echo("Hand it over now; it is not shown again:", err=True)
    emit(output, made.raw, lambda: made.url or "")


@invitations.command("revoke")
@click.argument("invitation_ids", metavar="ID...", nargs=-1, required=True)
@pass_state
def revoke_invitation(state: State, invitation_ids: Sequence[str]) -> None:
    """Revoke links; they open nothing any more."""
    for invitation_id in invitation_ids:
        state.client.invitations.revoke(invitation_id)
        click.echo(f"Revoked {invitation_id}.")


@click.group()
def organizations() -> None:
    """The organizations of your teams; admins make and change them."""


@organizations.command("list")
@output_option
@pass_state
def list_organizations(state: State, output: str) -> None:
    """List them."""
    found = list(state.client.organizations.list())
    emit(output, [one.raw for one in found], lambda: _organization_table(found))


@organizations.command("show")
@click.argument("slug")
@output_option
@pass_state
def show_organization(state: State, slug: str, output: str) -> None:
    """Show one."""
    found = state.client.organizations.get(slug)
    emit(output, found.raw, lambda: _organization_table([found]))


@organizations.command("create")
@click.argument("slug")
@click.option("--name", required=True)
@output_option
@pass_state
def create_organization(state: State, slug: str, name: str, output: str) -> None:
    """Make an organization."""
    made = state.client.organizations.create(slug, name=name)
    emit(output, made.raw, lambda: _organization_table([made]))


@organizations.command("update")
@click.argument("slug")
@click.option("--name")
@click.option("--archive/--restore", "archived", default=None, help="Close it with its teams; or open it again.")
@click.option("--reason", help="Needed to archive and to restore.")
@output_option
@pass_state
def update_organization(state: State, /, slug: str, output: str, **changes: Any) -> None:
    """Rename, archive or restore an organization."""
    changed = state.client.organizations.update(slug, **given_of(changes))
    emit(output, changed.raw, lambda: _organization_table([changed]))


def _name(user: User) -> str:
    return clean(f"{user.first_name} {user.last_name}".strip())


def _what(user: User) -> str:
    words = [f"service account of {user.service_of}"] if user.service_of else []
    words += [user.platform_role] if user.platform_role else []
    words += ["disabled"] if user.is_active is False else []
    return clean(", ".join(words))


def _emit_user(user: User, output: str) -> None:
    rows = [
        ("user", clean(user.username)),
        ("name", _name(user)),
        ("e-mail", clean(user.email or "")),
        ("what", _what(user)),
    ]
    emit(output, user.raw, lambda: facts(rows))


def _offboarding_text(done: Offboarding) -> str:
    rows = [
        [
            ("! " if effect.is_warning else "") + clean(effect.what),
            str(effect.count),
            clean(", ".join(effect.examples), 80),
        ]
        for effect in done.effects
    ]
    head = f"{clean(done.username)} " + ("would be off-boarded:" if done.dry_run else "is off-boarded:")
    return f"{head}\n{table(['WHAT', 'COUNT', 'FOR EXAMPLE'], rows, right=(1,))}"


def _report_text(report: ImportReport, *, show_links: bool) -> str:
    rows = [
        [
            str(line.line),
            clean(line.username),
            clean(f"WRONG: {'; '.join(line.errors)}" if line.errors else line.does, 200),
        ]
        for line in report.lines
    ]
    links = [[clean(name), url] for name, url in report.links.items()] if show_links else []
    texts = [table(["LINE", "USER", "WHAT"], rows, right=(0,)), table(["USER", "LINK, SHOWN THIS ONCE"], links)]
    return "\n\n".join(text for text in texts if text)


def _registration_row(one: Registration) -> list[str]:
    return [one.id, clean(one.username), clean(one.email), clean(one.state), ago(one.created_at), clean(one.note, 60)]


def _emit_registration(one: Registration, output: str) -> None:
    headers = ["ID", "USER", "E-MAIL", "STATE", "ASKED", "NOTE"]
    emit(output, one.raw, lambda: table(headers, [_registration_row(one)]))


def _place(text: str) -> tuple[str, str]:
    slug, _, role = text.partition("=")
    if role and role not in ROLES:
        message = f"{role!r} is not one of {', '.join(ROLES)}."
        raise click.UsageError(message)
    return slug, role or "member"


def _invitation_row(one: Invitation) -> list[str]:
    into = ", ".join(f"{slug} ({role})" for slug, role in one.teams.items())
    until = str(one.expires_at.date()) if one.expires_at else ""
    return [one.id, clean(one.for_user or one.email), clean(into), clean(one.state), clean(one.made_by or ""), until]


def _organization_table(found: Sequence[Organization]) -> str:
    rows = [[clean(one.slug), clean(one.name), "archived" if one.archived else ""] for one in found]
    return table(["ORGANIZATION", "NAME", "STATE"], rows)


COMMANDS = {
    "invitations": invitations,
    "organizations": organizations,
    "registrations": registrations,
    "users": users,
}
