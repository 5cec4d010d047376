"""Onboarding from a file: first what would happen, line by line; then all of it or nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models.functions import Lower

from apps.access import policy
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.core.errors import DomainError, Invalid
from apps.teams import people_file
from apps.teams.models import Membership, Team
from apps.teams.people_file import Line
from apps.teams.services.invitations import invite_accounts
from apps.teams.services.members import place_new_members, set_member


@dataclass
class Planned:
    """What one line does, in words; or why it cannot."""

    line: Line
    does: str = ""

    @property
    def errors(self) -> list[str]:
        return self.line.errors


@dataclass
class ImportReport:
    """What an import did, or would do. `links` are shown this once: a path per new person, to choose a password."""

    lines: list[Planned]
    new_people: list[str] = field(default_factory=list)
    changes: int = 0
    applied: bool = False
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def errors(self) -> dict[str, list[str]]:
        return {f"line {planned.line.number}": planned.errors for planned in self.lines if planned.errors}


@dataclass
class _Known:
    """What the database says about the people and teams of the file: three queries, however long it is."""

    people: dict[str, User]
    teams: dict[str, Team]
    roles: dict[tuple[int, str], str]


def import_people(data: bytes, *, by: Any, dry_run: bool = False) -> ImportReport:
    """Create the people of a file and put them into their teams, all or nothing; the same file again changes nothing.

    Who exists already keeps his own data and only gets memberships and, where the file names one, a platform role.
    Raises: NotAllowed unless `by` is an admin; Invalid for an unreadable file, and, unless it is a dry run, with the
    sentences of each wrong line.
    """
    policy.require_admin(by)
    lines = people_file.read(data)
    if dry_run:
        return _plan(lines, by)
    with transaction.atomic():
        report = _plan(lines, by)
        if report.errors:
            msg = "Nothing was changed: some lines are wrong."
            raise Invalid(msg, errors=report.errors)
        _apply(report, by)
    report.applied = True
    return report


def _plan(lines: list[Line], by: Any) -> ImportReport:
    known = _look_up(lines)
    report = ImportReport([Planned(line) for line in lines])
    seen: set[str] = set()
    for planned in report.lines:
        words = [*_about_person(planned.line, known, by, seen), *_about_team(planned.line, known)]
        planned.does = "; ".join(words) or "nothing: it is so already"
        report.changes += bool(words)
    report.new_people = [line.username for line in _firsts(lines) if line.username.lower() not in known.people]
    return report


def _look_up(lines: list[Line]) -> _Known:
    names = {line.username.lower() for line in lines}
    people = User.objects.annotate(low=Lower("username")).filter(low__in=names)
    teams = Team.objects.filter(slug__in={line.team for line in lines}).select_related("organization")
    found = {user.username.lower(): user for user in people}
    roles = Membership.objects.filter(user__in=found.values()).values_list("user_id", "team__slug", "role")
    return _Known(found, {team.slug: team for team in teams}, {(user, team): role for user, team, role in roles})


def _about_person(line: Line, known: _Known, by: Any, seen: set[str]) -> Iterable[str]:
    user = known.people.get(line.username.lower())
    is_first = line.username.lower() not in seen
    seen.add(line.username.lower())
    role = line.cells.get("platform_role", "")
    if user is None:
        if sentence := accounts.refused_name(line.username):
            line.errors.append(f"username: {sentence}")
        return [f"creates {line.username}" + (f" as {role}" if role else "")] if is_first else []
    if user.username != line.username:
        line.errors.append(f"username: {user.username} exists, in other letters.")
    elif user.service_of_id is not None:
        line.errors.append("username: this is a service account.")
    elif not user.is_active:
        line.errors.append(f"username: {user.username} is disabled. Enable the account first.")
    if role and role != user.platform_role:
        if user.pk == by.pk:
            line.errors.append("platform_role: you cannot change your own.")
        return [f"makes {user.username} {role}"]
    return []


def _about_team(line: Line, known: _Known) -> Iterable[str]:
    if not line.team:
        return []
    team = known.teams.get(line.team)
    if team is None:
        line.errors.append(f"team: there is no team {line.team}.")
        return []
    user = known.people.get(line.username.lower())
    before = None if user is None else known.roles.get((user.pk, line.team))
    if before == line.role:
        return []
    if before is None and team.archived_at is not None:
        line.errors.append(f"team: {line.team} is archived.")
    return [f"{line.role} of {line.team}" + (f", was {before}" if before else "")]


def _firsts(lines: list[Line]) -> list[Line]:
    """Return the first line of each person."""
    return list({line.username.lower(): line for line in reversed(lines)}.values())[::-1]


def _apply(report: ImportReport, by: Any) -> None:
    lines = [planned.line for planned in report.lines]
    known = _look_up(lines)
    new = [line for line in _firsts(lines) if line.username.lower() not in known.people]
    made = {user.username.lower(): user for user in accounts.open_accounts([_account(line) for line in new], by=by)}
    paths = invite_accounts(list(made.values()), by=by)
    report.links = [(user.username, path) for user, path in zip(made.values(), paths, strict=True)]
    joining = [line for line in lines if line.team and line.username.lower() in made]
    place_new_members([(known.teams[line.team], made[line.username.lower()], line.role) for line in joining], by=by)
    for line in lines:
        if line.username.lower() not in made:
            with _told_by_line(line):
                _change(line, known, by)


def _account(line: Line) -> User:
    return User(username=line.username, **{name: line.cells.get(name, "") for name in people_file.PERSONAL})


def _change(line: Line, known: _Known, by: Any) -> None:
    """Do what a line says of somebody who exists."""
    user = known.people[line.username.lower()]
    role = line.cells.get("platform_role", "")
    if role and role != user.platform_role:
        accounts.set_platform_role(user, role, by=by, reason="Import from a file")
    if line.team and known.roles.get((user.pk, line.team)) != line.role:
        set_member(known.teams[line.team], user, role=line.role, by=by)


@contextmanager
def _told_by_line(line: Line) -> Iterator[None]:
    """Say which line was refused: somebody else took the name or archived the team meanwhile."""
    try:
        yield
    except DomainError as error:
        raise Invalid(errors={f"line {line.number}": [error.detail]}) from error
