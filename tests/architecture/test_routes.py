"""Every route is guarded by the one policy, or public with a reason."""

from django.contrib.admin import AdminSite, site
from django.http import HttpRequest, HttpResponse
from django.views import View

from apps.access.admin import GuardedAdmin
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.consumers import GuardedConsumer
from apps.access.views import GuardedView
from tests.architecture.public_routes import PUBLIC_ROUTES
from tests.architecture.routes import Route, routes, sockets

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
    assert len(PUBLIC_ROUTES) <= 10
    assert all(PUBLIC_ROUTES.values())
    assert set(PUBLIC_ROUTES) <= {route.path for route in routes()} | NATIVE


def test_what_says_that_it_is_public_is_in_the_list() -> None:
    said = {route.path for route in routes() if getattr(route.target, "public_reason", "")}
    assert said <= set(PUBLIC_ROUTES)


def test_the_admin_lets_operators_in_only() -> None:
    assert type(site).__name__ == "OperatorAdminSite" or type(getattr(site, "_wrapped", site)).__name__ == "OperatorAdminSite"
    assert all(isinstance(page, GuardedAdmin) for page in site._registry.values())


def test_an_unguarded_view_is_seen() -> None:
    def bare(_request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    planted = [Route("page", "GET", "/x/", "", bare), Route("page", "GET", "/y/", "", View)]
    assert unguarded(planted) == ["GET /x/", "GET /y/"]


NATIVE: set[str] = set()
