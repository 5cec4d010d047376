"""Registered models. A name is all that MLflow's client knows: it means one's own model first, then one that one may
register with, then one that one sees.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import Invalid, NotFound
from apps.core.texts import wrong
from apps.mlflow import forms, pages, sources
from apps.mlflow.calls import Call
from apps.mlflow.experiments import team_of
from apps.mlflow.filters.registry import filter_models, order_models
from apps.mlflow.routing import answers
from apps.models import services
from apps.models.choices import Stage
from apps.models.models import ModelVersion, RegisteredModel

_MOST = 1_000
_USUAL = 100
_LONGEST_NAME = 250
_STAGES = {stage.value.lower(): stage.value for stage in Stage}


@answers("POST", "registered-models/create", judged="model:create")
@transaction.atomic
def create(call: Call) -> dict[str, Any]:
    """Make a model: one's own, or with the tag `fathom.team` a team's."""
    tags = call.pairs("tags")
    team = team_of(tags.pop(forms.TEAM_TAG, ""), call.user)
    name = call.needed("name", longest=_LONGEST_NAME)
    description = call.text("description")
    model = services.create_model(name, by=call.user, team=team, description=description, tags=tags)
    model.refresh_from_db(fields=["created_at", "updated_at"])
    return {"registered_model": _forms([model])[0]}


@answers("GET", "registered-models/get", judged="model:view")
def get(call: Call) -> dict[str, Any]:
    return {"registered_model": _forms([model_of(call)])[0]}


@answers("POST", "registered-models/rename", judged="model:edit")
def rename(call: Call) -> dict[str, Any]:
    model = model_of(call)
    services.update_model(model, by=call.user, name=call.needed("new_name", longest=_LONGEST_NAME))
    model.refresh_from_db(fields=["updated_at"])
    return {"registered_model": _forms([model])[0]}


@answers("PATCH", "registered-models/update", judged="model:edit")
def update(call: Call) -> dict[str, Any]:
    model = model_of(call)
    services.update_model(model, by=call.user, description=call.text("description"))
    model.refresh_from_db(fields=["updated_at"])
    return {"registered_model": _forms([model])[0]}


@answers("DELETE", "registered-models/delete", judged="model:delete")
def delete(call: Call) -> dict[str, Any]:
    services.archive_model(model_of(call), by=call.user)
    return {}


@answers("GET", "registered-models/search", judged="model:view")
@answers("POST", "registered-models/search", judged="model:view")
def search(call: Call) -> dict[str, Any]:
    """Return a page of the models that the caller may see."""
    limit, offset = call.whole("max_results", _USUAL, low=1, high=_MOST), pages.offset_of(call)
    rows: Any = RegisteredModel.objects.visible_to(call.user, "view").live()
    ordered = order_models(filter_models(rows, call.text("filter")), call.texts("order_by"))
    found = list(ordered[offset : offset + limit + 1])
    answer: dict[str, Any] = {"registered_models": _forms(found[:limit])}
    if len(found) > limit:
        answer["next_page_token"] = pages.token_of(offset + limit)
    return answer


@answers("GET", "registered-models/get-latest-versions", judged="model:view")
@answers("POST", "registered-models/get-latest-versions", judged="model:view")
def latest_versions(call: Call) -> dict[str, Any]:
    """Return the newest version in each stage."""
    model = model_of(call)
    wanted = [stage_of(text, "stages") for text in call.texts("stages")] or list(_STAGES.values())
    newest = _newest([model])[model.pk]
    return {"model_versions": version_forms([version for version in newest if version.stage in wanted])}


@answers("POST", "registered-models/set-tag", judged="model:edit")
def set_tag(call: Call) -> dict[str, Any]:
    key = call.needed("key")
    if key == forms.TEAM_TAG:
        raise wrong(name="key", sentence="A model is moved to another team on its own page.")
    services.tag_model(model_of(call), {key: call.text("value")}, by=call.user)
    return {}


@answers("DELETE", "registered-models/delete-tag", judged="model:edit")
def delete_tag(call: Call) -> dict[str, Any]:
    services.untag_model(model_of(call), call.needed("key"), by=call.user)
    return {}


@answers("POST", "registered-models/alias", judged="model:move")
def set_alias(call: Call) -> dict[str, Any]:
    """Let an alias point to a version; a protected one is refused with what is missing."""
    model = model_of(call)
    services.set_alias(model, call.needed("alias"), version_of(call, model), by=call.user)
    return {}


@answers("DELETE", "registered-models/alias", judged="model:move")
def delete_alias(call: Call) -> dict[str, Any]:
    model, alias = model_of(call), call.needed("alias")
    if model.aliases.filter(name=alias).exists():
        services.drop_alias(model, alias, by=call.user)
    else:
        policy.require(call.user, "move", model)  # as if there were one
    return {}


@answers("GET", "registered-models/alias", judged="model:view")
def get_by_alias(call: Call) -> dict[str, Any]:
    model, alias = model_of(call), call.needed("alias")
    found = model.aliases.filter(name=alias).select_related("version").first()
    if found is None:
        msg = f"Registered model alias {alias[:100]} not found."
        raise Invalid(msg)
    found.version.model = model
    return {"model_version": version_forms([found.version])[0]}


def model_of(call: Call) -> RegisteredModel:
    """Return the model that a call names. Raises: Invalid, NotFound."""
    name = call.needed("name")
    found = services.named_model(name, by=call.user)
    if found is None:
        msg = "Registered model not found: there is none of this name, or you may not see it."
        raise refused(call.user, "view", "registry.registeredmodel", NotFound(msg), object_id=name[:64])
    return found


def version_of(call: Call, model: RegisteredModel) -> ModelVersion:
    """Return the version that a call names by its number. Raises: Invalid, NotFound."""
    if call.given.get("version") in (None, ""):
        raise wrong(name="version", sentence="Expected a whole number.")
    number = call.whole("version", low=0, high=(1 << 31) - 1)
    try:
        version = services.find_version(model, number)
    except NotFound as error:
        msg = f"Model Version (name={model.name}, version={number}) not found."
        raise NotFound(msg) from error
    version.model = model
    return version


def stage_of(text: str, field: str) -> str:
    """Return a stage, in whatever letters it was written. Raises: Invalid."""
    if text.lower() not in _STAGES:
        raise wrong(field, f"One of {', '.join(_STAGES.values())}.")
    return _STAGES[text.lower()]


def version_forms(versions: Iterable[ModelVersion]) -> list[dict[str, Any]]:
    """Return versions as the wire shows them; their models are loaded."""
    found = list(versions)
    rows: Any = ModelVersion.objects.filter(pk__in=[one.pk for one in found])
    told = {row.pk: row for row in rows.only("pk").prefetch_related("tags", "aliases")}
    return [
        version_form(
            one,
            [(tag.key, tag.value) for tag in told[one.pk].tags.all()],
            sorted(alias.name for alias in told[one.pk].aliases.all()),
        )
        for one in found
    ]


def version_form(version: ModelVersion, tags: list[tuple[str, str]], aliases: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "name": version.model.name,
        "version": str(version.number),
        "creation_timestamp": forms.milliseconds(version.created_at),
        "last_updated_timestamp": forms.milliseconds(version.updated_at),
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id.hex if version.run_id else "",
        "status": "READY",
        "tags": forms.pairs(tags),
        "aliases": aliases,
    }
    if model_id := sources.logged_model_of(version.source):
        form["model_id"] = model_id
    return form


def _forms(models: Iterable[RegisteredModel]) -> list[dict[str, Any]]:
    found = list(models)
    newest = _newest(found)
    latest = {one.pk: version_forms(newest[one.pk]) for one in found} if any(newest.values()) else {}
    rows: Any = RegisteredModel.objects.filter(pk__in=[one.pk for one in found])
    told = {row.pk: row for row in rows.prefetch_related("tags", "aliases__version")}
    return [_form(one, told[one.pk], latest.get(one.pk, [])) for one in found]


def _form(model: RegisteredModel, told: Any, latest: list[dict[str, Any]]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "name": model.name,
        "creation_timestamp": forms.milliseconds(model.created_at),
        "last_updated_timestamp": forms.milliseconds(model.updated_at),
        "description": model.description,
        "tags": forms.pairs((tag.key, tag.value) for tag in told.tags.all()),
        "aliases": [
            {"alias": alias.name, "version": str(alias.version.number)}
            for alias in sorted(told.aliases.all(), key=lambda one: one.name)
        ],
    }
    if latest:
        form["latest_versions"] = latest
    return form


def _newest(models: Iterable[RegisteredModel]) -> dict[Any, list[ModelVersion]]:
    """Return the newest version in each stage of each model."""
    by_pk = {model.pk: model for model in models}
    found: dict[Any, list[ModelVersion]] = {pk: [] for pk in by_pk}
    rows: Any = ModelVersion.objects.filter(model__in=by_pk, archived_at=None)
    for version in rows.order_by("model", "stage", "-number").distinct("model", "stage"):
        version.model = by_pk[version.model_id]
        found[version.model_id].append(version)
    return found
