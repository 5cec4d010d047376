"""Versions of registered models."""

from typing import Any

from apps.core.texts import wrong
from apps.mlflow import forms, pages, sources
from apps.mlflow.calls import Call, missing
from apps.mlflow.filters.registry import filter_versions, order_versions
from apps.mlflow.finding import find_run
from apps.mlflow.registry import model_of, stage_of, version_form, version_forms, version_of
from apps.mlflow.routing import answers
from apps.models import services
from apps.models.choices import Stage
from apps.models.models import ModelVersion

_MOST = 200_000
_USUAL = 10_000


@answers("POST", "model-versions/create", judged="model:register")
def create(call: Call) -> dict[str, Any]:
    """Make the next version. Its files are those of the source, which has to be something that Fathom keeps."""
    model, text = model_of(call), call.needed("source", longest=1000)
    source = sources.read(text, call.user)
    run, named = source.run, call.text("run_id")
    if named and not (run and named == run.pk.hex):
        run = find_run(named, call.user, is_told=False)
    tags = call.pairs("tags")
    details = services.Details(source=text, description=call.text("description"), tags=tags)
    if source.version is not None:
        version = services.copy_version(model, source.version, by=call.user, details=details)
    else:
        kept = source.run or run
        if kept is None:
            raise missing(name="run_id")
        version = services.register_run(model, kept, source.path, by=call.user, details=details, may_be_empty=True)
    return {"model_version": version_form(version, list(tags.items()), [])}


@answers("GET", "model-versions/get", judged="model:view")
def get(call: Call) -> dict[str, Any]:
    return {"model_version": version_forms([version_of(call, model_of(call))])[0]}


@answers("PATCH", "model-versions/update", judged="model:edit")
def update(call: Call) -> dict[str, Any]:
    version = version_of(call, model_of(call))
    services.update_version(version, by=call.user, description=call.text("description"))
    return {"model_version": version_forms([version])[0]}


@answers("DELETE", "model-versions/delete", judged="model:delete")
def delete(call: Call) -> dict[str, Any]:
    services.archive_version(version_of(call, model_of(call)), by=call.user)
    return {}


@answers("POST", "model-versions/transition-stage", judged="model:move")
def transition(call: Call) -> dict[str, Any]:
    """Put a version into a stage; a protected one is refused with what is missing."""
    version = version_of(call, model_of(call))
    stage = stage_of(call.needed("stage"), "stage")
    archives = call.given.get("archive_existing_versions") or False
    if not isinstance(archives, bool):
        raise wrong(name="archive_existing_versions", sentence="Expected true or false.")
    if archives and stage not in {Stage.STAGING, Stage.PRODUCTION}:
        raise wrong(name="archive_existing_versions", sentence="Only into Staging or Production.")
    moved = services.move_stage(version, stage, by=call.user, archive_others=archives)
    return {"model_version": version_forms([moved])[0]}


@answers("GET", "model-versions/search", judged="model:view")
@answers("POST", "model-versions/search", judged="model:view")
def search(call: Call) -> dict[str, Any]:
    """Return a page of the versions that the caller may see."""
    limit, offset = call.whole("max_results", _USUAL, low=1, high=_MOST), pages.offset_of(call)
    rows: Any = ModelVersion.objects.visible_to(call.user, "view").live().select_related("model")
    ordered = order_versions(filter_versions(rows, call.text("filter")), call.texts("order_by"))
    found = list(ordered[offset : offset + limit + 1])
    answer: dict[str, Any] = {"model_versions": version_forms(found[:limit])}
    if len(found) > limit:
        answer["next_page_token"] = pages.token_of(offset + limit)
    return answer


@answers("GET", "model-versions/get-download-uri", judged="model:view")
def download_uri(call: Call) -> dict[str, Any]:
    """Tell where the files are: those of the run they came from, or the registry's own."""
    version = version_of(call, model_of(call))
    if version.run is None:
        return {"artifact_uri": f"{forms.ARTIFACTS}/registry/{version.pk.hex}"}
    root = forms.artifacts_of(version.run.project.number, version.run.pk.hex)
    return {"artifact_uri": f"{root}/{version.run_path}" if version.run_path else root}


@answers("POST", "model-versions/set-tag", judged="model:edit")
def set_tag(call: Call) -> dict[str, Any]:
    services.tag_version(version_of(call, model_of(call)), {call.needed("key"): call.text("value")}, by=call.user)
    return {}


@answers("DELETE", "model-versions/delete-tag", judged="model:edit")
def delete_tag(call: Call) -> dict[str, Any]:
    services.untag_version(version_of(call, model_of(call)), call.needed("key"), by=call.user)
    return {}
