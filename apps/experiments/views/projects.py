"""The list of projects, and what the pages of one share."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.access.views import GuardedView
from apps.core.errors import Invalid
from apps.experiments.views.lists import PAGE_SIZES, Page
from apps.teams.models import Team
from apps.tracking.filters import ProjectFilter
from apps.tracking.models import Project, Run

_OFFERED = 100


class ProjectListView(GuardedView):
    """Newest first, by pages, each with when it was last used: by the newest run that the reader may see."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        visible: Any = Project.objects.visible_to(self.user, "view").live().with_details()
        if request.GET.get("shared"):
            visible = visible.shared_with(self.user)
        problems: dict[str, list[str]] = {}
        try:
            kept = ProjectFilter.read(request.GET).apply(visible)
        except Invalid as refusal:
            problems, kept = refusal.errors, visible.none()
        runs = Run.objects.visible_to(self.user, "view").filter(project=OuterRef("pk"), archived_at=None)
        newest = runs.order_by("-started_at").values("started_at")[:1]
        context = {
            "page": Page(kept.annotate(last_run_at=Subquery(newest)), request.GET),
            "sizes": PAGE_SIZES,
            "problems": problems,
            "teams": Team.objects.visible_to(self.user, "view").order_by("name")[:_OFFERED],
            "filtered": any(request.GET.get(name) for name in ("q", "team", "shared")),
        }
        return render(request, "projects/list.html", context)


class ProjectPage(GuardedView):
    """What the pages and answers of one project share."""

    shared_as: ClassVar[str] = "project"
    policy_action: ClassVar[str] = "view"

    def project(self, pk: UUID) -> Any:
        return self.find(Project.objects.live().with_details(), pk=pk)
