"""Quotas and the queue: who may hold how much, asking for more, what waits and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from fathom.cli.output import ago, clean, emit, facts, mapping, output_option, table
from fathom.cli.state import State, pass_state, short
from fathom.cli.submit import pairs
from fathom.models import AllocationRequest, Limit, PriorityClass, QueuePlace, QuotaNode, Resource, Standing, Wait

KINDS = ("platform", "organization", "group", "team", "user", "cluster")
STATES = ("open", "approved", "refused", "withdrawn", "expired")
NO_LIMIT = "none"
_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
node_argument = click.argument("node", metavar="PLACE")
until_option = click.option("--until", type=_TIME, help="2027-01-31, or with a time; in your own time zone.")


@click.group()
def quota() -> None:
    """Who may hold how much, and asking for more. A PLACE is named by its key (team:7) or id."""


@quota.command("list")
@click.option("--kind", type=click.Choice(KINDS))
@click.option("--name", "q", help="The name contains this.")
@output_option
@pass_state
def list_quotas(state: State, kind: str | None, q: str | None, output: str) -> None:
    """List the places you may see, with what is used of which limit."""
    found = list(state.client.quotas.list(kind=kind, q=q))
    rows = [
        [node.key, clean(" / ".join(node.path), 60), resource, *_amounts(limit)]
        for node in found
        for resource, limit in _of_interest(node)
    ]
    headers = ["PLACE", "NAME", "RESOURCE", "USED", "LIMIT", "BORROW", "FREE"]
    emit(output, [node.raw for node in found], lambda: table(headers, rows, right=(3, 4, 5, 6)))


@quota.command("show")
@node_argument
@output_option
@pass_state
def show_quota(state: State, node: str, output: str) -> None:
    """Show one place, with every resource."""
    found = state.client.quotas.get(node)
    emit(output, found.raw, lambda: _node(found))


@quota.command("set")
@node_argument
@click.argument("limits", metavar="[RESOURCE=AMOUNT]...", nargs=-1)
@click.option("--borrow", "borrow", multiple=True, metavar="RESOURCE=AMOUNT", help="What more may be held; repeatable.")
@click.option("--weight", type=click.IntRange(1), help="Its share among its siblings, in fair share.")
@click.option("--reason", required=True, help="For the audit trail.")
@output_option
@pass_state
def set_quota(
    state: State, node: str, limits: Sequence[str], borrow: Sequence[str], weight: int | None, reason: str, output: str
) -> None:
    """Set limits, all or none: fathom quota set team:7 cpu=64 memory=256Gi gpu=none --reason "more machines"."""
    chosen: dict[str, Any] = {name: _limit(text) for name, text in pairs(limits).items()}
    lent: dict[str, Any] = dict(pairs(borrow))
    if not chosen and not lent and weight is None:
        message = "Nothing to change: give RESOURCE=AMOUNT, --borrow or --weight."
        raise click.UsageError(message)
    where = state.client.quotas.get(node).id
    done = state.client.quotas.update(where, reason=reason, limits=chosen or None, borrow=lent or None, weight=weight)
    emit(output, done.raw, lambda: _node(done))


@quota.command("what-if")
@node_argument
@click.argument("limits", metavar="RESOURCE=AMOUNT...", nargs=-1, required=True)
@output_option
@pass_state
def what_if(state: State, node: str, limits: Sequence[str], output: str) -> None:
    """Say what would start if limits were others. Nothing is changed. For admins and auditors."""
    changes = [(node, name, _limit(text)) for name, text in pairs(limits).items()]
    found = state.client.quotas.what_if(changes)
    told = [("as it is", one) for one in found.as_it_is] + [("besides", one) for one in found.besides]
    rows = [[when, short(one.id), clean(one.name, 40), clean(one.owner), clean(one.team)] for when, one in told]
    headers = ["STARTS", "ID", "NAME", "OWNER", "TEAM"]
    emit(output, found.raw, lambda: table(headers, rows) or "Nothing would start.")


@quota.command("request")
@node_argument
@click.argument("resource")
@click.argument("amount")
@click.option("--reason", required=True, help="What for.")
@until_option
@output_option
@pass_state
def request_more(
    state: State, node: str, resource: str, amount: str, reason: str, until: datetime | None, output: str
) -> None:
    """Ask that a place may hold AMOUNT in all: fathom quota request team:7 gpu 16 --reason "a deadline"."""
    made = state.client.allocations.create(node, resource, amount, reason=reason, until=_aware(until))
    emit(output, made.raw, lambda: _request(made))


@quota.command("requests")
@click.argument("request_id", metavar="[ID]", required=False)
@click.option("--mine", is_flag=True, help="Only those you made.")
@click.option("--to-decide", is_flag=True, help="Only open ones that you can decide.")
@click.option("--state", "state_", type=click.Choice(STATES))
@output_option
@pass_state
def requests(
    state: State,
    request_id: str | None,
    mine: bool,  # noqa: FBT001 -- a flag
    to_decide: bool,  # noqa: FBT001 -- a flag
    state_: str | None,
    output: str,
) -> None:
    """List requests for more, newest first, or show one."""
    if request_id is not None:
        one = state.client.allocations.get(request_id)
        emit(output, one.raw, lambda: _request(one))
        return
    found = list(state.client.allocations.list(mine=mine, to_decide=to_decide, state=state_))
    headers = ["ID", "PLACE", "RESOURCE", "NOW", "ASKED", "STATE", "BY", "UNTIL", "REASON"]
    emit(output, [one.raw for one in found], lambda: table(headers, [_request_row(one) for one in found]))


@quota.command("approve")
@click.argument("request_id", metavar="ID")
@click.option("--amount", help="Give this instead of what was asked for.")
@until_option
@click.option("--note", default="")
@output_option
@pass_state
def approve(state: State, request_id: str, amount: str | None, until: datetime | None, note: str, output: str) -> None:
    """Give what was asked for, at once."""
    done = state.client.allocations.approve(request_id, amount=amount, until=_aware(until), note=note)
    emit(output, done.raw, lambda: _request(done))


@quota.command("refuse")
@click.argument("request_id", metavar="ID")
@click.option("--note", default="", help="Why.")
@output_option
@pass_state
def refuse(state: State, request_id: str, note: str, output: str) -> None:
    """Say no."""
    done = state.client.allocations.refuse(request_id, note=note)
    emit(output, done.raw, lambda: _request(done))


@quota.command("withdraw")
@click.argument("request_id", metavar="ID")
@output_option
@pass_state
def withdraw(state: State, request_id: str, output: str) -> None:
    """Take back what you asked for."""
    done = state.client.allocations.withdraw(request_id)
    emit(output, done.raw, lambda: _request(done))


@quota.group("classes")
def classes() -> None:
    """Priority classes: ranks among everybody's work. Admins change them."""


@classes.command("list")
@output_option
@pass_state
def list_classes(state: State, output: str) -> None:
    """List them, the highest first."""
    found = list(state.client.priority_classes.list())
    rows = [[clean(one.name), str(one.rank), one.open_to, clean(one.description, 60)] for one in found]
    headers = ["NAME", "RANK", "OPEN TO", "DESCRIPTION"]
    emit(output, [one.raw for one in found], lambda: table(headers, rows, right=(1,)))


@classes.command("show")
@click.argument("name")
@output_option
@pass_state
def show_class(state: State, name: str, output: str) -> None:
    """Show one."""
    found = state.client.priority_classes.get(name)
    emit(output, found.raw, lambda: _class(found))


@classes.command("create")
@click.argument("name")
@click.argument("rank", type=int)
@click.option(
    "--open-to", type=click.Choice(["everyone", "maintainers", "admins"]), default="admins", show_default=True
)
@click.option("--description", default="")
@output_option
@pass_state
def create_class(state: State, name: str, rank: int, open_to: str, description: str, output: str) -> None:
    """Make one: fathom quota classes create urgent 50 --open-to maintainers. A negative rank goes after --."""
    made = state.client.priority_classes.create(name, rank, open_to=open_to, description=description)
    emit(output, made.raw, lambda: _class(made))


@classes.command("update")
@click.argument("name")
@click.option("--rank", type=int)
@click.option("--open-to", type=click.Choice(["everyone", "maintainers", "admins"]))
@click.option("--description")
@output_option
@pass_state
def update_class(state: State, /, name: str, output: str, **changes: Any) -> None:
    """Change what is given. What waits keeps the rank it has."""
    done = state.client.priority_classes.update(name, **_given(changes))
    emit(output, done.raw, lambda: _class(done))


@classes.command("delete")
@click.argument("name")
@pass_state
def delete_class(state: State, name: str) -> None:
    """Delete one that nothing waits with."""
    state.client.priority_classes.delete(name)
    click.echo(f"Deleted {name}.")


@quota.group("resources")
def resources() -> None:
    """What can be limited. Admins change it."""


@resources.command("list")
@output_option
@pass_state
def list_resources(state: State, output: str) -> None:
    """List what can be limited."""
    found = state.client.resources.list()
    rows = [[one.name, clean(one.title), str(one.weight), "yes" if one.built_in else "no"] for one in found]
    headers = ["NAME", "TITLE", "WEIGHT", "BUILT IN"]
    emit(output, [one.raw for one in found], lambda: table(headers, rows, right=(2,)))


@resources.command("create")
@click.argument("name")
@click.argument("title")
@click.option("--position", type=click.IntRange(0))
@click.option("--weight", type=click.IntRange(0), help="Of one unit in fair share, in hundredths of a CPU.")
@output_option
@pass_state
def create_resource(state: State, /, name: str, title: str, output: str, **more: Any) -> None:
    """Add what can be limited: fathom quota resources create licenses Licenses."""
    made = state.client.resources.create(name, title, **_given(more))
    emit(output, made.raw, lambda: _resource(made))


@resources.command("update")
@click.argument("name")
@click.option("--title")
@click.option("--position", type=click.IntRange(0))
@click.option("--weight", type=click.IntRange(0))
@output_option
@pass_state
def update_resource(state: State, /, name: str, output: str, **changes: Any) -> None:
    """Change what is given."""
    done = state.client.resources.update(name, **_given(changes))
    emit(output, done.raw, lambda: _resource(done))


@resources.command("delete")
@click.argument("name")
@pass_state
def delete_resource(state: State, name: str) -> None:
    """Delete what nobody uses; what is built in is as it was built in again."""
    state.client.resources.delete(name)
    click.echo(f"Deleted {name}.")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All of it, page by page.")
@output_option
@pass_state
def queue(state: State, limit: int, everything: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """List what waits and you may see, the next one first."""
    listing = state.client.queue.list()
    found = list(listing) if everything else listing.first(limit)
    headers = ["#", "ID", "NAME", "OWNER", "TEAM", "CLASS", "QUEUED", "WHY"]
    emit(output, [one.raw for one in found], lambda: table(headers, [_place(one) for one in found], right=(0,)))
    if not found and output == "table":
        click.echo("Nothing waits that you may see.", err=True)


@click.command()
@click.argument("what", metavar="ID|NAME")
@output_option
@pass_state
def why(state: State, what: str, output: str) -> None:
    """Say why an experiment waits, what is in its way, who can change that, and when it may start."""
    found = state.client.experiments.why(_waiting_id(state, what))
    emit(output, found.raw, lambda: explained(found))


def _waiting_id(state: State, given: str) -> str:
    """The id for an id, a prefix, `latest`, or the exact name of an experiment: the newest of that name."""
    named = next((one for one in state.client.experiments.list(q=given).first(50) if one.name == given), None)
    return named.id if named else state.experiment_id(given)


def explained(found: Wait) -> str:
    """The whole answer, as paragraphs."""
    parts = [clean(found.sentence)]
    for one in found.obstacles:
        by = ", ".join(clean(name) for name in one.changed_by)
        parts.append(f"In the way: {clean(one.sentence)}.\n  Can be changed by: {by}")
    parts += [clean(sentence) for sentence in found.remedies]
    when = found.starts_at.astimezone().strftime("%Y-%m-%d %H:%M") if found.starts_at else ""
    turn = facts(
        [
            ("place in the queue", str(found.position or "")),
            ("starts at the latest", f"{when}, unless others go first" if when else ""),
        ]
    )
    if turn:
        parts.append(turn)
    if found.standing:
        parts.append(f"Fair share (who used less for his weight goes first):\n{_standing(found.standing)}")
    return "\n\n".join(parts)


def _standing(steps: Sequence[Standing]) -> str:
    rows = [[clean(one.node), f"{one.cpu_hours:g}", str(one.weight), f"{one.score:g}"] for one in steps]
    return table(["WHERE", "CPU HOURS", "WEIGHT", "SCORE"], rows, right=(1, 2, 3))


def _limit(text: str) -> str | None:
    return None if text == NO_LIMIT else text


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone()


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _of_interest(node: QuotaNode) -> list[tuple[str, Limit]]:
    """What is limited or used there."""
    return [(name, limit) for name, limit in node.limits.items() if limit.limit is not None or limit.used]


def _amounts(limit: Limit) -> list[str]:
    said = limit.written
    return [said.get("used") or "0", said.get("limit") or NO_LIMIT, said.get("borrow") or "0", said.get("free") or ""]


def _node(node: QuotaNode) -> str:
    head = facts(
        [
            ("place", node.key),
            ("id", str(node.id)),
            ("name", clean(" / ".join(node.path))),
            ("kind", node.kind),
            ("weight", str(node.weight)),
        ]
    )
    rows = [[name, *_amounts(limit)] for name, limit in node.limits.items()]
    return f"{head}\n\n{table(['RESOURCE', 'USED', 'LIMIT', 'BORROW', 'FREE'], rows, right=(1, 2, 3, 4))}"


def _request(one: AllocationRequest) -> str:
    return facts(
        [
            ("id", one.id),
            ("place", f"{clean(one.node)} ({one.node_key})"),
            ("resource", one.resource),
            ("before", one.written.get("before") or str(one.before)),
            ("asked for", one.written.get("amount") or str(one.amount)),
            ("given", one.written.get("given") or ""),
            ("until", str(one.until or "for good")),
            ("reason", clean(one.reason)),
            ("asked by", clean(one.asked_by)),
            ("state", one.state),
            ("decided by", clean(one.decided_by)),
            ("note", clean(one.note)),
        ]
    )


def _request_row(one: AllocationRequest) -> list[str]:
    return [
        one.id,
        clean(one.node, 30),
        one.resource,
        one.written.get("before") or "",
        one.written.get("amount") or "",
        one.state,
        clean(one.asked_by),
        f"{one.until:%Y-%m-%d}" if one.until else "",
        clean(one.reason, 50),
    ]


def _class(one: PriorityClass) -> str:
    return mapping({"name": one.name, "rank": one.rank, "open_to": one.open_to, "description": one.description})


def _resource(one: Resource) -> str:
    return mapping({"name": one.name, "title": one.title, "position": one.position, "weight": one.weight})


def _place(one: QueuePlace) -> list[str]:
    return [
        str(one.position),
        short(one.id),
        clean(one.name, 40),
        clean(one.owner, 20),
        clean(one.team),
        clean(one.priority_class),
        ago(one.queued_at),
        clean(one.message, 80),
    ]


COMMANDS = {"queue": queue, "quota": quota, "why": why}
