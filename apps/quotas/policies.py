from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.policy import Policy, register
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation


def _reach(prefix: str) -> Any:
    """One sees the numbers of one's teams and one's own. What the platform and the clusters carry, others make."""

    def rule(principal: Any, role: Role) -> Q:
        if role is not Role.VIEWER:
            return Q(pk__in=[])
        teams = [f"team:{pk}" for pk in memberships_of(principal).teams_with(Role.VIEWER)]
        own = [f"user:{principal.pk}", *(f"{team}/user:{principal.pk}" for team in teams)]
        return Q(**{f"{prefix}key__in": [*teams, *own]})

    return rule


def declare() -> None:
    register(Policy(QuotaNode, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_reach("")))
    register(Policy(QuotaLimit, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_reach("node__")))
    register(Policy(Reservation, {"view": Role.VIEWER}, rule=_reach("node__")))
