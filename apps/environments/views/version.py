"""The page of a version, and the button that has it built."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.core.errors import Invalid
from apps.environments import services
from apps.environments.choices import ON_ITS_WAY
from apps.environments.models import EnvironmentBuild
from apps.environments.views.finding import EnvironmentPage


class VersionView(EnvironmentPage):
    """What it is made of, its builds with their logs, and the lock. The part that changes asks for itself again."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        rows: Any = EnvironmentBuild.objects.visible_to(self.user, "view").filter(version=version)
        builds = list(rows.select_related("cluster", "lock").order_by("cluster__name"))
        context = {
            "environment": version.environment,
            "version": version,
            "version_name": str(version),
            "builds": builds,
            "is_under_way": any(build.state in ON_ITS_WAY for build in builds),
            "broken": {line for build in builds for line in build.lines},
        }
        is_part = request.headers.get("HX-Request") == "true"
        template = "environments/_partials/builds.html" if is_part else "environments/version.html"
        return render(request, template, context)


class BuildView(EnvironmentPage):
    """Have a version built, or built again."""

    policy_action: ClassVar[str] = "view"

    def post(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        try:
            services.request_build(version, by=self.user)
        except Invalid as refusal:  # no cluster takes work
            messages.error(request, "; ".join(text for texts in refusal.errors.values() for text in texts))
        return redirect("environment-version", pk=pk, number=number)
