from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.sharing.models import AccessRequest
from apps.sharing.querysets import decidable_by


def _own_or_decidable(principal: Any, role: Role) -> Q:
    """One's own requests may be seen and withdrawn; who may share the object decides."""
    decidable = decidable_by(principal)
    return Q(by_id=principal.pk) | decidable if role is Role.VIEWER else decidable


def declare() -> None:
    register(
        Policy(
            AccessRequest,
            {"view": Role.VIEWER, "withdraw": Role.VIEWER, "decide": Role.MANAGER},
            rule=_own_or_decidable,
            writes=frozenset({"withdraw"}),
        )
    )
