"""`fathom budget`: what things cost, and what may be spent."""

import sys
from pathlib import Path
from typing import Any

import click

from fathom.cli.output import clean, emit, facts, output_option, table
from fathom.cli.state import State, pass_state
from fathom.models import Budget, in_money, to_micros

CADENCES = ["month", "quarter", "year", "fixed"]
POLICIES = ["observe", "accrue", "reserve"]
GROUPS = ["organization", "team", "user", "project", "cluster", "day"]


class Money(click.ParamType[int]):
    """An amount as people write it."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return to_micros(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


MONEY = Money()
since_option = click.option("--since", metavar="DATE", help="By default the first of this month.")
until_option = click.option("--until", metavar="DATE", help="Not included; by default tomorrow.")
node_option = click.option(
    "--node", type=int, help="The place of a budget (`budget show` names it), and what is below it."
)


@click.group()
def budget() -> None:
    """Costs, prices and budgets."""


@budget.command("list")
@click.option("--ended", is_flag=True, help="Those that were ended, too.")
@output_option
@pass_state
def list_budgets(state: State, ended: bool, output: str) -> None:  # noqa: FBT001 -- a flag
    """List the budgets you may see, with what is spent and held now."""
    found = list(state.client.budgets.list(ended=ended))
    headers = ["ID", "WHOSE", "EACH", "POLICY", "SPENT", "HELD", "LEFT", "OF", "UNTIL"]
    rows = [_row(item) for item in found]
    emit(output, [item.raw for item in found], lambda: table(headers, rows, right=(4, 5, 6, 7)))


@budget.command("show")
@click.argument("budget_id", metavar="ID", type=int)
@output_option
@pass_state
def show_budget(state: State, budget_id: int, output: str) -> None:
    """Show one budget with its periods and alerts."""
    found = state.client.budgets.get(budget_id)
    emit(output, found.raw, lambda: _facts(found))


@budget.command("set")
@click.argument("place")
@click.argument("amount", type=MONEY)
@click.option("--each", "cadence", type=click.Choice(CADENCES), default="month", show_default=True)
@click.option("--policy", type=click.Choice(POLICIES), default="observe", show_default=True)
@click.option("--from", "starts_at", metavar="TIME", help="Of a fixed budget: 2026-12-01T00:00:00Z.")
@click.option("--until", "ends_at", metavar="TIME")
@click.option("--webhook", "webhook_url", help="Alerts are posted there, signed.")
@click.option("--reason", default="", help="Written to the audit trail.")
@output_option
@pass_state
def set_budget(state: State, /, place: str, amount: int, output: str, **details: Any) -> None:
    """Give PLACE (team:vision, org:acme, user:alice) a budget. Admins only."""
    made = state.client.budgets.create(place, amount_micros=amount, **details)
    emit(output, made.raw, lambda: _facts(made))


@budget.command("change")
@click.argument("budget_id", metavar="ID", type=int)
@click.option("--amount", "amount_micros", type=MONEY)
@click.option("--policy", type=click.Choice(POLICIES))
@click.option("--webhook", "webhook_url")
@click.option("--reason", required=True, help="Written to the audit trail.")
@output_option
@pass_state
def change_budget(state: State, /, budget_id: int, output: str, **changes: Any) -> None:
    """Change a budget from its running period on. Admins only."""
    made = state.client.budgets.update(budget_id, **changes)
    emit(output, made.raw, lambda: _facts(made))


@budget.command("end")
@click.argument("budget_id", metavar="ID", type=int)
@click.option("--reason", required=True, help="Written to the audit trail.")
@output_option
@pass_state
def end_budget(state: State, budget_id: int, reason: str, output: str) -> None:
    """End a budget: it limits nothing any more. Admins only."""
    made = state.client.budgets.end(budget_id, reason=reason)
    emit(output, made.raw, lambda: _facts(made))


@budget.command("prices")
@click.option("--cluster")
@output_option
@pass_state
def list_prices(state: State, cluster: str | None, output: str) -> None:
    """Show the price book, the newest versions first."""
    found = list(state.client.budgets.prices(cluster=cluster))
    headers = ["CLUSTER", "RESOURCE", "PER HOUR", "FROM", "VERSION"]
    rows = [
        [clean(p.cluster), clean(p.resource), in_money(p.micros_per_hour), _day(p.effective_from), str(p.version)]
        for p in found
    ]
    emit(output, [item.raw for item in found], lambda: table(headers, rows, right=(2,)))


@budget.command("set-price")
@click.argument("cluster")
@click.argument("resource")
@click.argument("price", type=MONEY)
@click.option("--from", "effective_from", metavar="TIME", help="Now, if none is given.")
@click.option("--reason", default="", help="Written to the audit trail.")
@output_option
@pass_state
def set_price(state: State, /, cluster: str, resource: str, price: int, output: str, **details: Any) -> None:
    """Set what one CPU, GPU, GiB or counted thing costs for an hour. Admins only."""
    made = state.client.budgets.set_price(cluster, resource, price, **details)
    emit(
        output, made.raw, lambda: f"{made.resource} on {clean(made.cluster)}: {in_money(made.micros_per_hour)} per hour"
    )


@budget.command("costs")
@click.option("--by", "group_by", type=click.Choice(GROUPS), default="project", show_default=True)
@since_option
@until_option
@node_option
@output_option
@pass_state
def show_costs(state: State, /, group_by: Any, output: str, **when: Any) -> None:
    """Show who spent how much, as far as you may see it."""
    found = state.client.budgets.costs(group_by, **when)
    headers = [group_by.upper(), f"COST ({found['currency']})", "CPU HOURS", "GPU HOURS", "IDLE", "CPU IDLE"]
    rows = [_cost_row(line) for line in [*found["lines"], found["total"]]]
    emit(output, found, lambda: table(headers, rows, right=(1, 2, 3, 4, 5)))


@budget.command("statement")
@since_option
@until_option
@node_option
@click.option("--csv", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write it there as CSV.")
@output_option
@pass_state
def show_statement(state: State, /, file: Path | None, output: str, **when: Any) -> None:
    """Show a statement that equals the ledger: lines, what rounding made of them, and the sum."""
    if file is not None:
        state.client.budgets.download_statement(file, **when)
        click.echo(f"Wrote {file}.", file=sys.stderr)
        return
    found = state.client.budgets.statement(**when)
    names = ("day", "team", "user", "project", "cluster", "cost")
    rows = [[clean(line[name]) for name in names] for line in found["lines"]]
    rows += [["rounding", "", "", "", "", found["rounding"]], ["total", "", "", "", "", found["total"]]]
    emit(output, found, lambda: table([name.upper() for name in names], rows, right=(5,)))


@budget.command("ledger")
@click.option("--key", help="Of one attempt, by its handle.")
@click.option("--id", "posting_id", help="One posting.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@pass_state
def show_ledger(state: State, /, key: str | None, posting_id: str | None, limit: int, output: str) -> None:
    """List postings, newest first."""
    api = state.client.budgets
    found = [api.posting(posting_id)] if posting_id else api.ledger(key=key).first(limit)
    headers = ["AT", "KIND", "COST", "ATTEMPT", "BY", "REASON", "ID"]
    rows = [
        [_day(p.at), p.kind, in_money(p.cost_micros), clean(p.key), clean(p.by, 20), clean(p.reason, 40), p.id]
        for p in found
    ]
    emit(output, [item.raw for item in found], lambda: table(headers, rows, right=(2,)))


@budget.command("reverse")
@click.argument("posting_id", metavar="ID")
@click.option("--reason", required=True, help="Written to the audit trail and into the ledger.")
@output_option
@pass_state
def reverse(state: State, posting_id: str, reason: str, output: str) -> None:
    """Give back a charge, whole. Admins only."""
    made = state.client.budgets.reverse(posting_id, reason=reason)
    emit(output, made.raw, lambda: f"Reversed: {in_money(made.cost_micros)}")


def _row(found: Budget) -> list[str]:
    period = found.period
    amounts = (
        (period.spent_micros, period.held_micros, max(0, period.available_micros), period.amount_micros)
        if period
        else ()
    )
    shown = [in_money(amount) for amount in amounts] or [""] * 4
    until = _day(period.ends_at) if period else ""
    return [str(found.id), clean(found.node), found.cadence, found.policy, *shown, until]


def _facts(found: Budget) -> str:
    names = ("Budget", "Whose", "Each", "Policy", "Spent", "Held", "Left", "Of", "Until")
    return facts([*zip(names, _row(found), strict=True), ("Currency", found.currency), ("Node", str(found.node_id))])


def _cost_row(line: dict[str, Any]) -> list[str]:
    idle, idle_cpu = line["idle_percent"], line.get("idle_cpu_percent")
    return [
        clean(line["label"]), in_money(line["cost_micros"]), f"{line['cpu_hours']:.1f}", f"{line['gpu_hours']:.1f}",
        "" if idle is None else f"{idle} %", "" if idle_cpu is None else f"{idle_cpu} %",
    ]  # fmt: skip


def _day(moment: Any) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else ""


COMMANDS = {"budget": budget}
