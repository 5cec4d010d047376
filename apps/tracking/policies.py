from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.tracking.models import Artifact, LoggedModel, Project, Retention, Run, Upload


def _operators_only(_principal: Any, _role: Role) -> Q:
    """Rules have no door of their own but the admin: a project's is seen and changed as part of the project."""
    return Q(pk__in=[])


def declare() -> None:
    register(
        Policy(
            Project,
            {
                "view": Role.VIEWER,
                "submit": Role.EDITOR,
                "create": Role.EDITOR,
                "edit": Role.EDITOR,
                "share": Role.MANAGER,
                "delete": Role.MANAGER,
            },
            reached_from={"run": "runs"},
        )
    )
    register(
        Policy(
            Run,
            {
                "view": Role.VIEWER,
                "log": Role.EDITOR,
                "create": Role.EDITOR,
                "edit": Role.EDITOR,
                "share": Role.MANAGER,
                "delete": Role.MANAGER,
            },
            reached_from={"run": "made_in"},
        )
    )
    register(
        Policy(Artifact, {"view": Role.VIEWER, "log": Role.EDITOR, "delete": Role.MANAGER}, via="run", scope="run")
    )
    # Doors show an upload to who began it alone: `UploadQuerySet.of`.
    register(Policy(Upload, {"view": Role.VIEWER, "log": Role.EDITOR}, via="run", scope="run"))
    register(Policy(Retention, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_operators_only))
    register(
        Policy(LoggedModel, {"view": Role.VIEWER, "log": Role.EDITOR, "delete": Role.MANAGER}, via="run", scope="run")
    )
