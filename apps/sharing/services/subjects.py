"""With whom: a name is turned into a person, a team or an organization."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from apps.access import policy
from apps.access.memberships import memberships_of
from apps.accounts.models import User
from apps.core.errors import Invalid, Throttled
from apps.sharing.choices import SubjectKind
from apps.sharing.models import UnknownName
from apps.teams.models import Organization, Team

MOST_UNKNOWN = 20
_WINDOW = timedelta(hours=1)
_NOBODY = {
    SubjectKind.USER: "There is nobody of this name to share with.",
    SubjectKind.TEAM: "There is no such team in your organization.",
    SubjectKind.ORGANIZATION: "You are in no organization of this name.",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A person, or the group that mirrors a team or an organization. `holder` is what a grant is given to."""

    kind: SubjectKind
    name: str
    holder: Any

    def __str__(self) -> str:
        return self.name if self.kind is SubjectKind.USER else f"{self.kind.value} {self.name}"


def find_subject(kind: str, name: str, *, by: Any) -> Subject:
    """Return whom `by` means, by the exact user name or slug.

    SECURITY: who is unknown, disabled, or a service account of a team one cannot see gets one answer, and after 20 such
    answers in an hour there are none. They are counted outside the caller's transaction where it has none; so no door
    may wrap this call in one. Teams and organizations are known to the people in them.
    Raises: Invalid, Throttled.
    """
    wanted = name.strip()
    if kind not in SubjectKind.values:
        raise Invalid(errors={"subject": [f"One of {', '.join(SubjectKind.values)}."]})
    chosen = SubjectKind(kind)
    _require_few_misses(by)
    found: Subject | None = None if "\x00" in wanted else _FINDERS[chosen](wanted, by)
    if found is None:
        if by.pk is not None:
            UnknownName.objects.create(by_id=by.pk)
        raise Invalid(errors={chosen.value: [_NOBODY[chosen]]})
    return found


def known_subject(kind: str, name: str) -> Subject | None:
    """Return whom a share that exists is with, whoever he is by now: to end it, a person need not be active."""
    wanted = "" if "\x00" in name else name
    match kind:
        case SubjectKind.USER:
            user = User.objects.filter(username=wanted).first()
            return user and Subject(SubjectKind.USER, user.username, user)
        case SubjectKind.TEAM:
            return _of_group(SubjectKind.TEAM, wanted, Group.objects.filter(team__slug=wanted).first())
        case SubjectKind.ORGANIZATION:
            found = Group.objects.filter(organization__slug=wanted).first()
            return _of_group(SubjectKind.ORGANIZATION, wanted, found)
    return None


def _of_group(kind: SubjectKind, name: str, group: Group | None) -> Subject | None:
    return None if group is None else Subject(kind, name, group)


def _require_few_misses(by: Any) -> None:
    if by.pk is None:
        return
    since = timezone.now() - _WINDOW
    UnknownName.objects.filter(by_id=by.pk, at__lte=since).delete()
    if UnknownName.objects.filter(by_id=by.pk).count() >= MOST_UNKNOWN:
        msg = "Too many names that do not exist. Wait before you try others."
        raise Throttled(msg, retry_after=int(_WINDOW.total_seconds()))


def _person(name: str, by: Any) -> Subject | None:
    found = User.objects.filter(username=name, is_active=True).select_related("service_of").first()
    if found is None:
        return None
    if found.service_of is not None:
        if not policy.can(by, "view", found.service_of):
            return None
        raise Invalid(errors={"user": [f"It is a service account of team {found.service_of.slug}: share with that."]})
    return Subject(SubjectKind.USER, found.username, found)


def _team(slug: str, by: Any) -> Subject | None:
    teams = Team.objects.filter(slug=slug)
    if not _knows_all(by):
        teams = teams.filter(pk__in=memberships_of(by).organization_teams())
    team = teams.select_related("group").first()
    return None if team is None else Subject(SubjectKind.TEAM, team.slug, team.group)


def _organization(slug: str, by: Any) -> Subject | None:
    organizations = Organization.objects.filter(slug=slug)
    if not _knows_all(by):
        organizations = organizations.filter(teams__in=memberships_of(by).organization_teams())
    organization = organizations.select_related("group").first()
    return None if organization is None else Subject(SubjectKind.ORGANIZATION, organization.slug, organization.group)


def _knows_all(by: Any) -> bool:
    return bool(by.is_superuser or getattr(by, "is_system", False))


_FINDERS: dict[SubjectKind, Any] = {
    SubjectKind.USER: _person,
    SubjectKind.TEAM: _team,
    SubjectKind.ORGANIZATION: _organization,
}
