"""Home, palette, preferences."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from apps.access.views import GuardedView
from apps.compute.choices import ACTIVE
from apps.experiments import usage
from apps.experiments.models import Experiment
from apps.portal import bars, navigation
from apps.quotas.choices import NodeKind

_A_YEAR = 365 * 24 * 3600
_SHOWN = 8
_CHOICES = {"theme": ("light", "dark", "auto"), "sidebar": ("narrow", "wide")}


class HomeView(GuardedView):
    """One's own work: what runs, what waits and why, what ended last, what is used."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        own = Experiment.objects.visible_to(self.user, "view").live().with_details().filter(run__owner_id=self.user.pk)
        active = own.filter(workload__state__in=ACTIVE).order_by("-pk")[:20]
        recent = own.exclude(workload__state__in=ACTIVE).order_by("-pk")[:_SHOWN]
        context = {"active": list(active), "recent": list(recent), "places": _places(self.user)}
        if request.headers.get("HX-Target") == "active-work":
            return _fragment(request, "portal/_partials/active.html", context)
        nodes = [node for node in bars.nodes_of(self.user) if _is_own(node, self.user) and node.bars]
        context["nodes"] = nodes[:4]
        return _fragment(request, "portal/home.html", context)


def _fragment(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render a page, or the part of it that htmx asked for under the same address."""
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def _is_own(node: bars.Node, user: Any) -> bool:
    return node.kind == NodeKind.TEAM or node.key.endswith(f"user:{user.pk}")


def _places(user: Any) -> dict[str, int]:
    return {waiting.id: waiting.position for waiting in usage.waiting_of(user)}


class SearchView(GuardedView):
    """The palette's answers; a page of their own without JavaScript."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        text = request.GET.get("q", "")
        context = {"groups": navigation.find(text, user=self.user), "text": text}
        partial = bool(request.headers.get("HX-Request"))
        return _fragment(request, "portal/_partials/results.html" if partial else "portal/search.html", context)


class PreferencesView(GuardedView):
    """Theme and sidebar, kept in cookies so that the first paint is already right."""

    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        response = redirect(safe_next(request, "/"))
        for name, allowed in _CHOICES.items():
            if (value := request.POST.get(name, "")) in allowed:
                response.set_cookie(
                    f"fathom_{name}", value, max_age=_A_YEAR, samesite="Lax", secure=request.is_secure()
                )
        return response


def safe_next(request: HttpRequest, default: str) -> str:
    """Return where the form asked to go on, if that is a page of ours."""
    wanted = request.POST.get("next", "")
    mine = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if mine else default
