"""Experiments of MLflow: our projects."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from apps.access import policy
from apps.core.errors import NotFound, Taken
from apps.core.texts import wrong
from apps.mlflow import forms, pages
from apps.mlflow.calls import Call
from apps.mlflow.filters.experiments import apply_filter, apply_order
from apps.mlflow.finding import DEFAULT_NAME, project_of
from apps.mlflow.routing import answers
from apps.teams.models import Team
from apps.tracking import services as tracking
from apps.tracking.models import Project, ProjectTag

_MOST = 50_000
_USUAL = 1_000
_LONGEST_NAME = 120
VIEWS: dict[str, dict[str, Any]] = {
    "ACTIVE_ONLY": {"archived_at": None},
    "DELETED_ONLY": {"archived_at__isnull": False},
    "ALL": {},
}
_NUMBERED = {1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}


@answers("POST", "experiments/create", judged="project:create")
@transaction.atomic
def create(call: Call) -> dict[str, Any]:
    """Make a project: one's own, or with the tag `fathom.team` a team's."""
    if call.text("artifact_location"):
        raise wrong(name="artifact_location", sentence="Fathom keeps the files itself. Leave it out.")
    tags = call.pairs("tags")
    team = team_of(tags.pop(forms.TEAM_TAG, ""), call.user)
    name = call.needed("name", longest=_LONGEST_NAME)
    same = Project.objects.filter(owner_id=call.user.pk, team=team, name=name).order_by("-archived_at").first()
    if same is not None:
        state = " in the deleted state. Restore it, and rename it if need be." if same.archived_at else "."
        msg = f"Experiment '{name}' already exists{state}"
        raise Taken(msg)
    project = tracking.create_project(name, by=call.user, team=team)
    if tags:
        tracking.set_project_tags(project, tags, by=call.user)
    project.refresh_from_db(fields=["number"])
    return {"experiment_id": str(project.number)}


@answers("GET", "experiments/get", judged="project:view")
def get(call: Call) -> dict[str, Any]:
    return {"experiment": _form(project_of(call))}


@answers("GET", "experiments/get-by-name", judged="project:view")
def get_by_name(call: Call) -> dict[str, Any]:
    """Find by name among what one may see: one's own first, then one's teams', then others'."""
    name = call.needed("experiment_name")
    found = tracking.named_project(name, by=call.user)
    if found is None and name == DEFAULT_NAME:
        found = tracking.find_project(tracking.DEFAULT_PROJECT, by=call.user, team=None)
    if found is None:
        msg = f"Could not find experiment with name '{name[:200]}', or you may not see it."
        raise NotFound(msg)
    return {"experiment": _form(found)}


@answers("POST", "experiments/search", judged="project:view")
@answers("GET", "experiments/search", judged="project:view")
def search(call: Call) -> dict[str, Any]:
    limit = call.whole("max_results", _USUAL, low=1, high=_MOST)
    offset = pages.offset_of(call)
    rows: Any = Project.objects.visible_to(call.user, "view").filter(**view_of(call, "view_type")).with_details()
    found = list(
        apply_order(apply_filter(rows, call.text("filter")), call.texts("order_by"))[offset : offset + limit + 1]
    )
    answer: dict[str, Any] = {"experiments": _forms(found[:limit])}
    if len(found) > limit:
        answer["next_page_token"] = pages.token_of(offset + limit)
    return answer


@answers("POST", "experiments/update", judged="project:edit")
def update(call: Call) -> dict[str, Any]:
    project = project_of(call, is_live=True)
    if name := call.text("new_name", longest=_LONGEST_NAME):
        tracking.update_project(project, by=call.user, name=name)
    return {}


@answers("POST", "experiments/delete", judged="project:delete")
def delete(call: Call) -> dict[str, Any]:
    """Take a project out of sight, and its runs with it."""
    project = project_of(call)
    policy.require(call.user, "delete", project)
    if project.archived_at is not None:
        msg = f"There is no experiment {project.number} in the 'active' state."
        raise NotFound(msg)
    tracking.archive_project_with_runs(project, by=call.user)
    return {}


@answers("POST", "experiments/restore", judged="project:delete")
def restore(call: Call) -> dict[str, Any]:
    project = project_of(call)
    policy.require(call.user, "delete", project)
    if project.archived_at is None:
        msg = f"There is no experiment {project.number} in the 'deleted' state."
        raise NotFound(msg)
    tracking.restore_project(project, by=call.user)
    return {}


@answers("POST", "experiments/set-experiment-tag", judged="project:edit")
def set_tag(call: Call) -> dict[str, Any]:
    key = call.needed("key")
    if key == forms.TEAM_TAG:
        raise wrong(name="key", sentence="A project stays in its team. Make another, and move there.")
    tracking.set_project_tags(project_of(call, is_live=True), {key: call.text("value")}, by=call.user)
    return {}


@answers("POST", "experiments/delete-experiment-tag", judged="project:edit")
def delete_tag(call: Call) -> dict[str, Any]:
    tracking.delete_project_tag(project_of(call, is_live=True), call.needed("key"), by=call.user)
    return {}


def view_of(call: Call, field: str) -> dict[str, Any]:
    """Return which of deleted and not deleted rows are meant; protobuf also allows the number of a view. Raises: Invalid."""
    value = call.given.get(field) or "ACTIVE_ONLY"
    name = _NUMBERED.get(value, "") if isinstance(value, int) else value
    if not isinstance(name, str) or name not in VIEWS:
        raise wrong(field, f"One of {', '.join(VIEWS)}.")
    return dict(VIEWS[name])


def team_of(slug: str, user: Any) -> Team | None:
    """Return the team of a tag, None for none. Raises: Invalid."""
    if not slug:
        return None
    found: Team | None = Team.objects.visible_to(user, "view").filter(slug=slug).first()
    if found is None:
        raise wrong(name=forms.TEAM_TAG, sentence="There is no such team, or you are not in it.")
    return found


def _form(project: Project) -> dict[str, Any]:
    return _forms([project])[0]


def _forms(projects: Iterable[Project]) -> list[dict[str, Any]]:
    found = list(projects)
    tags: dict[Any, dict[str, str]] = defaultdict(dict)
    for pk, key, value in ProjectTag.objects.filter(project__in=found).values_list("project_id", "key", "value"):
        tags[pk][key] = value
    return [forms.experiment(project, tags[project.pk]) for project in found]
