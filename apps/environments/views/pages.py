"""The table of environments, the page of one, and what was done to it."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.access.history import lines_of
from apps.access.views import GuardedView
from apps.core.errors import Invalid
from apps.environments.filters import narrow
from apps.environments.models import Environment, EnvironmentVersion
from apps.environments.views.finding import EnvironmentPage

_MOST = 500


class EnvironmentListView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows: Any = Environment.objects.visible_to(self.user, "view").live().with_details()
        problems: dict[str, list[str]] = {}
        try:
            rows = narrow(rows, request.GET, self.user)
        except Invalid as refusal:
            problems, rows = refusal.errors, rows.none()
        is_filtered = any(request.GET.get(name) for name in ("q", "team", "shared"))
        context = {"environments": rows.order_by("name", "pk")[:_MOST], "problems": problems, "filtered": is_filtered}
        return render(request, "environments/list.html", context)


class EnvironmentView(EnvironmentPage):
    """Its versions, and how each stands on the clusters."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        rows: Any = EnvironmentVersion.objects.visible_to(self.user, "view").filter(environment=environment)
        versions = rows.with_details().order_by("-number")[:_MOST]
        context = {"environment": environment, "versions": versions, "tab": "environment"}
        return render(request, "environments/environment.html", context)


class HistoryView(EnvironmentPage):
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        lines, page = lines_of(environment, by=self.user, page=request.GET.get("page", "1"))
        context = {"environment": environment, "lines": lines, "page": page, "tab": "environment-history"}
        return render(request, "environments/history.html", context)
