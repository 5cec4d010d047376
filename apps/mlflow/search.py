"""Search of runs, on top of what the policy lets the caller see."""

from contextlib import nullcontext
from typing import Any

from apps.core.texts import wrong
from apps.mlflow import pages, records
from apps.mlflow.calls import Call
from apps.mlflow.experiments import view_of
from apps.mlflow.finding import projects_of
from apps.mlflow.routing import answers
from apps.tracking.language.runs import read_filter, read_orders
from apps.tracking.models import Run
from apps.tracking.searching import alone, ordered_ids

_MOST = 50_000
_USUAL = 1_000


@answers("POST", "runs/search", judged="run:view")
def search(call: Call) -> dict[str, Any]:
    """Return a page of the runs in some experiments that the caller may see."""
    limit = call.whole("max_results", _USUAL, low=1, high=_MOST)
    offset = pages.offset_of(call)
    if not call.texts("experiment_ids"):
        raise wrong(name="experiment_ids", sentence="Name at least one.")
    projects = projects_of(call)
    condition, order = read_filter(call.text("filter"), projects), read_orders(call.texts("order_by"))
    rows: Any = Run.objects.visible_to(call.user, "view").filter(
        condition, project__in=projects, **view_of(call, "run_view_type")
    )
    with alone() if condition or order.entries else nullcontext():
        found = ordered_ids(rows, order, projects, offset, offset + limit + 1)
    page = {run["info"]["run_id"]: run for run in records.runs_of(Run.objects.filter(pk__in=found[:limit]))}
    answer: dict[str, Any] = {"runs": [page[pk.hex] for pk in found[:limit] if pk.hex in page]}
    if len(found) > limit:
        answer["next_page_token"] = pages.token_of(offset + limit)
    return answer
