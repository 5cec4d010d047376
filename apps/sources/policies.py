from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.sources.models import Fetch


def _own(principal: Any, _role: Role) -> Q:
    return Q(owner_id=principal.pk)


def declare() -> None:
    """Who may view an experiment is told there what was fetched for it; the row itself is its owner's."""
    register(Policy(Fetch, {"view": Role.VIEWER}, rule=_own, scope="code"))
