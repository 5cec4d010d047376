"""Who has access to one object, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Model

from apps.access import grants, policy
from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.explain import subject_of
from apps.core.errors import NotAllowed
from apps.sharing.choices import SubjectKind
from apps.teams.choices import ROLE_ON_ASSETS, TeamRole
from apps.teams.models import Membership, Team

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Access:
    """One line: who (a person, a team, or a sentence), as what, through what, until when. `is_share`: it can be ended."""

    kind: str  # "user", "team", "organization", "everyone", "admins", "auditors"
    name: str
    role: Role
    through: str
    expires_at: datetime | None = None
    granted_by: str = ""
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Holders:
    lines: list[Access]
    more: bool  # there are others than the ones shown


def who_has_access(obj: Model, *, by: Any, offset: int = 0, limit: int = SHOWN) -> Holders:
    """List who holds a role on the object: owner, shares, team, visibility, admins and auditors. Expired shares are not.

    A team's people are named to those who may see the team; to others it is one line.
    Raises: NotFound, NotAllowed to what is no person: a run's own token, a service account.
    """
    policy.require(by, "view", obj)
    token = getattr(by, "token", None)
    if (token is not None and token.bound_to) or getattr(by, "service_of_id", None) is not None:
        msg = "Only people read who has access."
        raise NotAllowed(msg)
    lines = list(islice(_lines(policy.owned(obj), by), offset, offset + limit + 1))
    return Holders(lines[:limit], len(lines) > limit)


def _lines(row: Any, by: Any) -> Iterator[Access]:
    state = "" if row.owner.is_active else "; the account is disabled"
    yield Access(SubjectKind.USER, row.owner.username, Role.MANAGER, f"as its owner{state}")
    for held in sorted(grants.held_on(row), key=lambda one: -one.role):
        if held.is_live and (held.user is None or held.user.is_active):
            yield _share(held)
    if row.team is not None and row.visibility != Visibility.PRIVATE:
        yield from _team(row.team, by)
    yield from _everybody(row)
    yield Access("admins", "Admins", Role.MANAGER, "while they act as admins")
    yield Access("auditors", "Auditors", Role.VIEWER, "read everything")


def _share(held: grants.Held) -> Access:
    until, given = held.expires_at, str(held.granted_by or "")
    if held.group is None:
        return Access(SubjectKind.USER, held.user.username, held.role, "through a share", until, given, is_share=True)
    kind, _, name = subject_of(held.group).partition(" ")
    return Access(kind, name or kind, held.role, "through a share", until, given, is_share=True)


def _team(team: Team, by: Any) -> Iterator[Access]:
    members = Membership.objects.filter(team=team, user__is_active=True)
    if not policy.can(by, "view", team):
        through = f"{members.count()} people, each by the role in it"
        yield Access(SubjectKind.TEAM, team.slug, Role.MANAGER, through)
        return
    found = members.order_by("role", "user__username").values_list("user__username", "role")
    for username, role in found.iterator(chunk_size=SHOWN):
        held = ROLE_ON_ASSETS[TeamRole(role)]
        yield Access(SubjectKind.USER, username, held, f"through team {team.slug}, {role}")


def _everybody(row: Any) -> Iterator[Access]:
    if row.visibility == Visibility.ORGANIZATION and row.team is not None:
        organization = row.team.organization
        yield Access(SubjectKind.ORGANIZATION, organization.slug, Role.VIEWER, "everybody in the organization")
    if row.visibility == Visibility.PUBLIC:
        yield Access("everyone", "Everyone here", Role.VIEWER, "it is public")
