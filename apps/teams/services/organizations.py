"""Writes on organizations and teams. None is ever deleted: what is over is archived."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row, lock_rows
from apps.teams.models import Organization, Team


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
    """Create a team and the group that mirrors it. Admins only. Audited.

    Raises: NotAllowed, Invalid, Conflict in an archived organization.
    """
    policy.require_admin(by)
    if organization.archived_at is not None:
        msg = f"{organization} is archived."
        raise Conflict(msg)
    team = Team(organization=organization, slug=slug, name=name)
    team.group, _ = Group.objects.get_or_create(name=f"team:{slug}")
    _save(team)
    audit.record("create", team, by=by)
    return team


@transaction.atomic
def rename(row: Organization | Team, *, name: str, by: Any, reason: str = "") -> None:
    """Give an organization or a team another name; the slug, by which others refer to it, stays. Admins only. Audited.

    Raises: NotAllowed, Invalid.
    """
    policy.require_admin(by)
    before = row.name
    if before == name:
        return
    row.name = name
    _save(row)
    audit.record("rename", row, by=by, reason=reason, before=before, after=name)


@transaction.atomic
def archive_team(team: Team, *, by: Any, reason: str) -> None:
    """Close a team: no new work, no new members, its service accounts are shut out. What it has stays to be seen.

    People's jobs that run or wait go on. Admins only. Audited. Idempotent. Raises: NotAllowed.
    """
    policy.require_admin(by)
    # LOCKING: the team, then its users.
    row = lock_row(Team.objects.filter(pk=team.pk))
    if row.archived_at is not None:
        return
    Team.objects.filter(pk=team.pk).update(archived_at=Now())
    robots = lock_rows(User.objects.filter(service_of=row, is_active=True))
    for robot in robots:
        accounts.disable_user(robot, by=by, reason=f"The team {team.slug} is archived")
    team.refresh_from_db(fields=["archived_at"])
    audit.record("archive", team, by=by, reason=reason, disabled_service_accounts=len(robots))


@transaction.atomic
def archive_organization(organization: Organization, *, by: Any, reason: str) -> None:
    """Close an organization with all its teams. Admins only. Audited. Idempotent. Raises: NotAllowed."""
    policy.require_admin(by)
    row = lock_row(Organization.objects.filter(pk=organization.pk))
    if row.archived_at is not None:
        return
    Organization.objects.filter(pk=row.pk).update(archived_at=Now())
    teams = lock_rows(Team.objects.filter(organization=row, archived_at=None))
    for team in teams:
        archive_team(team, by=by, reason=reason)
    organization.refresh_from_db(fields=["archived_at"])
    audit.record("archive", organization, by=by, reason=reason, teams=len(teams))


@transaction.atomic
def restore(row: Organization | Team, *, by: Any, reason: str) -> None:
    """Open an archived team, or organization, again; what was closed with it is opened one by one. Admins only. Audited.

    Idempotent. Raises: NotAllowed, Conflict for a team of an archived organization.
    """
    policy.require_admin(by)
    if isinstance(row, Team) and row.organization.archived_at is not None:
        msg = f"{row.organization} is archived. Restore it first."
        raise Conflict(msg)
    if type(row)._default_manager.filter(pk=row.pk).exclude(archived_at=None).update(archived_at=None):  # noqa: SLF001 -- of either model
        row.archived_at = None
        audit.record("restore", row, by=by, reason=reason)


def require_open(team: Team | None) -> None:
    """Let pass a team that takes new work and members; no team does too. Raises: Conflict for an archived one."""
    if team is not None and team.archived_at is not None:
        msg = f"The team {team} is archived: it takes no new work and no new members."
        raise Conflict(msg)


def _save(row: Organization | Team) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    row.save()


def find_team(slug: str | None, *, by: Any) -> Team | None:
    """Return the team of that name which `by` is in, None for none. Raises: Invalid."""
    if slug is None:
        return None
    team = Team.objects.visible_to(by, "view").filter(slug=slug).first()
    if team is None:
        raise Invalid(errors={"team": ["There is no such team, or you are not in it."]})
    found: Team = team
    return found
