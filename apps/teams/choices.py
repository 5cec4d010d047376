from django.db.models import TextChoices

from apps.access.decision import Role


class TeamRole(TextChoices):
    """What a member may do with the team's assets, and with the team."""

    VIEWER = "viewer", "Viewer"
    MEMBER = "member", "Member"
    MAINTAINER = "maintainer", "Maintainer"


class MembershipSource(TextChoices):
    """Who made a membership: the directory changes and ends only its own."""

    HAND = "hand", "By hand"
    DIRECTORY = "directory", "By the directory"


SERVICE_ROLES = [(role.value, role.label) for role in (TeamRole.VIEWER, TeamRole.MEMBER)]  # never maintainer
ROLE_ON_ASSETS = {
    TeamRole.VIEWER: Role.VIEWER,
    TeamRole.MEMBER: Role.EDITOR,
    TeamRole.MAINTAINER: Role.MANAGER,
}
