"""Logged models of MLflow 3: what a run made, before it is registered. Their files lie among those of their run."""

from collections.abc import Iterable
from typing import Any

from apps.core.ids import new_id
from apps.core.texts import wrong
from apps.mlflow import files, forms, pages
from apps.mlflow.calls import Call
from apps.mlflow.filters.models import OnDataset, apply_filter, apply_order
from apps.mlflow.finding import model_id, model_of, project_of, projects_of, run_of
from apps.mlflow.routing import answers
from apps.tracking import services as tracking
from apps.tracking.choices import ModelStatus
from apps.tracking.models import LoggedModel, ModelMetric
from apps.tracking.paths import clean_folder
from apps.tracking.summaries import wire

_MOST = 1_000
_USUAL = 100
_STATUSES = {
    ModelStatus.PENDING: "LOGGED_MODEL_PENDING",
    ModelStatus.READY: "LOGGED_MODEL_READY",
    ModelStatus.FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}
_NUMBERED = {1: ModelStatus.PENDING, 2: ModelStatus.READY, 3: ModelStatus.FAILED}


@answers("POST", "logged-models", judged="run:log")
def create(call: Call) -> dict[str, Any]:
    run = run_of(call, field="source_run_id", is_live=True) if call.text("source_run_id") else None
    if run is not None and call.needed("experiment_id") == str(run.project.number):
        project = run.project  # known, and perhaps not to be seen by itself: a job knows its run only
    else:
        project = project_of(call, is_live=True)
    model = tracking.create_logged_model(
        project,
        by=call.user,
        name=call.text("name") or f"model-{new_id().hex[-8:]}",
        run=run,
        model_type=call.text("model_type"),
        params=call.pairs("params"),
        tags=call.pairs("tags"),
    )
    return {"model": _form(model)}


@answers("GET", "logged-models/<str:model_id>", judged="run:view")
def get(call: Call) -> dict[str, Any]:
    return {"model": _form(model_of(call))}


@answers("PATCH", "logged-models/<str:model_id>", judged="run:log")
def finalize(call: Call) -> dict[str, Any]:
    """Say how making the model ended."""
    model = model_of(call)
    return {"model": _form(tracking.update_logged_model(model, by=call.user, status=_status(call.given.get("status"))))}


@answers("DELETE", "logged-models/<str:model_id>", judged="run:delete")
def delete(call: Call) -> dict[str, Any]:
    tracking.archive_logged_model(model_of(call), by=call.user)
    return {}


@answers("PATCH", "logged-models/<str:model_id>/tags", judged="run:log")
def set_tags(call: Call) -> dict[str, Any]:
    return {"model": _form(tracking.update_logged_model(model_of(call), by=call.user, tags=call.pairs("tags")))}


@answers("DELETE", "logged-models/<str:model_id>/tags/<str:tag_key>", judged="run:log")
def delete_tag(call: Call) -> dict[str, Any]:
    tracking.delete_model_tag(model_of(call), call.needed("tag_key"), by=call.user)
    return {}


@answers("POST", "logged-models/<str:model_id>/params", judged="run:log")
def log_params(call: Call) -> dict[str, Any]:
    tracking.update_logged_model(model_of(call), by=call.user, params=call.pairs("params"))
    return {}


@answers("GET", "logged-models/<str:model_id>/artifacts/directories", judged="run:view")
def list_files(call: Call) -> dict[str, Any]:
    """List a folder of the model's files; paths are told from the model's own top."""
    model = model_of(call)
    top = tracking.folder_of(model)
    inside = clean_folder(call.text("artifact_directory_path"))
    shown = files.page(model.run, f"{top}/{inside}" if inside else top, call, lambda path: path[len(top) + 1 :])
    return {"root_uri": _location(model), **shown}


@answers("POST", "logged-models/search", judged="run:view")
def search(call: Call) -> dict[str, Any]:
    limit, offset = call.whole("max_results", _USUAL, low=1, high=_MOST), pages.offset_of(call)
    if not call.texts("experiment_ids"):
        raise wrong(name="experiment_ids", sentence="Name at least one.")
    datasets = [
        OnDataset(entry.needed("dataset_name"), entry.text("dataset_digest"))
        for entry in (Call(call.user, row) for row in call.rows("datasets"))
    ]
    rows: Any = LoggedModel.objects.visible_to(call.user, "view").live().filter(run__project__in=projects_of(call))
    orders = [Call(call.user, row) for row in call.rows("order_by")]
    ordered = apply_order(apply_filter(rows, call.text("filter"), datasets), orders)
    found = list(ordered.select_related("run__project")[offset : offset + limit + 1])
    answer: dict[str, Any] = {"models": _forms(found[:limit])}
    if len(found) > limit:
        answer["next_page_token"] = pages.token_of(offset + limit)
    return answer


def _status(value: Any) -> str:
    """Return our word for a status; protobuf also allows its number. Raises: Invalid."""
    known = _NUMBERED.get(value) if isinstance(value, int) else None
    for word, name in _STATUSES.items():
        known = word if value == name else known
    if known is None:
        raise wrong(name="status", sentence=f"One of {', '.join(_STATUSES.values())}.")
    return str(known)


def _location(model: LoggedModel) -> str:
    root = forms.artifacts_of(model.run.project.number, model.run_id.hex)
    return f"{root}/{tracking.folder_of(model)}"


def _form(model: LoggedModel) -> dict[str, Any]:
    return _forms([model])[0]


def _forms(models: Iterable[LoggedModel]) -> list[dict[str, Any]]:
    found = list(models)
    metrics: dict[Any, list[dict[str, Any]]] = {model.pk: [] for model in found}
    for metric in ModelMetric.objects.filter(model__in=found).order_by("key", "time", "pk"):
        metrics[metric.model_id].append(_metric(metric))
    return [_told(model, metrics[model.pk]) for model in found]


def _told(model: LoggedModel, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    info: dict[str, Any] = {
        "model_id": model_id(model),
        "experiment_id": str(model.run.project.number),
        "name": model.name,
        "creation_timestamp_ms": forms.milliseconds(model.created_at),
        "last_updated_timestamp_ms": forms.milliseconds(model.updated_at),
        "artifact_uri": _location(model),
        "status": _STATUSES[ModelStatus(model.status)],
        "model_type": model.model_type,
        "tags": forms.pairs(sorted(model.tags.items())),
    }
    if not model.is_alone:
        info["source_run_id"] = model.run_id.hex
    return {"info": info, "data": {"params": forms.pairs(sorted(model.params.items())), "metrics": metrics}}


def _metric(metric: ModelMetric) -> dict[str, Any]:
    form = {
        "key": metric.key,
        "value": wire(metric.value),
        "timestamp": forms.milliseconds(metric.time),
        "step": metric.step,
        "model_id": f"m-{metric.model_id.hex}",
        "run_id": metric.run_id.hex,
    }
    if metric.dataset_name:
        form |= {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return form
