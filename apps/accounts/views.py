"""Logging in and out, the one-time set-up page, and access tokens."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.access.views import GuardedView, error_page
from apps.accounts import services
from apps.accounts.acting import keep_elevation
from apps.accounts.choices import TokenKind
from apps.accounts.forms import LoginForm, SetupForm, TokenForm, take_over
from apps.accounts.models import ApiToken
from apps.accounts.seeing_middleware import stop
from apps.core.errors import Invalid, NotAuthenticated, NotFound, Throttled

_BACKEND = "django.contrib.auth.backends.ModelBackend"


def _next(request: HttpRequest) -> str:
    """Return the page that was asked for before the login. SECURITY: never one of another host."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    mine = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if mine else resolve_url("home")


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class LoginView(View):
    """Public: there is nobody to judge yet."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(_next(request))
        return self._page(request, LoginForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = LoginForm(request.POST)
        if not form.is_valid():
            return self._page(request, form, status=400)
        try:
            user = services.log_in(form.cleaned_data["username"], form.cleaned_data["password"])
        except (NotAuthenticated, Throttled) as refusal:
            form.add_error(None, refusal.detail)
            return self._page(request, form, status=refusal.status)
        login(request, user, backend=_BACKEND)
        return redirect(_next(request))

    def _page(self, request: HttpRequest, form: LoginForm, status: int = 200) -> HttpResponse:
        return render(request, "accounts/login.html", {"form": form, "next": _next(request)}, status=status)


class LogoutView(GuardedView):
    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return redirect("login")


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SetupView(View):
    """Public: whoever holds the one-time link becomes the first admin."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        if not services.is_setup_link_live(token):
            return self._gone(request)
        return render(request, "accounts/setup.html", {"form": SetupForm()})

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        form = SetupForm(request.POST)
        if form.is_valid():
            given = {name: form.cleaned_data[name] for name in ("username", "email", "password")}
            try:
                user = services.redeem_setup_link(token, **given)
            except Invalid as refusal:
                take_over(form, refusal.errors)
            except NotFound:
                return self._gone(request)
            else:
                login(request, user, backend=_BACKEND)
                keep_elevation(request.session, services.elevated_until())
                messages.success(request, f"Welcome, {user}. You are the admin of this platform.")
                return redirect("home")
        return render(request, "accounts/setup.html", {"form": form}, status=400)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        return error_page(request, NotFound("This set-up link was used, has expired, or never was one."))


class TokenListView(GuardedView):
    """One's tokens; a new one is shown once, in the answer to the form that made it."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, TokenForm(initial={"expires_in_days": "90", "scope": "all"}))

    @method_decorator(never_cache)
    def post(self, request: HttpRequest) -> HttpResponse:
        form = TokenForm(request.POST)
        if not form.is_valid():
            return self._page(request, form, status=400)
        days = form.days()
        try:
            token, value = services.issue_token(
                self.user,
                by=self.user,
                name=form.cleaned_data["name"],
                scopes=[form.cleaned_data["scope"]],
                expires_in=None if days is None else timedelta(days=days),
            )
        except Invalid as refusal:
            take_over(form, refusal.errors)
            return self._page(request, form, status=400)
        return self._page(request, TokenForm(), created=token, value=value, status=201)

    def _page(self, request: HttpRequest, form: TokenForm, *, status: int = 200, **extra: object) -> HttpResponse:
        rows = ApiToken.objects.visible_to(self.user, "view").filter(user=self.user, kind=TokenKind.PERSONAL)
        tokens = rows.filter(revoked_at=None).order_by("-created_at")[:200]
        return render(request, "accounts/tokens.html", {"form": form, "tokens": tokens, **extra}, status=status)


class TokenRevokeView(GuardedView):
    policy_action: ClassVar[str] = "revoke"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        token = self.find(ApiToken.objects.all(), pk=pk)
        services.revoke_token(token, by=self.user)
        messages.success(request, f"The token {token.name} is revoked; whatever used it is now refused.")
        return redirect(reverse("token-list"))


class SeeingStopView(GuardedView):
    """Ends seeing the platform as somebody else does. The one form that works meanwhile."""

    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        person = stop(request, "stopped")
        if person is None:
            return redirect("home")
        messages.success(request, "You see the platform with your own eyes again.")
        return redirect(reverse("admin:accounts_user_change", args=[person.pk]))
