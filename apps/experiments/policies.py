from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.experiments.models import CodeUpload, Experiment


def _own(principal: Any, _role: Role) -> Q:
    return Q(owner_id=principal.pk)


def declare() -> None:
    register(
        Policy(
            Experiment,
            {
                "view": Role.VIEWER,
                "logs": Role.VIEWER,
                "clone": Role.VIEWER,
                "create": Role.EDITOR,
                "stop": Role.EDITOR,
                "retry": Role.EDITOR,
                "share": Role.MANAGER,
                "delete": Role.MANAGER,
            },
            via="run",
            writes=frozenset({"clone"}),
        )
    )
    register(Policy(CodeUpload, {"view": Role.VIEWER, "create": Role.MANAGER}, rule=_own, scope="code"))
