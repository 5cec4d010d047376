"""Writes on logged models: what a run has made before anybody registers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.locks import lock_row
from apps.tracking import batches
from apps.tracking.choices import ModelStatus, RunStatus
from apps.tracking.models import LoggedModel, ModelMetric, Project, Run
from apps.tracking.services.runs import create_run

MOST_NAMES = 1_000
MODEL_FOLDER = "models"


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of a logged model, perhaps on a dataset."""

    key: str
    value: float
    step: int
    time: datetime
    dataset_name: str = ""
    dataset_digest: str = ""


@transaction.atomic
def create_logged_model(
    project: Project,
    *,
    by: Any,
    name: str,
    run: Run | None = None,
    model_type: str = "",
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Begin a logged model of a run. Without one it gets a run of its own, which owns it and holds its files. Audited.

    Raises: NotAllowed, Invalid, Conflict for a deleted run.
    """
    model = LoggedModel(name=name, model_type=model_type, is_alone=run is None)
    model.params, model.tags = _checked("params", params), _checked("tags", tags)
    _clean(model)
    if run is None:
        run = create_run(project, by=by, name=name)
        Run.objects.filter(pk=run.pk).update(status=RunStatus.FINISHED, finished_at=Now())
    policy.require(by, "log", run)
    if run.project_id != project.pk:
        raise Invalid(errors={"source_run_id": ["The run is in another experiment."]})
    if run.archived_at is not None:
        msg = "The run was deleted. Restore it first."
        raise Conflict(msg)
    model.run = run
    model.save(force_insert=True)
    audit.record("create", model, by=by)
    model.refresh_from_db()
    return model


@transaction.atomic
def update_logged_model(
    model: LoggedModel,
    *,
    by: Any,
    status: str = "",
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Say how making a model ended, and add tags and params; the last value of a tag wins, a param keeps its first.

    Raises: NotAllowed, Invalid for an unknown status, or for a param that has another value.
    """
    policy.require(by, "log", model)
    fresh = lock_row(LoggedModel.objects.filter(pk=model.pk))
    if status:
        if status not in ModelStatus.values:
            raise Invalid(errors={"status": [f"One of {', '.join(ModelStatus.values)}."]})
        fresh.status = status
    given = _checked("params", params)
    if changed := [key for key, value in given.items() if fresh.params.get(key, value) != value]:
        raise Invalid(errors={"params": [f"{changed[0]} has another value already."]})
    fresh.params = _few("params", {**fresh.params, **given})
    fresh.tags = _few("tags", {**fresh.tags, **_checked("tags", tags)})
    return _saved(fresh)


@transaction.atomic
def delete_model_tag(model: LoggedModel, key: str, *, by: Any) -> LoggedModel:
    """Take a word off a model. Raises: NotAllowed, NotFound when it has no such tag."""
    policy.require(by, "log", model)
    fresh = lock_row(LoggedModel.objects.filter(pk=model.pk))
    if fresh.tags.pop(key, None) is None:
        msg = f"The model has no tag {key[:100]}."
        raise NotFound(msg)
    return _saved(fresh)


@transaction.atomic
def archive_logged_model(model: LoggedModel, *, by: Any) -> None:
    """Take a model out of sight; its files stay with its run. Idempotent. Audited. Raises: NotAllowed."""
    policy.require(by, "delete", model)
    if LoggedModel.objects.filter(pk=model.pk, archived_at=None).update(archived_at=Now()):
        if model.is_alone:  # its run was made for it
            Run.objects.filter(pk=model.run_id, archived_at=None).update(archived_at=Now())
        audit.record("archive", model, by=by)


@transaction.atomic
def measure_model(model: LoggedModel, run: Run, metrics: Sequence[Measured], *, by: Any) -> None:
    """Keep what a run measured of a model: per metric and dataset the value of the highest step, then time.

    Raises: NotAllowed on the model or the run.
    """
    policy.require(by, "log", model)
    policy.require(by, "log", run)
    lock_row(LoggedModel.objects.filter(pk=model.pk))
    for given in metrics:
        same: dict[str, Any] = {
            "model": model,
            "run": run,
            "key": given.key,
            "dataset_name": given.dataset_name,
            "dataset_digest": given.dataset_digest,
        }
        known = ModelMetric.objects.filter(**same).first()
        if known is None or (known.step, known.time) <= (given.step, given.time):
            facts = {"value": given.value, "step": given.step, "time": given.time}
            ModelMetric.objects.update_or_create(**same, defaults=facts)


def folder_of(model: LoggedModel) -> str:
    """Return where the files of a model lie among those of its run."""
    return f"{MODEL_FOLDER}/m-{model.pk.hex}"


def _checked(field: str, given: Mapping[str, str] | None) -> dict[str, str]:
    batch = batches.check({field: dict(given or {})})
    return dict(batch.params if field == "params" else batch.tags)


def _few(field: str, names: dict[str, str]) -> dict[str, str]:
    if len(names) > MOST_NAMES:
        raise Invalid(errors={field: [f"A model may have {MOST_NAMES}."]})
    return names


def _clean(model: LoggedModel) -> None:
    try:
        model.clean_fields(exclude={"run", "params", "tags", "created_at", "updated_at"})
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error


def _saved(model: LoggedModel) -> LoggedModel:
    model.updated_at = Now()
    model.save()
    model.refresh_from_db()
    return model
