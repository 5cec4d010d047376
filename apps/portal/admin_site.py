"""The operators' admin: who may enter, its front page, and the order of what is in it."""

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver
from typing_extensions import override

from apps.access.admin.display import EMPTY
from apps.access.admin.guarded import is_operator
from apps.accounts import services as accounts
from apps.accounts.acting import keep_elevation
from apps.audit import services as audit
from apps.core.errors import DomainError, NotAllowed
from apps.portal import operations

_ORDER = [
    "compute", "quotas", "experiments", "credentials", "tracking", "accounts", "teams", "directory", "sharing", "audit",
]  # fmt: skip
_UNWANTED = {"password_change", "password_change_done"}  # they write without a service, and so without the audit trail


class OperatorLoginForm(AdminAuthenticationForm):
    """Checks the password by the one service that slows guessing down, and lets only operators in."""

    @override
    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        username, password = data.get("username"), data.get("password")
        if username and password:
            try:
                user = accounts.log_in(username, password)
            except DomainError as error:
                raise forms.ValidationError(error.detail, code=error.code) from error
            if not user.platform_role:
                msg = "This account may not operate the platform."
                audit.refused(user, "enter_admin", user, NotAllowed(msg))
                raise forms.ValidationError(msg, code="not_operator")
            self.user_cache = user
        return data


class OperatorAdminSite(AdminSite):
    """Fathom operations."""

    site_header = "Fathom operations"
    site_title = "Fathom operations"
    index_title = "Operations"
    empty_value_display = EMPTY
    login_form = OperatorLoginForm

    @override
    def has_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    @override
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Let in, and let an admin act as one: the password was given just now."""
        response = super().login(request, extra_context)
        if request.method == "POST" and request.user.is_authenticated:
            keep_elevation(request.session, accounts.elevated_until())
        return response

    @override
    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [url for url in super().get_urls() if getattr(url, "name", "") not in _UNWANTED]

    @override
    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        now = operations.overview(request.user)
        return super().index(request, {"now": now, **(extra_context or {})})

    @override
    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """List the apps in the order in which operators need them."""
        apps = super().get_app_list(request, app_label)
        return sorted(apps, key=lambda app: _ORDER.index(app["app_label"]) if app["app_label"] in _ORDER else 99)
