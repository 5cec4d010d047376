from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.storage.models import Blob, Collection


def _operators_only(_principal: Any, _role: Role) -> Q:
    """SECURITY: that bytes are stored at all is nothing a tenant may learn, unless his own rows say so."""
    return Q(pk__in=[])


def declare() -> None:
    for model in (Blob, Collection):
        register(Policy(model, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_operators_only))
