from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.directory.models import DirectoryRule, DirectorySync


def _nobody(_principal: Any, _role: Role) -> Q:
    """Operators need no rule; nobody else has business here."""
    return Q(pk__in=[])


def declare() -> None:
    register(Policy(DirectoryRule, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_nobody))
    register(Policy(DirectorySync, {"view": Role.VIEWER, "run": Role.MANAGER}, rule=_nobody))
