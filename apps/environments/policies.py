from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.environments.models import Environment, EnvironmentBuild, EnvironmentVersion


def declare() -> None:
    """Who may see an environment may use it and have it built: work that names it has that done anyway."""
    register(
        Policy(
            Environment,
            {
                "view": Role.VIEWER,
                "create": Role.EDITOR,
                "edit": Role.EDITOR,
                "share": Role.MANAGER,
                "delete": Role.MANAGER,
            },
        )
    )
    register(
        Policy(
            EnvironmentVersion,
            {"view": Role.VIEWER, "edit": Role.EDITOR, "build": Role.VIEWER},
            via="environment",
            scope="environment",
            writes=frozenset({"build"}),
        )
    )
    register(
        Policy(
            EnvironmentBuild,
            {"view": Role.VIEWER, "remove": Role.MANAGER},
            via="version__environment",
            scope="environment",
        )
    )
