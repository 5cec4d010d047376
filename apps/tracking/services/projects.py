"""Writes on projects."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now

from apps.access import policy
from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound, Taken
from apps.core.locks import lock_row
from apps.teams.models import Team
from apps.teams.services import require_open
from apps.tracking import batches, judging
from apps.tracking.models import Project, ProjectTag, Run

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
    project.updated_at = Now()
    _save(project)
    project.refresh_from_db(fields=["updated_at"])
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


@transaction.atomic
def archive_project_with_runs(project: Project, *, by: Any) -> None:
    """Take a project out of sight together with its runs; `restore_project` brings both back. Idempotent. Audited.

    Raises: NotAllowed, also for a run in it that one may not delete; Conflict while it has runs of jobs, which are
    deleted with their experiments.
    """
    policy.require(by, "delete", project)
    fresh = lock_row(Project.objects.filter(pk=project.pk))
    if fresh.archived_at is not None:
        return
    runs = Run.objects.filter(project=project, archived_at=None)
    if runs.filter(experiment__isnull=False).exists():
        msg = "The project holds runs of experiments. Delete those first."
        raise Conflict(msg)
    held = runs.count()
    if Run.objects.visible_to(by, "delete").filter(project=project, archived_at=None).count() != held:
        msg = "The project holds runs that you may not delete."
        raise audit.refused(by, "delete", project, NotAllowed(msg))
    Project.objects.filter(pk=project.pk).update(archived_at=Now(), updated_at=Now())
    fresh.refresh_from_db(fields=["archived_at"])
    runs.update(archived_at=fresh.archived_at)  # by the moment they are found again
    judging.forget_all()
    audit.record("archive", project, by=by, runs=held)


@transaction.atomic
def restore_project(project: Project, *, by: Any) -> None:
    """Bring a deleted project back, with the runs that were deleted with it. Idempotent. Audited.

    Raises: NotAllowed, Taken when its name was given to another meanwhile.
    """
    policy.require(by, "delete", project)
    fresh = lock_row(Project.objects.filter(pk=project.pk))
    if fresh.archived_at is None:
        return
    try:
        with transaction.atomic():
            Project.objects.filter(pk=project.pk).update(archived_at=None, updated_at=Now())
    except IntegrityError as error:
        raise Taken(errors={"name": ["Another project has this name now. Rename that first."]}) from error
    held = Run.objects.filter(project=project, archived_at=fresh.archived_at).update(archived_at=None)
    audit.record("restore", project, by=by, runs=held)


@transaction.atomic
def set_project_tags(project: Project, tags: Mapping[str, str], *, by: Any) -> None:
    """Put words on a project; the last value of a key wins. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "edit", project)
    given = batches.check({"tags": tags}).tags
    for key, value in given.items():
        ProjectTag.objects.update_or_create(project=project, key=key, defaults={"value": value})
    Project.objects.filter(pk=project.pk).update(updated_at=Now())
    audit.record("tag", project, by=by, tags=sorted(given))


@transaction.atomic
def delete_project_tag(project: Project, key: str, *, by: Any) -> None:
    """Take a word off a project. Audited. Raises: NotAllowed, NotFound when it has no such tag."""
    policy.require(by, "edit", project)
    if not ProjectTag.objects.filter(project=project, key=key).delete()[0]:
        msg = f"The project has no tag {key[:100]}."
        raise NotFound(msg)
    Project.objects.filter(pk=project.pk).update(updated_at=Now())
    audit.record("untag", project, by=by, tag=key)


def named_project(name: str, *, by: Any) -> Project | None:
    """Return the project of that name that a person means: of those he may view his own first, then one of his teams,
    then another; of equals what is not deleted, then the oldest. None when there is none.
    """
    mine = memberships_of(by).with_role(Role.VIEWER)
    nearness = Case(
        When(owner_id=by.pk, team=None, then=0), When(owner_id=by.pk, then=1), When(team__in=mine, then=2), default=3
    )
    rows: QuerySet[Project] = Project.objects.visible_to(by, "view").filter(name=name).with_details()
    return rows.order_by(F("archived_at").desc(nulls_first=True), nearness, "pk").first()


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
        project.full_clean(exclude={"number", "updated_at"}, validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            project.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Taken(errors={"name": ["A project of this name exists."]}) from error
