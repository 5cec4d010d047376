"""Doing what a plan says, change by change, through the services that everybody uses."""

from collections.abc import Callable
from typing import Any

from django.db.models.functions import Now

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.locks import lock_rows
from apps.directory.models import DirectoryPerson
from apps.directory.person import Person
from apps.directory.planning import Change, Kind, Plan
from apps.teams import services as teams
from apps.teams.choices import MembershipSource
from apps.teams.models import Membership, Team

REASON = "the directory says so"


class Applying:
    """One plan being applied, within the caller's transaction."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._users: dict[str, User] = {}
        self._teams: dict[str, Team] = {}

    def run(self) -> None:
        """Apply every change of the plan, and nothing else."""
        doing: dict[Kind, Callable[[Change], None]] = {
            Kind.CREATE: self._create,
            Kind.LINK: self._link,
            Kind.RENAME: self._rename,
            Kind.UPDATE: self._update,
            Kind.ENABLE: self._enable,
            Kind.DISABLE: self._disable,
            Kind.JOIN: self._set_role,
            Kind.CHANGE_ROLE: self._set_role,
            Kind.LEAVE: self._leave,
            Kind.PLATFORM_ROLE: self._platform_role,
        }
        for change in self.plan.changes:
            doing[change.kind](change)

    def _user(self, change: Change) -> User:
        if change.username not in self._users:
            self._users[change.username] = User.objects.get(username=change.username)
        return self._users[change.username]

    def _team(self, change: Change) -> Team:
        if change.team not in self._teams:
            self._teams[change.team] = Team.objects.select_related("organization").get(slug=change.team)
        return self._teams[change.team]

    def _person(self, change: Change) -> Person:
        return self.plan.people[change.source, change.external_id]

    def _create(self, change: Change) -> None:
        person = self._person(change)
        user = accounts.create_user(person.username, by=SYSTEM, email=person.email)
        names = {"first_name": person.first_name, "last_name": person.last_name}
        self._write(user, identity_source=change.source, external_id=change.external_id, **names)
        audit.record("link", user, by=SYSTEM, source=change.source, external_id=change.external_id)
        self._users[change.username] = user

    def _link(self, change: Change) -> None:
        user = self._user(change)
        self._write(user, external_id=change.external_id)
        audit.record("link", user, by=SYSTEM, source=change.source, external_id=change.external_id)

    def _rename(self, change: Change) -> None:
        user = self._user(change)
        self._write(user, username=change.after)
        audit.record("rename", user, by=SYSTEM, reason=REASON, before=change.before, after=change.after)

    def _update(self, change: Change) -> None:
        user, person = self._user(change), self._person(change)
        fields = {name: getattr(person, name) for name in ("email", "first_name", "last_name")}
        changed = sorted(name for name, value in fields.items() if getattr(user, name) != value)
        self._write(user, **fields)
        audit.record("edit", user, by=SYSTEM, reason=REASON, fields=changed)

    def _enable(self, change: Change) -> None:
        user = self._user(change)
        accounts.enable_user(user, by=SYSTEM, reason="back in the directory")
        user.refresh_from_db(fields=["is_active", "left_directory_at"])

    def _disable(self, change: Change) -> None:
        user = self._user(change)
        accounts.disable_user(user, by=SYSTEM, reason="no longer in the directory")
        self._write(user, left_directory_at=Now())

    def _set_role(self, change: Change) -> None:
        if self._is_made_by_hand(change):
            return
        source = MembershipSource.DIRECTORY
        teams.set_member(self._team(change), self._user(change), role=change.after, by=SYSTEM, source=source)

    def _leave(self, change: Change) -> None:
        if self._is_made_by_hand(change):
            return
        teams.remove_member(self._team(change), self._user(change), by=SYSTEM)

    def _is_made_by_hand(self, change: Change) -> bool:
        """Look again, under a lock: somebody may have taken the membership over since the plan was computed."""
        rows = lock_rows(Membership.objects.filter(team=self._team(change), user=self._user(change)))
        return any(row.source == MembershipSource.HAND for row in rows)

    def _platform_role(self, change: Change) -> None:
        user = self._user(change)
        accounts.set_platform_role(user, change.after, by=SYSTEM, reason=REASON)
        remember(user, self._person(change), given_platform_role=change.after)

    def _write(self, user: User, **fields: Any) -> None:
        User.objects.filter(pk=user.pk).update(**fields)
        for name, value in fields.items():
            if not isinstance(value, Now):
                setattr(user, name, value)


def remember(user: User, person: Person, **more: str) -> None:
    """Keep what the directory told, for the next dry run."""
    told = {"groups": sorted(person.groups), "seen_at": Now(), **more}
    DirectoryPerson.objects.update_or_create(user=user, defaults=told)
