"""Writes on runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.core.inserts import insert
from apps.core.locks import lock_row
from apps.teams.models import Team
from apps.teams.services import require_open
from apps.tracking import batches, ingest, judging
from apps.tracking.choices import RunStatus
from apps.tracking.ingest import Outcome
from apps.tracking.models import Project, Run, Tag


def require_to_create(by: Any) -> Run | None:
    """Let pass who may begin runs at all; return the run of the job that asks, None for everybody else. Raises: NotAllowed."""
    if not (pk := policy.bound_pk(by, Run)):
        policy.require_active(by, "run:create")
        return None
    job = Run.objects.select_related("team", "project").get(pk=pk)
    policy.require(by, "create", job)
    return job


@transaction.atomic
def create_run(
    project: Project,
    *,
    by: Any,
    name: str,
    team: Team | None = None,
    visibility: str = "",
    tags: Mapping[str, str] | None = None,
    started_at: datetime | None = None,
) -> Run:
    """Create a tracked run in a project; team and visibility are the project's unless given. Audited.

    A job makes runs beside its own, with the team and visibility of that. Raises: NotAllowed, Invalid.
    """
    if (job := require_to_create(by)) is not None:
        run = _open_beside(job, project, by, name, started_at)
    else:
        run = open_run(project, by=by, name=name, team=team, visibility=visibility, started_at=started_at)
    if tags:
        ingest.write(run.pk, batches.check({"tags": tags}), None, savepoint=False)
    audit.record("create", run, by=by)
    return run


def open_run(
    project: Project,
    *,
    by: Any,
    name: str,
    team: Team | None = None,
    visibility: str = "",
    started_at: datetime | None = None,
) -> Run:
    """Create the run of something that is audited itself, in its transaction. The caller has judged the token's scope.

    Raises: NotAllowed, Invalid.
    """
    policy.require(by, "submit", project)
    if team is not None:
        policy.require(by, "submit", team)
    return _open(
        Run(
            project=project,
            name=name,
            owner=by,
            team=team or project.team,
            visibility=visibility or project.visibility,
            started_at=started_at or Now(),
        )
    )


def _open_beside(job: Run, project: Project, by: Any, name: str, started_at: datetime | None) -> Run:
    if job.project_id != project.pk:
        msg = f"A job makes runs in its own project, {job.project.name}."
        raise NotAllowed(msg)
    like = {"owner": by, "team": job.team, "visibility": job.visibility}
    return _open(Run(project=project, made_in=job, name=name, started_at=started_at or Now(), **like))


def _open(run: Run) -> Run:
    require_open(run.team)
    try:
        run.clean_fields(exclude={"owner", "team", "project", "started_at"})
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    insert(run)
    return run


@transaction.atomic
def finish_run(run: Run, status: str, *, by: Any) -> None:
    """Close a run that was tracked outside a job. Idempotent: the first status stays. Audited.

    Raises: NotAllowed, Invalid for an unknown status, Conflict for a job's run, which ends with its job.
    """
    policy.require(by, "log", run)
    if status not in RunStatus.values or status == RunStatus.RUNNING:
        raise Invalid(errors={"status": ["One of finished, failed, killed."]})
    _require_no_job(run, "It ends with its experiment.")
    if Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(status=status, finished_at=Now()):
        audit.record("finish", run, by=by, status=status)


@transaction.atomic
def update_run(run: Run, *, by: Any, name: str = "", status: str = "", finished_at: datetime | None = None) -> Run:
    """Rename a run, end it, or open it again, as trackers do that resume a run. Audited.

    The status of a job's run is the platform's own: a script in the job that says how it ended changes nothing.
    Raises: NotAllowed, Invalid for an unknown status or name, Conflict for a deleted run.
    """
    policy.require(by, "log", run)
    fresh = lock_row(Run.objects.filter(pk=run.pk))
    if fresh.archived_at is not None:
        msg = "The run was deleted. Restore it first."
        raise Conflict(msg)
    if status and status not in RunStatus.values:
        raise Invalid(errors={"status": [f"One of {', '.join(RunStatus.values)}."]})
    changes: dict[str, Any] = {"name": name} if name and name != fresh.name else {}
    if status and not _is_of_job(run):
        changes |= _ended(fresh, status, finished_at)
    if changes:
        _change(fresh, changes)
        audit.record("update", fresh, by=by, **{key: value for key, value in changes.items() if key != "finished_at"})
    return fresh


def _ended(run: Run, status: str, finished_at: datetime | None) -> dict[str, Any]:
    if status == RunStatus.RUNNING:
        return {} if run.status == status else {"status": status, "finished_at": None}
    if run.status == status and finished_at is None:
        return {}
    return {"status": status, "finished_at": finished_at or Now()}


def _change(run: Run, changes: Mapping[str, Any]) -> None:
    for field, value in changes.items():
        setattr(run, field, value)
    try:
        run.clean_fields(exclude={"owner", "team", "project", "started_at", "finished_at"})
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    run.save(update_fields=list(changes))
    run.refresh_from_db(fields=["finished_at"])


@transaction.atomic
def restore_run(run: Run, *, by: Any) -> None:
    """Bring a deleted run back into sight. Idempotent. Audited. Raises: NotAllowed, Conflict while its project is deleted."""
    policy.require(by, "delete", run)
    _require_no_job(run, "It belongs to an experiment, which cannot be restored.")
    if run.project.archived_at is not None:
        msg = "Its project was deleted. Restore that first."
        raise Conflict(msg)
    if Run.objects.filter(pk=run.pk).exclude(archived_at=None).update(archived_at=None):
        audit.record("restore", run, by=by)


@transaction.atomic
def archive_run(run: Run, *, by: Any) -> None:
    """Take a run out of sight; nothing of it is erased. Idempotent. Audited.

    Raises: NotAllowed, Conflict for a job's run, which is deleted with its experiment.
    """
    policy.require(by, "delete", run)
    _require_no_job(run, "It belongs to an experiment. Delete that.")
    if Run.objects.filter(pk=run.pk, archived_at=None).update(archived_at=Now()):
        judging.forget(run.pk)
        audit.record("archive", run, by=by)


def log_batch(run: Run, batch: Mapping[str, Any], *, by: Any) -> Outcome:
    """Write metrics, params and tags (the form is told in `apps.tracking.batches`) in one transaction.

    A batch with the `batch_id` of an earlier one of the same run adds nothing. Raises: NotAllowed, Invalid.
    """
    policy.require(by, "log", run)
    checked = batches.check(batch)
    return ingest.write(run.pk, checked, ingest.key_of(run.pk, checked, sender=by.pk))


def delete_tag(run: Run, key: str, *, by: Any) -> None:
    """Take a word off a run. Raises: NotAllowed, NotFound when it has no such tag."""
    policy.require(by, "log", run)
    if not Tag.objects.filter(run=run, key=key).delete()[0]:
        msg = f"The run has no tag {key[:100]}."
        raise NotFound(msg)


def _require_no_job(run: Run, sentence: str) -> None:
    if _is_of_job(run):
        raise Conflict(sentence)


def _is_of_job(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, experiment__isnull=False).exists()
