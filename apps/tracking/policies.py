from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.tracking.models import Artifact, LoggedModel, Project, Run


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
        )
    )
    register(
        Policy(Artifact, {"view": Role.VIEWER, "log": Role.EDITOR, "delete": Role.MANAGER}, via="run", scope="run")
    )
    register(
        Policy(LoggedModel, {"view": Role.VIEWER, "log": Role.EDITOR, "delete": Role.MANAGER}, via="run", scope="run")
    )
