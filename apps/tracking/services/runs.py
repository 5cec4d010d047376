"""Writes on runs."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.teams.models import Team
from apps.teams.services import require_open
from apps.tracking import batches, ingest
from apps.tracking.choices import RunStatus
from apps.tracking.ingest import Outcome
from apps.tracking.models import Project, Run


@transaction.atomic
def create_run(
    project: Project,
    *,
    by: Any,
    name: str,
    team: Team | None = None,
    visibility: str = "",
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Create a tracked run in a project; team and visibility are the project's unless given. Audited.

    Raises: NotAllowed, Invalid.
    """
    policy.require_active(by, "run:create")
    run = open_run(project, by=by, name=name, team=team, visibility=visibility)
    if tags:
        ingest.write(run.pk, batches.check({"tags": tags}), None)
    audit.record("create", run, by=by)
    return run


def open_run(project: Project, *, by: Any, name: str, team: Team | None = None, visibility: str = "") -> Run:
    """Create the run of something that is audited itself, in its transaction. The caller has judged the token's scope.

    Raises: NotAllowed, Invalid.
    """
    policy.require(by, "submit", project)
    if team is not None:
        policy.require(by, "submit", team)
    require_open(team or project.team)
    run = Run(
        project=project,
        name=name,
        owner=by,
        team=team or project.team,
        visibility=visibility or project.visibility,
    )
    try:
        run.clean_fields(exclude={"owner", "team", "project"})
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    run.save(force_insert=True)
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
def archive_run(run: Run, *, by: Any) -> None:
    """Take a run out of sight; nothing of it is erased. Idempotent. Audited.

    Raises: NotAllowed, Conflict for a job's run, which is deleted with its experiment.
    """
    policy.require(by, "delete", run)
    _require_no_job(run, "It belongs to an experiment. Delete that.")
    if Run.objects.filter(pk=run.pk, archived_at=None).update(archived_at=Now()):
        audit.record("archive", run, by=by)


def log_batch(run: Run, batch: Mapping[str, Any], *, by: Any) -> Outcome:
    """Write metrics, params and tags (the form is told in `apps.tracking.batches`) in one transaction.

    A batch with the `batch_id` of an earlier one of the same run adds nothing. Raises: NotAllowed, Invalid.
    """
    policy.require(by, "log", run)
    checked = batches.check(batch)
    return ingest.write(run.pk, checked, ingest.key_of(run.pk, checked, sender=by.pk))


def _require_no_job(run: Run, sentence: str) -> None:
    if Run.objects.filter(pk=run.pk, experiment__isnull=False).exists():
        raise Conflict(sentence)
