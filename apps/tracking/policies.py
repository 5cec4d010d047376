from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.policy import Policy, holding, register
from apps.tracking.models import Artifact, LoggedModel, Project, Retention, Run, SavedView, Upload


def _operators_only(_principal: Any, _role: Role) -> Q:
    """Rules have no door of their own but the admin: a project's is seen and changed as part of the project."""
    return Q(pk__in=[])


def _views(principal: Any, role: Role) -> Q:
    """One's own and the shared ones, in projects that one may see; a project's managers clear up the shared ones."""
    own, shared = Q(owner_id=principal.pk), Q(is_shared=True)
    seen = Q(project__in=holding(Project.objects.all(), principal, Role.VIEWER).values("pk"))
    if role is Role.VIEWER:
        return seen & (own | shared)
    managed = Q(project__in=holding(Project.objects.all(), principal, Role.MANAGER).values("pk"))
    return (seen & own) | (managed & shared)


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
    register(
        Policy(
            SavedView,
            {"view": Role.VIEWER, "create": Role.MANAGER, "edit": Role.MANAGER, "delete": Role.MANAGER},
            rule=_views,
        )
    )
