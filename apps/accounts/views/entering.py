"""Logging in and out, the one-time set-up page, and access tokens."""

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.access.views import GuardedView, error_page, page_after_login
from apps.accounts import providers, services
from apps.accounts.choices import PlatformRole, TokenKind
from apps.accounts.forms import (
    OVERLAPS,
    AddressesForm,
    LoginForm,
    RegistrationForm,
    RotationForm,
    SetupForm,
    TokenForm,
    take_over,
)
from apps.accounts.models import ApiToken
from apps.accounts.proof import Proof
from apps.accounts.seeing_middleware import stop
from apps.accounts.views.browser import open_session
from apps.core.errors import Invalid, NotAllowed, NotAuthenticated, NotFound, Throttled, Unready


def next_of(request: HttpRequest) -> str:
    """Return the page that was asked for before. SECURITY: never one of another host."""
    return page_after_login(request, request.POST.get("next") or request.GET.get("next") or "")


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class LoginView(View):
    """Public: there is nobody to judge yet."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(next_of(request))
        return self._page(request, LoginForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = LoginForm(request.POST)
        if not form.is_valid():
            return self._page(request, form, status=400)
        try:
            user = services.log_in(form.cleaned_data["username"], form.cleaned_data["password"])
        except (NotAuthenticated, Throttled, Unready) as refusal:
            form.add_error(None, refusal.detail)
            return self._page(request, form, status=refusal.status)
        open_session(request, user)
        return redirect(next_of(request))

    def _page(self, request: HttpRequest, form: LoginForm, status: int = 200) -> HttpResponse:
        context = {
            "form": form,
            "next": next_of(request),
            "buttons": providers.buttons(),
            "may_register": settings.SELF_REGISTRATION,
        }
        return render(request, "accounts/login.html", context, status=status)


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
                session = open_session(request, user)
                proof = Proof(password=given["password"])
                services.begin_elevation(session, by=user, proof=proof, reason="First set-up of the platform")
                messages.success(request, f"Welcome, {user}. You are the admin of this platform.")
                return redirect("home")
        return render(request, "accounts/setup.html", {"form": form}, status=400)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        return error_page(request, NotFound("This set-up link was used, has expired, or never was one."))


class TokenListView(GuardedView):
    """One's tokens; a new one is shown once, in the answer to the form that made it."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, self._form(initial={"expires_in_days": "90", "scope": "all"}))

    @method_decorator(never_cache)
    def post(self, request: HttpRequest) -> HttpResponse:
        form = self._form(request.POST)
        if not form.is_valid():
            return self._page(request, form, status=400)
        try:
            token, value = services.issue_token(self.user, by=self.user, **form.facts())
        except (Invalid, NotAllowed) as refusal:
            take_over(form, getattr(refusal, "errors", None) or {"scope": [refusal.detail]})
            return self._page(request, form, status=400)
        return self._page(request, self._form(), created=token, value=value, status=201)

    def _form(self, data: Any = None, **more: Any) -> TokenForm:
        return TokenForm(data, for_admin=self.user.platform_role == PlatformRole.ADMIN, **more)

    def _page(self, request: HttpRequest, form: TokenForm, *, status: int = 200, **extra: object) -> HttpResponse:
        rows = ApiToken.objects.visible_to(self.user, "view").filter(user=self.user, kind=TokenKind.PERSONAL)
        tokens = rows.filter(revoked_at=None).order_by("-created_at")[:200]
        context = {"form": form, "tokens": tokens, "overlaps": OVERLAPS, **extra}
        return render(request, "accounts/tokens.html", context, status=status)


class TokenRevokeView(GuardedView):
    policy_action: ClassVar[str] = "revoke"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        token = self.find(ApiToken.objects.select_related("user__service_of"), pk=pk)
        services.revoke_token(token, by=self.user)
        messages.success(request, f"The token {token.name} is revoked; whatever used it is now refused.")
        return redirect(_list_of(token))


class TokenRotateView(GuardedView):
    """A new token in place of one; it is shown once, in the answer."""

    policy_action: ClassVar[str] = "rotate"

    @method_decorator(never_cache)
    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        token = self.find(ApiToken.objects.select_related("user__service_of"), pk=pk)
        form = RotationForm(request.POST)
        if not form.is_valid():
            raise Invalid(errors={"overlap": ["One of those offered."]})
        new, value = services.rotate_token(token, by=self.user, overlap=form.span())
        token.refresh_from_db(fields=["expires_at"])
        context = {"created": new, "value": value, "old": token, "back": _list_of(token)}
        return render(request, "accounts/token_shown.html", context, status=201)


class TokenAddressesView(GuardedView):
    """From which networks a token may be used, said anew."""

    policy_action: ClassVar[str] = "edit"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        token = self.find(ApiToken.objects.select_related("user__service_of"), pk=pk)
        form = AddressesForm(request.POST)
        if not form.is_valid():
            raise Invalid(errors={"addresses": ["At most 50 networks."]})
        changed = services.set_token_addresses(token, form.networks(), by=self.user)
        where = ", ".join(changed.addresses) or "everywhere"
        messages.success(request, f"The token {token.name} may be used from {where}.")
        return redirect(_list_of(token))


def _list_of(token: ApiToken) -> str:
    """Return the page on which a token stands: one's own, or its service account's."""
    team = token.user.service_of
    return (
        reverse("token-list")
        if team is None
        else reverse("team-service-account", args=[team.slug, token.user.username])
    )


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class RegisterView(View):
    """Public, where the platform takes registrations: asks for an account, which an admin has to approve."""

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            services.require_open()
        except NotFound as error:
            return error_page(request, error)
        return render(request, "accounts/register.html", {"form": RegistrationForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = RegistrationForm(request.POST)
        status = 400
        try:
            services.require_open()
            if form.is_valid():
                services.register(**form.facts())
                return render(request, "accounts/registered.html", status=201)
        except NotFound as error:
            return error_page(request, error)
        except Invalid as refusal:
            take_over(form, refusal.errors)
        except Throttled as refusal:
            form.add_error(None, refusal.detail)
            status = refusal.status
        return render(request, "accounts/register.html", {"form": form}, status=status)


class SeeingStopView(GuardedView):
    """Ends seeing the platform as somebody else does. The one form that works meanwhile."""

    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        person = stop(request, "stopped")
        if person is None:
            return redirect("home")
        messages.success(request, "You see the platform with your own eyes again.")
        return redirect(reverse("admin:accounts_user_change", args=[person.pk]))
