from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.policy import Policy, register
from apps.budgets.models import Alert, Budget, Delivery, Hold, LedgerEntry, LedgerTx, Period, Price


def visible_nodes(principal: Any, prefix: str = "") -> Q:
    """Say on which places of the quota tree a person sees money: his own, his teams', and in teams that he maintains the
    members'. What organizations and the platform spend is the sum over tenants: for admins and auditors.
    """
    member = memberships_of(principal)
    teams = [f"team:{pk}" for pk in member.teams_with(Role.VIEWER)]
    return Q(**{f"{prefix}key__in": [*teams, *_own(principal, teams)]}) | _members(principal, prefix)


def _members(principal: Any, prefix: str) -> Q:
    condition = Q(pk__in=[])
    for pk in memberships_of(principal).teams_with(Role.MANAGER):
        condition |= Q(**{f"{prefix}key__startswith": f"team:{pk}/user:"})
    return condition


def _own(principal: Any, teams: list[str]) -> list[str]:
    return [f"user:{principal.pk}", *(f"{team}/user:{principal.pk}" for team in teams)]


def _budgets(principal: Any, role: Role) -> Q:
    """Maintainers give their members more, of what is charged to the team as well; all else of a budget is for admins."""
    if role is Role.VIEWER:
        return visible_nodes(principal, "node__")
    return _members(principal, "node__") if role is Role.EDITOR else Q(pk__in=[])


def _reach(prefix: str) -> Any:
    return lambda principal, role: visible_nodes(principal, prefix) if role is Role.VIEWER else Q(pk__in=[])


def _posting(prefix: str) -> Any:
    """One sees what was posted for the work of those whose costs one sees, and what changed budgets that one sees.

    SECURITY: a team's budget is charged for everybody's work; which work that was its members do not see here.
    """

    def rule(principal: Any, role: Role) -> Q:
        if role is not Role.VIEWER:
            return Q(pk__in=[])
        of_work = visible_nodes(principal, f"{prefix}hold__node__")
        entries = LedgerEntry.objects.filter(visible_nodes(principal, "period__budget__node__"), tx__hold=None)
        mine = Q(tx_id__in=entries.values("tx_id")) if prefix else Q(pk__in=entries.values("tx_id"))
        return of_work | mine

    return rule


def _all_may_view(_principal: Any, role: Role) -> Q:
    return Q(pk__isnull=False) if role is Role.VIEWER else Q(pk__in=[])


def _operators_only(_principal: Any, _role: Role) -> Q:
    return Q(pk__in=[])


def declare() -> None:
    """Prices are there for everybody; they are set, like budgets, by admins."""
    read = {"view": Role.VIEWER}
    register(Policy(Price, {**read, "manage": Role.MANAGER}, rule=_all_may_view))
    register(Policy(Budget, {**read, "allot": Role.EDITOR, "manage": Role.MANAGER}, rule=_budgets))
    register(Policy(Period, read, rule=_reach("budget__node__"), scope="budget"))
    register(Policy(Alert, read, rule=_reach("period__budget__node__"), scope="budget"))
    register(Policy(Hold, read, rule=_reach("node__"), scope="ledger"))
    register(Policy(LedgerTx, {**read, "reverse": Role.MANAGER}, rule=_posting(""), scope="ledger"))
    register(Policy(LedgerEntry, read, rule=_posting("tx__"), scope="ledger"))
    register(Policy(Delivery, read, rule=_operators_only, scope="budget"))
