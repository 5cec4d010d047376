from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.policy import Policy, register
from apps.accounts.models import ApiToken, Registration, User, UserSession


def _tokens(principal: Any, _role: Role) -> Q:
    """One's own; and who maintains a team keeps its service accounts' in order."""
    maintained = memberships_of(principal).teams_with(Role.MANAGER)
    own = Q(user_id=principal.pk)
    return own | Q(user__service_of__in=maintained) if maintained else own


def _people(principal: Any, role: Role) -> Q:
    """People see themselves and who is in a team with them; themselves they may edit; only admins manage people."""
    if role is Role.MANAGER:
        return Q(pk__in=[])
    own = Q(pk=principal.pk)
    teams = memberships_of(principal).teams_with(Role.VIEWER)
    if role is not Role.VIEWER or not teams:
        return own
    return own | Q(pk__in=User.objects.filter(memberships__team__in=teams).values("pk"))


def declare() -> None:
    register(
        Policy(
            ApiToken,
            {
                "view": Role.VIEWER,
                "create": Role.MANAGER,
                "rotate": Role.MANAGER,
                "revoke": Role.MANAGER,
                "edit": Role.MANAGER,
            },
            rule=_tokens,
            is_personal=True,
        )
    )
    actions = {"view": Role.VIEWER, "edit": Role.EDITOR, "manage": Role.MANAGER}
    register(Policy(User, actions, rule=_people, is_personal=True))
    register(Policy(Registration, {"view": Role.VIEWER, "decide": Role.MANAGER}, rule=_nobody))
    register(
        Policy(
            UserSession,
            {"view": Role.VIEWER, "end": Role.MANAGER},
            rule=_sessions,
            scope="session",
            is_personal=True,
        )
    )


def _sessions(principal: Any, _role: Role) -> Q:
    return Q(user_id=principal.pk)


def _nobody(_principal: Any, _role: Role) -> Q:
    """Only admins, for whom no rule is asked."""
    return Q(pk__in=[])
