from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.credentials.models import Credential, CredentialUse


def declare() -> None:
    register(
        Policy(
            Credential,
            {
                "view": Role.VIEWER,
                "use": Role.EDITOR,
                "create": Role.MANAGER,
                "edit": Role.MANAGER,
                "replace": Role.MANAGER,
                "uses": Role.MANAGER,
                "share": Role.MANAGER,
                "delete": Role.MANAGER,
            },
            # SECURITY: an admin uploads, replaces and revokes; using it would let him read the value.
            not_for_admins=frozenset({"use"}),
        )
    )
    register(Policy(CredentialUse, {"uses": Role.MANAGER}, via="credential", scope="credential"))
