"""The experiment table, and what is done to several rows at once."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from apps.access.views import GuardedView
from apps.compute.choices import ACTIVE, State
from apps.core.errors import Invalid
from apps.core.ids import id_in
from apps.experiments import services
from apps.experiments.filters import ExperimentFilter
from apps.experiments.models import Experiment
from apps.experiments.views import several
from apps.experiments.views.columns import Columns
from apps.teams.models import Membership, Team
from apps.tracking.models import Project

PAGE_SIZES = (25, 50, 100)
_OFFERED = 100
_MOST_AT_ONCE = 100


class ExperimentListView(GuardedView):
    """Newest first, by pages that a position separates: the last row of one is where the next begins."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        columns = Columns.read(request.GET)
        visible = Experiment.objects.visible_to(self.user, "view").live().with_details()
        if request.GET.get("shared"):
            visible = visible.shared_with(self.user)
        problems: dict[str, list[str]] = {}
        try:
            page = Page(ExperimentFilter.read(request.GET).apply(visible), request.GET)
        except Invalid as refusal:
            problems = refusal.errors
            page = Page(visible.none(), request.GET)
        context = {
            "lines": columns.lines(page.rows),
            "page": page,
            "columns": columns,
            "problems": problems,
            "is_live": any(row.workload.state in ACTIVE for row in page.rows),
            "filtered": any(
                request.GET.get(name) for name in ("state", "kind", "project", "team", "owner", "q", "tag", "shared")
            ),
        }
        if request.headers.get("HX-Target") == "rows":
            response = render(request, "experiments/_partials/rows.html", context)
        else:
            context |= self._menus(request.GET) | {"sizes": PAGE_SIZES, "states": State.values}
            response = render(request, "experiments/list.html", context)
        patch_vary_headers(response, ["HX-Target"])
        return response

    def _menus(self, query: QueryDict) -> dict[str, Any]:
        projects = Project.objects.visible_to(self.user, "view").filter(archived_at=None).order_by("name")
        people = Membership.objects.visible_to(self.user, "view").values_list("user__username", flat=True)
        offered = list(projects.values_list("pk", "name")[:_OFFERED])
        chosen = query.get("project", "")
        return {
            "projects": [(str(pk), name) for pk, name in offered],
            "project_name": next((name for pk, name in offered if str(pk) == chosen), chosen),
            "teams": Team.objects.visible_to(self.user, "view").order_by("name")[:_OFFERED],
            "people": sorted({*people[: _OFFERED * 5]} | {self.user.username})[:_OFFERED],
            "chosen_states": query.getlist("state"),
            "chosen_tags": query.getlist("tag"),
        }


class Page:
    """One page, newest first by the time-ordered key: `after` goes on to older rows, `before` back to newer ones."""

    def __init__(self, queryset: Any, query: QueryDict) -> None:
        self.size = next((size for size in PAGE_SIZES if str(size) == query.get("limit")), PAGE_SIZES[1])
        before, after = id_in(query.get("before")), id_in(query.get("after"))
        if before is not None:
            found = list(queryset.filter(pk__gt=before).order_by("pk")[: self.size + 1])
            self.rows = found[: self.size][::-1]
            self.has_newer, self.has_older = len(found) > self.size, True
        else:
            older = queryset.filter(pk__lt=after) if after is not None else queryset
            found = list(older.order_by("-pk")[: self.size + 1])
            self.rows = found[: self.size]
            self.has_newer, self.has_older = after is not None, len(found) > self.size

    @property
    def newer(self) -> str:
        return str(self.rows[0].pk) if self.has_newer and self.rows else ""

    @property
    def older(self) -> str:
        return str(self.rows[-1].pk) if self.has_older and self.rows else ""


_BULK: several.Acts = {
    "stop": (services.stop_experiment, "asked to stop"),
    "delete": (services.delete_experiment, "deleted"),
}


class BulkView(GuardedView):
    """Stop or delete the chosen rows, each through its service: what is refused is counted and said."""

    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        chosen = [found for text in request.POST.getlist("id")[:_MOST_AT_ONCE] if (found := id_in(text))]
        back = f"{reverse('experiment-list')}?{_query(request.POST.get('back', ''))}"
        if request.POST.get("action") == "compare":
            query = "&".join(f"id={pk}" for pk in chosen)
            return redirect(f"{reverse('run-compare')}?{query}")
        rows = (
            Experiment.objects.visible_to(self.user, "view").live().with_details().filter(pk__in=chosen).order_by("-pk")
        )
        several.apply(request, list(rows), _BULK, by=self.user, noun="experiment")
        return redirect(back)


def _query(text: str) -> str:
    """Take the list's own query back from the form, re-encoded, so that nothing else can ride along."""
    return QueryDict(text[:4000]).urlencode()
