"""Writes on what a run read and made: datasets, and logged models as inputs and outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.access import policy
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row
from apps.tracking.choices import Direction
from apps.tracking.models import LoggedModel, Run, RunDataset, RunModel

MOST_DATASETS = 1_000
CONTEXT = "mlflow.data.context"  # the tag that says what the data was for, such as "training"


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """Data that a run read, as its client tells of it."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def log_datasets(run: Run, datasets: Sequence[DatasetInput], *, by: Any) -> None:
    """Note which data a run read. The same name and digest are one dataset: told again, only its tags are added.

    Raises: NotAllowed, Invalid, Conflict for a deleted run.
    """
    policy.require(by, "log", run)
    # LOCKING: one telling of a run at a time, or two would both be the first.
    _require_live(lock_row(Run.objects.filter(pk=run.pk)))
    known = {(row.name, row.digest): row for row in RunDataset.objects.filter(run=run)}
    for given in datasets:
        row = known.setdefault((given.name, given.digest), _row(run, given))
        row.tags = {**row.tags, **given.tags}
        row.context = str(row.tags.get(CONTEXT, ""))[:250]
        _clean(row)
        row.save()
    if len(known) > MOST_DATASETS:
        raise Invalid(errors={"datasets": [f"A run may have {MOST_DATASETS}."]})


@transaction.atomic
def link_models(run: Run, steps: Mapping[UUID, int], direction: Direction, *, by: Any) -> None:
    """Note that a run used (input) or made (output) logged models, each with a step. Idempotent: the last step counts.

    Raises: NotAllowed, Invalid for a model that there is not or that may not be seen, Conflict for a deleted run.
    """
    policy.require(by, "log", run)
    _require_live(lock_row(Run.objects.filter(pk=run.pk)))
    seen = LoggedModel.objects.visible_to(by, "view").filter(pk__in=steps, archived_at=None)
    models = {model.pk: model for model in seen}
    if unknown := set(steps) - set(models):
        raise Invalid(errors={"models": [f"There is no model m-{min(unknown).hex}, or you may not see it."]})
    for pk in sorted(models):
        RunModel.objects.update_or_create(run=run, model=models[pk], direction=direction, defaults={"step": steps[pk]})


def _row(run: Run, given: DatasetInput) -> RunDataset:
    return RunDataset(
        run=run,
        name=given.name,
        digest=given.digest,
        source_type=given.source_type,
        source=given.source,
        schema=given.schema,
        profile=given.profile,
    )


def _clean(row: RunDataset) -> None:
    try:
        row.clean_fields(exclude={"run", "tags"})
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error


def _require_live(run: Run) -> None:
    if run.archived_at is not None:
        msg = "The run was deleted. Restore it first."
        raise Conflict(msg)
