"""The table of models."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.access.views import GuardedView
from apps.core.errors import Invalid
from apps.models.filters import ModelFilter
from apps.models.models import MoveRequest, RegisteredModel
from apps.models.views.paging import Page
from apps.teams.models import Team

_OFFERED = 100


class ModelListView(GuardedView):
    """Newest first, by pages."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        visible: Any = RegisteredModel.objects.visible_to(self.user, "view").live().with_details()
        if request.GET.get("shared"):
            visible = visible.shared_with(self.user)
        problems: dict[str, list[str]] = {}
        try:
            page = Page(ModelFilter.read(request.GET).apply(visible), request.GET)
        except Invalid as refusal:
            problems, page = refusal.errors, Page(visible.none(), request.GET)
        waiting: Any = MoveRequest.objects.visible_to(self.user, "approve").open().filter(model__archived_at=None)
        context = {
            "page": page,
            "problems": problems,
            "teams": Team.objects.visible_to(self.user, "view").order_by("name")[:_OFFERED],
            "filtered": any(request.GET.get(name) for name in ("q", "team", "tag", "shared")),
            "waiting": waiting.of_others(self.user).count(),
        }
        return render(request, "models/list.html", context)
