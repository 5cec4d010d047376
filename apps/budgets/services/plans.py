"""Budgets: made, changed and ended by admins."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.budgets.choices import LARGEST, Account, BudgetPolicy, Cadence, TxKind
from apps.budgets.models import Budget, Period
from apps.budgets.services import books
from apps.budgets.services.alerts import signing_key
from apps.budgets.services.books import Line, Plan, Postings
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_rows
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode


@transaction.atomic
def create_budget(  # noqa: PLR0913 -- each is a column of the budget
    node: QuotaNode,
    *,
    cadence: str,
    policy_name: str,
    amount_micros: int,
    by: Any,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    webhook_url: str = "",
    reason: str = "",
) -> Budget:
    """Give a node a budget; its first period is the one that is running, whole. Admins only. Audited.

    What runs already is not charged to it, unless it is open-ended: that is from its next lease on.
    Raises: NotAllowed, Invalid, Conflict when the node has one of that cadence.
    """
    policy.require_admin(by)
    made = Budget(
        node=node, cadence=cadence, policy=policy_name, amount_micros=amount_micros, starts_at=starts_at, ends_at=ends_at,
        webhook_url=webhook_url,
    )  # fmt: skip
    _check(made)
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError as error:
        msg = f"{node} has a budget for {made.get_cadence_display().lower()} already."
        raise Conflict(msg) from error
    made.refresh_from_db()
    if made.starts_at and made.ends_at:
        books.open_fixed(made.pk, made.starts_at, made.ends_at, amount_micros, policy_name)
    else:
        books.open_missing([_plan(made)], [], made.made_at)
    audit.record("create", made, by=by, reason=reason, policy=policy_name, amount_micros=amount_micros)
    return made


@transaction.atomic
def change_budget(
    budget: Budget,
    *,
    by: Any,
    reason: str,
    amount_micros: int | None = None,
    policy_name: str | None = None,
    webhook_url: str | None = None,
) -> Budget:
    """Change amount or policy, from the running period on. Admins only. Audited.

    Lowering an amount below what is spent and held stops nothing; it only holds nothing more.
    Raises: NotAllowed, Invalid without a reason, Conflict for one that was ended.
    """
    policy.require(by, "manage", budget)
    return _change(budget, by=by, reason=reason, amount_micros=amount_micros, policy_name=policy_name, url=webhook_url)


@transaction.atomic
def allot(budget: Budget, amount_micros: int, *, by: Any, reason: str) -> Budget:
    """Let a budget be `amount_micros` from the running period on. Admins, and maintainers for their members. Audited.

    Raises: NotAllowed, Invalid without a reason, Conflict for one that was ended.
    """
    policy.require(by, "allot", budget)
    return _change(budget, by=by, reason=reason, amount_micros=amount_micros)


def _change(
    budget: Budget,
    *,
    by: Any,
    reason: str,
    amount_micros: int | None = None,
    policy_name: str | None = None,
    url: str | None = None,
) -> Budget:
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    changed = Budget.objects.get(pk=budget.pk)
    if changed.ended_at is not None:
        msg = "This budget was ended."
        raise Conflict(msg)
    before = {"amount_micros": changed.amount_micros, "policy": changed.policy}
    changed.amount_micros = changed.amount_micros if amount_micros is None else amount_micros
    changed.policy = policy_name or changed.policy
    changed.webhook_url = changed.webhook_url if url is None else url
    _check(changed)
    for period in lock_rows(Period.objects.running().filter(budget=changed)):
        _apply(period, changed, by=by, reason=reason)
    changed.save(update_fields=["amount_micros", "policy", "webhook_url"])
    after = {"amount_micros": changed.amount_micros, "policy": changed.policy}
    audit.record("change", changed, by=by, reason=reason, before=before, after=after)
    return changed


def _apply(period: Period, budget: Budget, *, by: Any, reason: str) -> None:
    more = budget.amount_micros - period.amount_micros
    used = period.held_micros + period.spent_micros
    period.amount_micros = budget.amount_micros
    period.ceiling_micros = max(budget.amount_micros, used) if budget.policy == BudgetPolicy.RESERVE else None
    period.version += 1
    period.save(update_fields=["amount_micros", "ceiling_micros", "version"])
    postings = Postings()
    lines = [Line(Account.AVAILABLE, more, period.pk), Line(Account.FUNDING, -more, period.pk)]
    postings.post(TxKind.ADJUST, f"adjust:{period.pk}:{period.version}", lines, by=str(by), reason=reason)
    postings.write([])


@transaction.atomic
def end_budget(budget: Budget, *, by: Any, reason: str) -> Budget:
    """End a budget: it limits nothing from now on. What it holds is still charged to it. Admins only. Audited.

    Raises: NotAllowed, Invalid without a reason, Conflict when it was ended before.
    """
    policy.require(by, "manage", budget)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    rows = lock_rows(Period.objects.filter(budget=budget))  # so that nobody is charging it meanwhile
    if not Budget.objects.filter(pk=budget.pk, ended_at=None).update(ended_at=Now()):
        msg = "This budget was ended before."
        raise Conflict(msg)
    Period.objects.filter(pk__in=[row.pk for row in rows]).update(ceiling_micros=None)
    budget.refresh_from_db()
    audit.record("end", budget, by=by, reason=reason)
    return budget


def _plan(budget: Budget) -> Plan:
    return Plan(budget.pk, budget.node_id, budget.cadence, budget.policy, budget.amount_micros)


def _check(budget: Budget) -> None:
    errors: dict[str, list[str]] = {}
    if budget.node.kind == NodeKind.CLUSTER:
        errors["node"] = ["A cluster has prices, not a budget."]
    if budget.cadence not in Cadence.values:
        errors["cadence"] = [f"One of {', '.join(Cadence.values)}."]
    if budget.policy not in BudgetPolicy.values:
        errors["policy"] = [f"One of {', '.join(BudgetPolicy.values)}."]
    if not 0 <= budget.amount_micros <= LARGEST:
        errors["amount_micros"] = ["From 0 to nine thousand million."]
    dated = budget.starts_at is not None and budget.ends_at is not None and budget.ends_at > budget.starts_at
    if (budget.cadence == Cadence.FIXED) != dated:
        errors["starts_at"] = ["A fixed budget has a start and a later end; the others have none."]
    if budget.webhook_url and not _is_address(budget.webhook_url):
        errors["webhook_url"] = ["An http(s) address with a host, without a name or password in it."]
    if errors:
        raise Invalid(errors=errors)


def _is_address(url: str) -> bool:
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and port != 0


@transaction.atomic
def reveal_signing_key(budget: Budget, *, by: Any, reason: str) -> str:
    """Tell the key with which the webhook of a budget is signed. Admins only. Audited. Raises: NotAllowed."""
    policy.require(by, "manage", budget)
    audit.record("reveal_signing_key", budget, by=by, reason=reason)
    return signing_key(budget.pk)
