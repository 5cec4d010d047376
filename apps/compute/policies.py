from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.compute.models import Attempt, Cluster, LogChunk, PriorityClass, Workload, WorkloadEvent


def _all_may_view(_principal: Any, role: Role) -> Q:
    return Q(pk__isnull=False) if role is Role.VIEWER else Q(pk__in=[])


def _operators_only(_principal: Any, _role: Role) -> Q:
    return Q(pk__in=[])


def declare() -> None:
    """Clusters and priority classes are there for everybody. A workload is seen through its owner's door; these rules are the operator's."""
    register(Policy(Cluster, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_all_may_view))
    register(
        Policy(PriorityClass, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_all_may_view, scope="priority_class")
    )
    register(Policy(Workload, {"view": Role.VIEWER, "operate": Role.MANAGER}, rule=_operators_only))
    for model in (Attempt, WorkloadEvent, LogChunk):
        register(Policy(model, {"view": Role.VIEWER}, rule=_operators_only))
