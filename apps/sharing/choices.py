from django.db.models import TextChoices

from apps.access.decision import Role


class ShareRole(TextChoices):
    """What an object can be shared as."""

    VIEWER = "viewer", "Viewer"
    EDITOR = "editor", "Editor"
    MANAGER = "manager", "Manager"


class SubjectKind(TextChoices):
    """With whom an object can be shared."""

    USER = "user", "Person"
    TEAM = "team", "Team"
    ORGANIZATION = "organization", "Organization"


class RequestState(TextChoices):
    OPEN = "open", "Open"
    GRANTED = "granted", "Granted"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


ROLES = {ShareRole.VIEWER: Role.VIEWER, ShareRole.EDITOR: Role.EDITOR, ShareRole.MANAGER: Role.MANAGER}
HELD_ROLES = [(role.word, role.word) for role in Role]
