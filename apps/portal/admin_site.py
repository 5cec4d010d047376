"""The operators' admin: who may enter, its front page, and the order of what is in it."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from typing_extensions import override

from apps.access.admin.display import EMPTY
from apps.access.admin.guarded import is_operator
from apps.access.views import error_page
from apps.accounts.choices import PlatformRole
from apps.core.errors import NotAllowed
from apps.portal import operations
from apps.storage import health

_ORDER = [
    "compute", "quotas", "budgets", "experiments", "credentials", "tracking", "storage", "accounts", "teams", "directory", "sharing", "audit",
]  # fmt: skip
_UNWANTED = {"password_change", "password_change_done"}  # they write without a service, and so without the audit trail


class OperatorAdminSite(AdminSite):
    """Fathom operations."""

    site_header = "Fathom operations"
    site_title = "Fathom operations"
    index_title = "Operations"
    empty_value_display = EMPTY

    @override
    def has_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    @override
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send on whoever may not enter yet: there is one door to come in by, and one to take up admin rights."""
        user: Any = request.user
        door = "login"
        if user.is_authenticated:
            if not self.has_permission(request) and user.platform_role != PlatformRole.ADMIN:
                return error_page(request, NotAllowed("This account may not operate the platform."))
            door = "elevate"
        wanted = request.GET.get(REDIRECT_FIELD_NAME, "") or reverse(f"{self.name}:index")
        if self.has_permission(request):
            return redirect(wanted if _is_ours(wanted, request) else f"{self.name}:index")
        return redirect_to_login(wanted, reverse(door))

    @override
    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [url for url in super().get_urls() if getattr(url, "name", "") not in _UNWANTED]

    @override
    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        now = operations.overview(request.user)
        return super().index(request, {"now": now, "store_trouble": health.trouble(), **(extra_context or {})})

    @override
    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """List the apps in the order in which operators need them."""
        apps = super().get_app_list(request, app_label)
        return sorted(apps, key=lambda app: _ORDER.index(app["app_label"]) if app["app_label"] in _ORDER else 99)


def _is_ours(url: str, request: HttpRequest) -> bool:
    return url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())
