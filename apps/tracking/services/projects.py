"""Writes on projects."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.access import policy
from apps.access.choices import Visibility
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, Taken
from apps.teams.models import Team
from apps.teams.services import require_open
from apps.tracking.models import Project

DEFAULT_PROJECT = "default"


@transaction.atomic
def create_project(
    name: str, *, by: Any, description: str = "", team: Team | None = None, visibility: str = "", owner: Any = None
) -> Project:
    """Create a project. In a team it is the team's, and `by` must be at least a member. Audited.

    Raises: NotAllowed, Invalid for a taken or ill-formed name.
    """
    policy.require_active(by, "project:create")
    require_open(team)
    if team is not None:
        policy.require(by, "submit", team)
    chosen = visibility or (Visibility.TEAM if team else Visibility.PRIVATE)
    project = Project(name=name.strip(), description=description, owner=owner or by, team=team, visibility=chosen)
    _save(project)
    audit.record("create", project, by=by)
    return project


@transaction.atomic
def update_project(project: Project, *, by: Any, **changes: str) -> Project:
    """Change name, description or visibility; the last needs the right to share. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "edit", project)
    if "visibility" in changes:
        policy.require(by, "share", project)
    before = {name: getattr(project, name) for name in changes}
    for name, value in changes.items():
        setattr(project, name, value)
    _save(project)
    audit.record("update", project, by=by, before=before, after=changes)
    return project


@transaction.atomic
def archive_project(project: Project, *, by: Any) -> None:
    """Take an empty project out of sight. Audited. Raises: NotAllowed, Conflict while it has runs."""
    policy.require(by, "delete", project)
    if project.runs.filter(archived_at=None).exists():
        msg = "The project still has runs. Delete or move them first."
        raise Conflict(msg)
    if Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=Now()):
        audit.record("archive", project, by=by)


def find_project(reference: str, *, by: Any, team: Team | None) -> Project:
    """Return the project that a person means by an id or a name; "default" comes into being when it is first meant.

    A name is looked for in the team if one is given, else among one's own, then among all one may submit to.
    Raises: Invalid when there is none, or more than one.
    """
    own_name = Project.objects.filter(owner_id=by.pk, team=team, name=reference, archived_at=None)
    if (own := own_name.first()) is not None:  # the common case, without the cost of the whole policy; still judged
        policy.require(by, "view", own)
        return own
    if reference == DEFAULT_PROJECT and team is None:  # one's own, never another's that happens to be visible
        return _default_project(by, None)
    rows: QuerySet[Project] = Project.objects.visible_to(by, "view").filter(archived_at=None)
    try:
        found = list(rows.filter(pk=UUID(reference)))
    except ValueError:
        named: QuerySet[Project] = Project.objects.visible_to(by, "submit").filter(archived_at=None, name=reference)
        if team is not None:
            named = named.filter(team=team)
        found = list(named[:2])
    if not found and reference == DEFAULT_PROJECT:
        return _default_project(by, team)
    if len(found) != 1:
        said = (
            "There is no such project, or you may not see it."
            if not found
            else "Several projects have this name; use the id."
        )
        raise Invalid(errors={"project": [said]})
    return found[0]


def make_room_for(rows: QuerySet[Any], heir: Any) -> QuerySet[Any]:
    """Rename personal projects that are about to go to `heir`, where he has one of that name himself; return all."""
    names = Project.objects.filter(owner=heir, team=None, archived_at=None).values("name")
    for project in rows.filter(team=None, archived_at=None, name__in=names).select_related("owner"):
        suffix = f" (of {str(project.owner)[:40]}, {str(project.pk)[:8]})"
        Project.objects.filter(pk=project.pk).update(name=f"{project.name[: 120 - len(suffix)]}{suffix}")
    return rows


def _default_project(by: Any, team: Team | None) -> Project:
    try:
        return create_project(DEFAULT_PROJECT, by=SYSTEM, owner=by, team=team)
    except Invalid:  # made meanwhile by another request
        same = Project.objects.filter(team=team, name=DEFAULT_PROJECT, archived_at=None)
        made = (same.filter(owner_id=by.pk) if team is None else same).first()
        if made is None:
            raise
        return made


def _save(project: Project) -> None:
    try:
        project.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            project.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Taken(errors={"name": ["A project of this name exists."]}) from error
