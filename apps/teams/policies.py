from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.policy import Policy, register
from apps.teams.models import Invitation, InvitedTo, Membership, Organization, Team


def _member(path: str) -> Any:
    """Holds on a team the role of the membership."""
    return lambda principal, role: Q(**{f"{path}__in": memberships_of(principal).teams_with(role)})


def _in_organization(principal: Any, role: Role) -> Q:
    if role is not Role.VIEWER:
        return Q(pk__in=[])
    mine = Team.objects.filter(pk__in=memberships_of(principal).teams_with(Role.VIEWER))
    return Q(pk__in=mine.values("organization_id"))


def _invitations(principal: Any, _role: Role) -> Q:
    """Who maintains every team it leads into, and who made it, may see and revoke an invitation."""
    maintained = memberships_of(principal).teams_with(Role.MANAGER)
    own = Q(made_by_id=principal.pk)
    if not maintained:
        return own
    into = InvitedTo.objects.filter(team__in=maintained).values("invitation")
    elsewhere = InvitedTo.objects.exclude(team__in=maintained).values("invitation")
    return own | (Q(pk__in=into) & ~Q(pk__in=elsewhere))


def declare() -> None:
    register(Policy(Team, {"view": Role.VIEWER, "submit": Role.EDITOR, "manage": Role.MANAGER}, rule=_member("pk")))
    register(Policy(Membership, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_member("team_id")))
    register(Policy(Organization, {"view": Role.VIEWER, "manage": Role.MANAGER}, rule=_in_organization))
    register(Policy(Invitation, {"view": Role.VIEWER, "revoke": Role.MANAGER}, rule=_invitations))
