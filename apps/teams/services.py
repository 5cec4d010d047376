"""Writes on organizations, teams and memberships."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.access import policy
from apps.access.decision import Role
from apps.access.memberships import Facts, Memberships
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import Invalid
from apps.teams.choices import ROLE_ON_ASSETS, TeamRole
from apps.teams.models import Membership, Organization, Team


@transaction.atomic
def create_organization(*, slug: str, name: str, by: Any) -> Organization:
    """Create an organization. Admins only. Audited. Raises: NotAllowed, Invalid."""
    policy.require_admin(by)
    organization = Organization(slug=slug, name=name)
    organization.group, _ = Group.objects.get_or_create(name=f"org:{slug}")
    _save(organization)
    audit.record("create", organization, by=by)
    return organization


@transaction.atomic
def create_team(organization: Organization, *, slug: str, name: str, by: Any) -> Team:
    """Create a team and the group that mirrors it. Admins only. Audited. Raises: NotAllowed, Invalid."""
    policy.require_admin(by)
    team = Team(organization=organization, slug=slug, name=name)
    team.group, _ = Group.objects.get_or_create(name=f"team:{slug}")
    _save(team)
    audit.record("create", team, by=by)
    return team


@transaction.atomic
def set_member(team: Team, user: User, *, role: TeamRole | str, by: Any) -> Membership:
    """Add `user` to the team, or change his role. Idempotent. Audited.

    Raises: NotAllowed unless `by` maintains the team or is an admin, Invalid for an unknown role.
    """
    policy.require(by, "manage", team)
    if role not in TeamRole.values:
        raise Invalid(errors={"role": [f"One of {', '.join(TeamRole.values)}."]})
    membership, _ = Membership.objects.update_or_create(team=team, user=user, defaults={"role": role})
    user.groups.add(team.group, team.organization.group)
    audit.record("set_member", team, by=by, user=user.username, role=str(role))
    return membership


def find_person(username: str, *, team: Team, by: Any) -> User:
    """Return the active person of that exact name, for somebody who maintains `team`.

    Raises: NotAllowed, Invalid when there is none.
    """
    policy.require(by, "manage", team)
    person = User.objects.filter(username=username.strip(), is_active=True).first()
    if person is None:
        raise Invalid(errors={"username": ["There is nobody of this name."]})
    found: User = person
    return found


@transaction.atomic
def remove_member(team: Team, user: User, *, by: Any) -> None:
    """Take `user` out of the team; what he owns stays his. Idempotent. Audited. Raises: NotAllowed."""
    policy.require(by, "manage", team)
    deleted, _ = Membership.objects.filter(team=team, user=user).delete()
    user.groups.remove(team.group)
    if not Membership.objects.filter(team__organization=team.organization_id, user=user).exists():
        user.groups.remove(team.organization.group)
    if deleted:
        audit.record("remove_member", team, by=by, user=user.username)


def memberships_of(user: Any) -> Memberships:
    """Tell the judge: the person's role in each team, and the teams of his organizations."""
    mine = Membership.objects.filter(user_id=user.pk)

    def load() -> Facts:
        rows = list(mine.values_list("team_id", "role", "team__organization_id"))
        return Facts(
            roles={team: ROLE_ON_ASSETS[TeamRole(role)] for team, role, _ in rows},
            words={team: role for team, role, _ in rows},
            organizations=frozenset(organization for _, _, organization in rows),
        )

    def teams_with(least: Role) -> Any:
        words = [word for word, role in ROLE_ON_ASSETS.items() if role >= least]
        return mine.filter(role__in=words).values_list("team_id", flat=True)

    organizations = mine.values("team__organization_id")
    siblings = Team.objects.filter(organization_id__in=organizations).values_list("pk", flat=True)
    return Memberships(load, teams_with, siblings)


def _save(row: Organization | Team) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    row.save()
