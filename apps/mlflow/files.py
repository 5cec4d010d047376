"""The files of a run, folder by folder. Their bytes travel by another API of MLflow's."""

from collections.abc import Callable
from typing import Any

from apps.mlflow import forms
from apps.mlflow.calls import Call
from apps.mlflow.finding import run_of
from apps.mlflow.routing import answers
from apps.tracking import services as tracking
from apps.tracking.models import Run
from apps.tracking.paths import clean_folder
from apps.tracking.services import Entry


@answers("GET", "artifacts/list", judged="run:view")
def list_files(call: Call) -> dict[str, Any]:
    run = run_of(call)
    root = forms.artifacts_of(run.project.number, run.pk.hex)
    return {"root_uri": root, **page(run, clean_folder(call.text("path")), call, lambda path: path)}


def page(run: Run, folder: str, call: Call, shown: Callable[[str], str]) -> dict[str, Any]:
    """Return one page of a folder; the token is the name that was listed last."""
    found = tracking.list_folder(run, folder, after=call.text("page_token", longest=500))
    answer: dict[str, Any] = {"files": [_form(entry, shown) for entry in found.entries]}
    if found.next_name is not None:
        answer["next_page_token"] = found.next_name
    return answer


def _form(entry: Entry, shown: Callable[[str], str]) -> dict[str, Any]:
    form: dict[str, Any] = {"path": shown(entry.path), "is_dir": entry.is_dir}
    if not entry.is_dir:
        form["file_size"] = entry.size_bytes
    return form
