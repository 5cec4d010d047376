"""Where the files of a new version come from. SECURITY: only what Fathom keeps itself and its maker may see: a run's files, a
logged model, another version. Any other address is refused, so that the server reads nothing on anybody's word.
"""

import re
from dataclasses import dataclass
from typing import Any

from apps.core.errors import Invalid
from apps.mlflow.calls import absent
from apps.mlflow.finding import find_run, model_pk
from apps.models import services
from apps.models.models import ModelVersion
from apps.tracking import services as tracking
from apps.tracking.models import LoggedModel, Run

_RUN = re.compile(r"runs:/(?P<run>[0-9a-f]{32})(?:/(?P<path>.*))?", re.DOTALL)
_ARTIFACT = re.compile(
    r"mlflow-artifacts:(?://[^/]*)?/\d+/(?P<run>[0-9a-f]{32})/artifacts(?:/(?P<path>.*))?", re.DOTALL
)
_LOGGED = re.compile(r"models:/(?P<model>m-[0-9a-f]{32})/?")
_VERSION = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>[^/@]+)|@(?P<alias>[^/@]+))")
_EXPECTED = (
    "Fathom keeps the files itself. A source is runs:/<run>/<path>, mlflow-artifacts:/<experiment>/<run>/artifacts/<path>,"
    " models:/<model_id> or models:/<name>/<version>."
)


@dataclass(frozen=True, slots=True)
class Source:
    """A run and a path of its files, or another version."""

    run: Run | None = None
    path: str = ""
    version: ModelVersion | None = None


def read(text: str, by: Any) -> Source:
    """Return what an address names. Raises: Invalid for any other, NotFound for what one may not see."""
    if found := _RUN.fullmatch(text) or _ARTIFACT.fullmatch(text):
        return Source(find_run(found["run"], by, is_told=False), found["path"] or "")
    if found := _LOGGED.fullmatch(text):
        return _logged(found["model"], by)
    if found := _VERSION.fullmatch(text):
        model = services.named_model(found["name"], by=by)
        if model is None:
            raise absent(kind="registered model", name=found["name"])
        return Source(version=services.find_version(model, found["number"] or found["alias"]))
    msg = f"Invalid model version source: '{text[:200]}'. {_EXPECTED}"
    raise Invalid(msg)


def logged_model_of(source: str) -> str:
    """Return the id of the logged model in an address, "" without one."""
    found = _LOGGED.fullmatch(source)
    return found["model"] if found else ""


def _logged(model_id: str, by: Any) -> Source:
    rows: Any = (
        LoggedModel.objects.visible_to(by, "view").live().select_related("run__project", "run__owner", "run__team")
    )
    model = rows.filter(pk=model_pk(model_id, by)).first()
    if model is None:
        raise absent(kind="logged model", name=model_id)
    return Source(model.run, tracking.folder_of(model))
