"""Every route is guarded by the one policy, or public with a reason."""

import re

from django.contrib.admin import AdminSite, site
from django.http import HttpRequest, HttpResponse
from django.views import View

from apps.access.admin import GuardedAdmin
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.consumers import GuardedConsumer
from apps.access.views import GuardedView
from apps.portal.admin_site import OperatorAdminSite
from config.asgi import NATIVE_ROUTES
from tests.architecture.public_routes import PUBLIC_ROUTES
from tests.architecture.routes import Route, routes, sockets
from tests.matrix.test_native import NATIVE

_GUARDS = (GuardedView, GuardedViewSet, GuardedAPI, GuardedConsumer)


def is_guarded(route: Route) -> bool:
    target = route.target
    if isinstance(target, type):
        return issubclass(target, _GUARDS) and not getattr(target, "public_reason", "")
    if route.door == "admin":
        # The site asks has_permission for each of its own pages; a model's pages are guarded by the model's admin.
        return isinstance(target, GuardedAdmin) or isinstance(getattr(target, "admin_site", None), AdminSite)
    return False


def unguarded(found: list[Route]) -> list[str]:
    return sorted({str(route) for route in found if not is_guarded(route) and route.path not in PUBLIC_ROUTES})


def test_every_route_is_guarded_or_public() -> None:
    assert unguarded([*routes(), *sockets()]) == []


def test_public_routes_are_few_and_exist() -> None:
    assert len(PUBLIC_ROUTES) <= 14  # ways in, one-time links, documentation, health, also MLflow's
    assert all(PUBLIC_ROUTES.values())
    assert set(PUBLIC_ROUTES) <= {route.path for route in routes()} | {f"/{name}" for name in ("healthz", "readyz")}


def test_what_says_that_it_is_public_is_in_the_list() -> None:
    said = {route.path for route in routes() if getattr(route.target, "public_reason", "")}
    assert said <= set(PUBLIC_ROUTES)


def test_the_admin_lets_operators_in_only() -> None:
    assert isinstance(site, OperatorAdminSite)  # through Django's lazy default
    assert all(isinstance(page, GuardedAdmin) for page in site._registry.values())


def test_an_unguarded_view_is_seen() -> None:
    def bare(_request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    planted = [Route("page", "GET", "/x/", "", bare), Route("page", "GET", "/y/", "", View)]
    assert unguarded(planted) == ["GET /x/", "GET /y/"]


def test_native_routes_are_public_or_tried_by_everybody() -> None:
    """A native handler asks the policy itself, which no one can see from outside: so the matrix must have it."""
    served = {(route.method, route.path.pattern.strip("^$").replace("\\", "")) for route in NATIVE_ROUTES}
    guarded = {f"{method} {path}" for method, path in served if path not in PUBLIC_ROUTES}
    assert {re.sub(r"\(\?P<.*?>.*?\)", "<id>", key) for key in guarded} <= NATIVE
