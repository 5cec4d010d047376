from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.models.models import ModelVersion, MoveRequest, RegisteredModel, VersionFile


def declare() -> None:
    register(
        Policy(
            RegisteredModel,
            {
                "view": Role.VIEWER,
                "create": Role.EDITOR,
                "register": Role.EDITOR,
                "edit": Role.EDITOR,
                "move": Role.EDITOR,
                "approve": Role.EDITOR,
                "protect": Role.MANAGER,
                "share": Role.MANAGER,
                "delete": Role.MANAGER,
            },
            scope="model",
            reached_from={"run": ""},  # a job loads and registers the models that its person may
        )
    )
    register(
        Policy(
            ModelVersion,
            {"view": Role.VIEWER, "edit": Role.EDITOR, "move": Role.EDITOR, "delete": Role.MANAGER},
            via="model",
            scope="model",
        )
    )
    register(Policy(VersionFile, {"view": Role.VIEWER}, via="version__model", scope="model"))
    register(
        Policy(
            MoveRequest,
            {"view": Role.VIEWER, "approve": Role.EDITOR, "withdraw": Role.EDITOR},
            via="model",
            scope="model",
        )
    )
