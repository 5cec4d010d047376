"""For admins: which group of a directory gives what, and what a sync changes."""

from typing import Any

import click

from fathom.cli import exits
from fathom.cli.output import ago, clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state
from fathom.models import DirectoryPlan, DirectoryRule, DirectorySync

_ROLES = click.Choice(["viewer", "member", "maintainer"])
_PLATFORM_ROLES = click.Choice(["admin", "auditor"])


@click.group()
def directory() -> None:
    """LDAP and OpenID Connect: rules, dry run, sync. For admins."""


@directory.group()
def rules() -> None:
    """Who is in which group gets which role."""


@rules.command("list")
@output_option
@pass_state
def list_rules(state: State, output: str) -> None:
    """List the rules."""
    found = sorted(state.client.directory.rules(), key=lambda rule: (rule.order, rule.id))
    headers = ["ID", "ORDER", "DIRECTORY", "GROUP", "GIVES", "ENABLED"]
    emit(output, [rule.raw for rule in found], lambda: table(headers, [_row(rule) for rule in found]))


@rules.command("show")
@click.argument("rule_id", metavar="ID", type=int)
@output_option
@pass_state
def show_rule(state: State, rule_id: int, output: str) -> None:
    """Show one rule."""
    rule = state.client.directory.rule(rule_id)
    emit(output, rule.raw, lambda: _facts(rule))


@rules.command("create")
@click.argument("group")
@click.option("--source", type=click.Choice(["ldap", "oidc"]), default="ldap", show_default=True)
@click.option("--team", help="The team, by its short name.")
@click.option("--role", type=_ROLES, help="The role in the team.")
@click.option("--platform-role", type=_PLATFORM_ROLES, help="Instead of a team.")
@click.option("--order", type=click.IntRange(0), help="Of several rules for one team the lowest counts.")
@output_option
@pass_state
def create_rule(state: State, /, group: str, output: str, **fields: Any) -> None:
    """Make a rule: who is in GROUP (an LDAP group's DN or name, or a value of the groups claim) gets a role."""
    rule = state.client.directory.create_rule(group, **_given(fields))
    emit(output, rule.raw, lambda: _facts(rule))


@rules.command("update")
@click.argument("rule_id", metavar="ID", type=int)
@click.option("--group")
@click.option("--role", type=_ROLES)
@click.option("--order", type=click.IntRange(0))
@click.option("--enabled/--disabled", default=None)
@output_option
@pass_state
def update_rule(state: State, /, rule_id: int, output: str, **changes: Any) -> None:
    """Change what is given."""
    given = _given(changes)
    if not given:
        message = "Nothing to change: give at least one option."
        raise click.UsageError(message)
    rule = state.client.directory.update_rule(rule_id, **given)
    emit(output, rule.raw, lambda: _facts(rule))


@rules.command("delete")
@click.argument("rule_id", metavar="ID", type=int)
@pass_state
def delete_rule(state: State, rule_id: int) -> None:
    """Delete a rule; the next sync takes back what only it gave."""
    state.client.directory.delete_rule(rule_id)
    click.echo(f"Deleted {rule_id}.")


@directory.command()
@output_option
@pass_state
def preview(state: State, output: str) -> None:
    """Show who would gain and lose what by a sync. Nothing is changed."""
    plan = state.client.directory.preview()
    emit(output, plan.raw, lambda: _plan(plan))


@directory.command()
@click.option("--digest", default="", help="Of a preview: do exactly what it showed, or nothing.")
@click.option("--force", is_flag=True, help="Apply a plan that is held back because it shuts out many.")
@output_option
@pass_state
def sync(state: State, digest: str, force: bool, output: str) -> int:  # noqa: FBT001 -- an option
    """Sync now. Exits with 1 when nothing could be done."""
    done = state.client.directory.sync(digest=digest, force=force)
    emit(output, done.raw, lambda: _sync(done))
    return exits.OK if done.outcome == "done" else exits.FAILED


@directory.command()
@click.argument("sync_id", metavar="[ID]", type=int, required=False)
@output_option
@pass_state
def syncs(state: State, sync_id: int | None, output: str) -> None:
    """List what came of the last syncs, or show one."""
    if sync_id is not None:
        one = state.client.directory.sync_result(sync_id)
        emit(output, one.raw, lambda: _sync(one))
        return
    found = state.client.directory.syncs().first(50)
    rows = [
        [str(item.id), ago(item.started_at), item.outcome, clean(item.asked_by), clean(item.message, 80)]
        for item in found
    ]
    emit(output, [item.raw for item in found], lambda: table(["ID", "STARTED", "OUTCOME", "ASKED BY", "MESSAGE"], rows))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _gives(rule: DirectoryRule) -> str:
    return f"{rule.role} of {rule.team}" if rule.team else f"{rule.platform_role} of the platform"


def _row(rule: DirectoryRule) -> list[str]:
    enabled = "yes" if rule.enabled else "no"
    return [str(rule.id), str(rule.order), rule.source, clean(rule.group, 80), clean(_gives(rule)), enabled]


def _facts(rule: DirectoryRule) -> str:
    return facts(
        [
            ("id", str(rule.id)),
            ("directory", rule.source),
            ("group", clean(rule.group)),
            ("gives", clean(_gives(rule))),
            ("order", str(rule.order)),
            ("enabled", "yes" if rule.enabled else "no"),
        ]
    )


def _plan(plan: DirectoryPlan) -> str:
    lines = [clean(change.text) for change in (*plan.changes, *plan.refusals)]
    lines.append(f"{plan.seen} people read, {len(plan.changes)} changes. Nothing was changed.")
    if plan.held:
        lines.append(f"Held back: {clean(plan.held)}")
    return "\n".join([*lines, f"digest {plan.digest}"])


def _sync(done: DirectorySync) -> str:
    return "\n".join([*(clean(change) for change in done.changes), f"{done.outcome} {clean(done.message)}".strip()])


COMMANDS = {"directory": directory}
