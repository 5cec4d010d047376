"""Writes on memberships."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from apps.access import policy, remembered
from apps.access.decision import Role
from apps.access.memberships import Facts, Memberships
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotFound
from apps.teams.choices import ROLE_ON_ASSETS, MembershipSource, TeamRole
from apps.teams.models import Membership, Team
from apps.teams.services.organizations import require_open

# Written by hand: nearly every request asks them.
_MINE = (
    "SELECT m.team_id, m.role, t.organization_id FROM teams_membership m JOIN teams_team t ON t.id = m.team_id"
    " WHERE m.user_id = %s"
)
_SIBLINGS = (
    "SELECT id FROM teams_team WHERE organization_id = ANY(ARRAY(SELECT t.organization_id FROM teams_membership m"
    " JOIN teams_team t ON t.id = m.team_id WHERE m.user_id = %s))"
)


@transaction.atomic
def set_member(
    team: Team,
    user: User,
    *,
    role: TeamRole | str,
    by: Any,
    source: MembershipSource = MembershipSource.HAND,
) -> Membership:
    """Add `user` to the team, or change his role. Idempotent. Audited. What a hand has set the directory leaves alone.

    Raises: NotAllowed unless `by` maintains the team or is an admin, Invalid for an unknown role, Conflict for a new
    member of an archived team, and for a service account as maintainer or, unless an admin says so, in another team.
    """
    policy.require(by, "manage", team)
    if role not in TeamRole.values:
        raise Invalid(errors={"role": [f"One of {', '.join(TeamRole.values)}."]})
    before = Membership.objects.filter(team=team, user=user).values_list("role", flat=True).first()
    if before is None:
        require_open(team)
    _require_fit(team, user, role, by)
    membership = place_member(team, user, role=role, source=source)
    facts = {"user": user.username, "role": str(role), "before": before or "", "source": str(source)}
    audit.record("set_member", team, by=by, **facts)
    return membership


def place_member(
    team: Team, user: User, *, role: TeamRole | str, source: MembershipSource = MembershipSource.HAND
) -> Membership:
    """Write the membership and the groups that mirror it; the caller judges and audits."""
    membership, _ = Membership.objects.update_or_create(team=team, user=user, defaults={"role": role, "source": source})
    user.groups.add(team.group, team.organization.group)
    remembered.forget()
    return membership


def place_new_members(places: Sequence[tuple[Team, User, str]], *, by: Any) -> None:
    """Put people who are in no team yet into teams, many at once; the caller judges. Audited one by one."""
    Membership.objects.bulk_create(
        (Membership(team=team, user=user, role=role) for team, user, role in places), batch_size=500
    )
    belonging: Any = User.groups.through
    groups = {(user.pk, group) for team, user, _ in places for group in (team.group_id, team.organization.group_id)}
    rows = [belonging(user_id=user, group_id=group) for user, group in sorted(groups)]
    belonging.objects.bulk_create(rows, batch_size=1000)
    remembered.forget()
    for team, user, role in places:
        audit.record("set_member", team, by=by, user=user.username, role=str(role), before="")


def _require_fit(team: Team, user: User, role: str, by: Any) -> None:
    if user.service_of_id is None:
        return
    if role == TeamRole.MAINTAINER:
        msg = "A service account is viewer or member, never maintainer."
        raise Conflict(msg)
    if user.service_of_id != team.pk:
        policy.require_admin(by)


def find_person(username: str, *, team: Team, by: Any) -> User:
    """Return the active person of that exact name, for somebody who maintains `team`.

    SECURITY: the name of a service account says that there is its team; who cannot see that gets the answer for nobody.
    Raises: NotAllowed, Invalid when there is none.
    """
    policy.require(by, "manage", team)
    named = User.objects.filter(username=username.replace("\x00", "").strip(), is_active=True)
    person = named.select_related("service_of").first()
    if person is None or (person.service_of is not None and not policy.can(by, "view", person.service_of)):
        raise Invalid(errors={"username": ["There is nobody of this name."]})
    found: User = person
    return found


def find_member(username: str, *, team: Team, by: Any) -> User:
    """Return the member of that exact name, active or not. Raises: NotFound."""
    policy.require(by, "manage", team)
    member = Membership.objects.filter(team=team, user__username=username).select_related("user").first()
    if member is None:
        raise NotFound
    found: User = member.user
    return found


@transaction.atomic
def remove_member(team: Team, user: User, *, by: Any) -> None:
    """Take `user` out of the team; what he owns stays his. Idempotent. Audited.

    Raises: NotAllowed, Conflict for a service account in its own team, which is disabled instead.
    """
    policy.require(by, "manage", team)
    if user.service_of_id == team.pk:
        msg = "A service account belongs to its team. Disable it instead."
        raise Conflict(msg)
    if end_membership(team, user):
        audit.record("remove_member", team, by=by, user=user.username)


def end_membership(team: Team, user: User) -> bool:
    """Take `user` out of the team and of the groups that mirror it; the caller judges and audits. Whether he was in."""
    deleted, _ = Membership.objects.filter(team=team, user=user).delete()
    user.groups.remove(team.group)
    if not Membership.objects.filter(team__organization=team.organization_id, user=user).exists():
        user.groups.remove(team.organization.group)
    remembered.forget()
    return bool(deleted)


def memberships_of(user: Any) -> Memberships:
    """Tell the judge: the person's role in each team, and the teams of his organizations."""

    def load() -> Facts:
        rows = _read(_MINE, user.pk)
        return Facts(
            roles={team: ROLE_ON_ASSETS[TeamRole(role)] for team, role, _ in rows},
            words={team: role for team, role, _ in rows},
            organizations=frozenset(organization for _, _, organization in rows),
        )

    def load_siblings() -> list[Any]:
        return [team for (team,) in _read(_SIBLINGS, user.pk)]

    def teams_with(least: Role) -> Any:
        words = [word for word, role in ROLE_ON_ASSETS.items() if role >= least]
        return Membership.objects.filter(user_id=user.pk, role__in=words).values_list("team_id", flat=True)

    def siblings() -> Any:
        organizations = Membership.objects.filter(user_id=user.pk).values("team__organization_id")
        return Team.objects.filter(organization_id__in=organizations).values_list("pk", flat=True)

    return Memberships(load, load_siblings, teams_with, siblings)


def _read(sql: str, user: int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [user])
        rows: list[Any] = cursor.fetchall()
    return rows
