"""Runs of MLflow: ours."""

from typing import Any

from apps.core.ids import new_id
from apps.core.texts import wrong
from apps.mlflow import forms, records
from apps.mlflow.calls import Call
from apps.mlflow.finding import project_of, run_of
from apps.mlflow.routing import answers
from apps.tracking import services as tracking
from apps.tracking.language.runs import RUN_NAME

_LONGEST_NAME = 200


@answers("POST", "runs/create", judged="run:create")
def create(call: Call) -> dict[str, Any]:
    """Begin a run. `user_id` is left aside: whose it is says the token."""
    project = project_of(call, is_live=True)
    tags = call.pairs("tags")
    name = call.text("run_name") or tags.get(RUN_NAME) or f"run-{new_id().hex[-8:]}"
    if tags.get(RUN_NAME, name) != name:
        raise wrong(name="run_name", sentence=f"The tag {RUN_NAME} says otherwise.")
    tags.pop(RUN_NAME, None)
    started_at = call.time("start_time")
    run = tracking.create_run(project, by=call.user, name=_named(name), tags=tags, started_at=started_at)
    if started_at is None:
        run.refresh_from_db(fields=["started_at"])
    return {"run": records.new_run(run, tags)}


@answers("GET", "runs/get", judged="run:view")
def get(call: Call) -> dict[str, Any]:
    return {"run": records.run_of(run_of(call))}


@answers("POST", "runs/update", judged="run:log")
def update(call: Call) -> dict[str, Any]:
    """End a run, open it again, rename it. Of a job's run the platform says how it ended: told otherwise it keeps that."""
    run = run_of(call, is_live=True)
    changed = tracking.update_run(
        run,
        by=call.user,
        name=_named(call.text("run_name")),
        status=forms.status_of(call.given.get("status")),
        finished_at=call.time("end_time"),
    )
    changed.project, changed.owner = run.project, run.owner
    return {"run_info": records.info_of(changed)}


@answers("POST", "runs/delete", judged="run:delete")
def delete(call: Call) -> dict[str, Any]:
    tracking.archive_run(run_of(call), by=call.user)
    return {}


@answers("POST", "runs/restore", judged="run:delete")
def restore(call: Call) -> dict[str, Any]:
    tracking.restore_run(run_of(call), by=call.user)
    return {}


@answers("POST", "runs/delete-tag", judged="run:log")
def delete_tag(call: Call) -> dict[str, Any]:
    run, key = run_of(call, is_live=True), call.needed("key")
    if key == RUN_NAME:
        raise wrong(name="key", sentence="A run always has a name.")
    tracking.delete_tag(run, key, by=call.user)
    return {}


def _named(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        raise wrong(name="run_name", sentence=f"Longer than {_LONGEST_NAME} characters.")
    return name
