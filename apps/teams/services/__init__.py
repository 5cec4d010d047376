"""The front door of teams: every write on organizations, teams, memberships, service accounts and invitations."""

from apps.teams.services.importing import ImportReport, Planned, import_people
from apps.teams.services.invitations import (
    find_invitation,
    invite,
    join_by_invitation,
    places_of,
    redeem_invitation,
    revoke_invitation,
)
from apps.teams.services.members import find_member, find_person, memberships_of, remove_member, set_member
from apps.teams.services.organizations import (
    archive_organization,
    archive_team,
    create_organization,
    create_team,
    find_team,
    rename,
    require_open,
    restore,
)
from apps.teams.services.service_accounts import (
    create_service_account,
    disable_service_account,
    enable_service_account,
    find_service_account,
    set_service_role,
)

__all__ = [
    "ImportReport",
    "Planned",
    "archive_organization",
    "archive_team",
    "create_organization",
    "create_service_account",
    "create_team",
    "disable_service_account",
    "enable_service_account",
    "find_invitation",
    "find_member",
    "find_person",
    "find_service_account",
    "find_team",
    "import_people",
    "invite",
    "join_by_invitation",
    "memberships_of",
    "places_of",
    "redeem_invitation",
    "remove_member",
    "rename",
    "require_open",
    "restore",
    "revoke_invitation",
    "set_member",
    "set_service_role",
]
