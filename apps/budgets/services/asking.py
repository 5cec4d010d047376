"""What admission and money say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.budgets.choices import BudgetPolicy, in_money
from apps.budgets.services.books import Locked


@dataclass(frozen=True, slots=True)
class Ask:
    """What one attempt wants to hold."""

    key: str  # the attempt's handle, unique for ever
    node_ids: tuple[int, ...]  # the quota nodes on its path, root first, leaf last; without the cluster's
    cluster_id: UUID
    amounts: Mapping[str, int]  # base units: cpu and gpu in milli, memory and disk in bytes, counts
    timeout_seconds: int | None  # the worst case, grace included; None: open-ended, on short leases
    subject: str = ""  # "run:<id>", for showback by project


@dataclass(frozen=True, slots=True)
class Short:
    """Why money keeps it waiting, or refuses it.

    SECURITY: `message` may be shown to whoever asks. The numbers beside it may not: an organization's are the sum over
    its teams.
    """

    budget_id: int
    node_name: str
    policy: str
    available_micros: int
    need_micros: int
    is_final: bool  # it can never fit the amount of a period
    message: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What something would cost if it were admitted now."""

    rate_micros_per_hour: int
    worst_micros: int | None  # None: it has no time limit
    lease_micros: int  # what would be held at the start
    short: Short | None


def too_little(period: Locked, need: int, why: str = "this may cost up to") -> Short:
    """Say that a period has less left than is needed, or lets nothing run any more."""
    return Short(
        budget_id=period.budget_id,
        node_name=period.whose,
        policy=period.policy,
        available_micros=period.available,
        need_micros=need,
        is_final=period.policy == BudgetPolicy.RESERVE and need > period.amount and not period.is_over,
        message=_sentence(period, f"{why} {in_money(need)}"),
    )


def _sentence(period: Locked, cost: str) -> str:
    until = day(period.ends_at)
    if period.is_over:
        return f"the budget of {period.whose} ended on {until}"
    if period.is_shared:
        left = "is spent" if period.policy == BudgetPolicy.ACCRUE else "has too little left"
        return f"the budget of {period.whose} until {until} {left}, and {cost}"
    if period.policy == BudgetPolicy.ACCRUE:
        return f"{period.whose} has spent {in_money(period.spent)} of its {in_money(period.amount)} until {until}"
    return f"{period.whose} has {in_money(period.available)} left of its {in_money(period.amount)} until {until}, and {cost}"


def day(moment: datetime) -> str:
    here = moment.astimezone(timezone.get_default_timezone())
    return f"{here.day} {here:%B}"
