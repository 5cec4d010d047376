from collections.abc import Callable
from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.policy import Policy, register
from apps.quotas.models import AllocationRequest, QuotaDefault, QuotaLimit, QuotaNode, Reservation, Resource, ShareUse


def _reach(prefix: str) -> Callable[[Any, Role], Q]:
    """One sees the numbers of one's teams and one's own; a maintainer also what his team hands out, which he may change.

    What the platform and the clusters carry, others make. Whoever works in a team may ask for more for it, and for himself.
    """

    def rule(principal: Any, role: Role) -> Q:
        member = memberships_of(principal)
        kept = Q(**{f"{prefix}parent__key__in": [f"team:{pk}" for pk in member.with_role(Role.MANAGER)]})
        if role is Role.MANAGER:
            return kept
        teams = [f"team:{pk}" for pk in member.with_role(role)]
        own = [f"user:{principal.pk}", *(f"{team}/user:{principal.pk}" for team in teams)]
        return kept | Q(**{f"{prefix}key__in": [*teams, *own]})

    return rule


def _requests(principal: Any, role: Role) -> Q:
    """One sees one's own requests and those of one's teams; who may change the limit decides; the asker withdraws."""
    # Whoever decides holds the highest role, and with it the asker's; the service refuses what only the asker may.
    reached: Q = _reach("node__")(principal, Role.MANAGER if role is Role.EDITOR else role)
    return reached if role is Role.MANAGER else reached | Q(asked_by_id=principal.pk)


def _everyone(_principal: Any, role: Role) -> Q:
    """What can be limited, and how one begins, is no secret; admins change it."""
    return Q(pk__isnull=False) if role is Role.VIEWER else Q(pk__in=[])


def declare() -> None:
    node = {"view": Role.VIEWER, "request": Role.EDITOR, "manage": Role.MANAGER}
    register(Policy(QuotaNode, node, rule=_reach("")))
    asked = {"view": Role.VIEWER, "withdraw": Role.EDITOR, "decide": Role.MANAGER}
    register(Policy(AllocationRequest, asked, rule=_requests, scope="allocation"))
    register(Policy(QuotaLimit, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_reach("node__")))
    register(Policy(Reservation, {"view": Role.VIEWER}, rule=_reach("node__")))
    register(Policy(ShareUse, {"view": Role.VIEWER}, rule=_reach("node__")))
    register(Policy(Resource, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_everyone))
    register(Policy(QuotaDefault, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_everyone))
