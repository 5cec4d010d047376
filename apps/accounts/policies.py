from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.accounts.models import ApiToken, User, UserSession


def _own(field: str) -> Any:
    return lambda principal, _role: Q(**{field: principal.pk})


def declare() -> None:
    register(
        Policy(
            ApiToken,
            {"view": Role.VIEWER, "create": Role.MANAGER, "revoke": Role.MANAGER, "edit": Role.MANAGER},
            rule=_own("user_id"),
            is_personal=True,
        )
    )
    register(Policy(User, {"view": Role.VIEWER, "edit": Role.MANAGER}, rule=_own("pk"), is_personal=True))
    register(
        Policy(
            UserSession,
            {"view": Role.VIEWER, "end": Role.MANAGER},
            rule=_own("user_id"),
            scope="session",
            is_personal=True,
        )
    )
