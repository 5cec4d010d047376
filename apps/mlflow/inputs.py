"""What a run read and made: datasets and logged models."""

from typing import Any
from uuid import UUID

from apps.core.errors import Invalid
from apps.mlflow.calls import Call
from apps.mlflow.finding import model_pk, projects_of, run_of
from apps.mlflow.routing import answers
from apps.tracking import services as tracking
from apps.tracking.choices import Direction
from apps.tracking.models import Run, RunDataset
from apps.tracking.services import DatasetInput

_MOST_PROJECTS = 20
_MOST_SUMMARIES = 1_000


@answers("POST", "runs/log-inputs", judged="run:log")
def log_inputs(call: Call) -> dict[str, Any]:
    run = run_of(call, is_live=True)
    datasets = [_dataset(Call(call.user, row)) for row in call.rows("datasets")]
    steps = {model_pk(entry.needed("model_id"), call.user): 0 for entry in _entries(call)}
    tracking.log_datasets(run, datasets, by=call.user)
    if steps:
        tracking.link_models(run, steps, Direction.INPUT, by=call.user)
    return {}


@answers("POST", "runs/outputs", judged="run:log")
def log_outputs(call: Call) -> dict[str, Any]:
    run = run_of(call, is_live=True)
    steps: dict[UUID, int] = {
        model_pk(entry.needed("model_id"), call.user): entry.whole("step", 0) for entry in _entries(call)
    }
    tracking.link_models(run, steps, Direction.OUTPUT, by=call.user)
    return {}


@answers("POST", "experiments/search-datasets", judged="run:view", prefix="ajax-api/2.0/mlflow")
@answers("POST", "experiments/search-datasets", judged="run:view")
def search_datasets(call: Call) -> dict[str, Any]:
    """Return which data the runs of some experiments read, as far as the caller may see the runs."""
    if not 0 < len(call.texts("experiment_ids")) <= _MOST_PROJECTS:
        msg = f"SearchDatasets request must specify 1 to {_MOST_PROJECTS} experiment_ids."
        raise Invalid(msg)
    runs = Run.objects.visible_to(call.user, "view").live().filter(project__in=projects_of(call))
    rows = RunDataset.objects.filter(run__in=runs.values("pk")).order_by("name", "digest", "context")
    found = rows.values_list("run__project__number", "name", "digest", "context").distinct()[:_MOST_SUMMARIES]
    return {
        "dataset_summaries": [
            {"experiment_id": str(number), "name": name, "digest": digest, "context": context}
            for number, name, digest, context in found
        ]
    }


def _entries(call: Call) -> list[Call]:
    return [Call(call.user, row) for row in call.rows("models")]


def _dataset(entry: Call) -> DatasetInput:
    told = entry.part("dataset")
    return DatasetInput(
        name=told.needed("name"),
        digest=told.needed("digest"),
        source_type=told.needed("source_type"),
        source=told.needed("source"),
        schema=told.text("schema"),
        profile=told.text("profile"),
        tags=entry.pairs("tags"),
    )
