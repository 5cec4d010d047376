from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.policy import Policy, register
from apps.quotas.models import QuotaDefault, QuotaLimit, QuotaNode, Reservation, Resource, ShareUse


def _reach(prefix: str) -> Any:
    """One sees the numbers of one's teams and one's own; a maintainer also what his team hands out, which he may change.

    What the platform and the clusters carry, others make.
    """

    def rule(principal: Any, role: Role) -> Q:
        member = memberships_of(principal)
        kept = Q(**{f"{prefix}parent__key__in": [f"team:{pk}" for pk in member.with_role(Role.MANAGER)]})
        if role is not Role.VIEWER:
            return kept
        teams = [f"team:{pk}" for pk in member.with_role(Role.VIEWER)]
        own = [f"user:{principal.pk}", *(f"{team}/user:{principal.pk}" for team in teams)]
        return kept | Q(**{f"{prefix}key__in": [*teams, *own]})

    return rule


def _everyone(_principal: Any, role: Role) -> Q:
    """What can be limited, and how one begins, is no secret; admins change it."""
    return Q() if role is Role.VIEWER else Q(pk__in=[])


def declare() -> None:
    register(Policy(QuotaNode, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_reach("")))
    register(Policy(QuotaLimit, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_reach("node__")))
    register(Policy(Reservation, {"view": Role.VIEWER}, rule=_reach("node__")))
    register(Policy(ShareUse, {"view": Role.VIEWER}, rule=_reach("node__")))
    register(Policy(Resource, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_everyone))
    register(Policy(QuotaDefault, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_everyone))
