"""One's own account: password, second factor, sessions."""

from typing import Any, ClassVar
from uuid import UUID

import segno
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.access.views import GuardedView, error_page
from apps.accounts import services
from apps.accounts.forms import CodeForm, NewPasswordForm, PasswordForm, take_over
from apps.accounts.models import UserSession
from apps.accounts.proof import Proof, elsewhere, has_password_here, logged_in_at
from apps.core.errors import DomainError, Invalid, NotAuthenticated, NotFound, Throttled

_MOST = 100


class AccountPage(GuardedView):
    """The page, which its forms come back to with what was wrong."""

    policy_action: ClassVar[str] = ""

    def page(self, request: HttpRequest, status: int = 200, **forms: Any) -> HttpResponse:
        mine = UserSession.objects.visible_to(self.user, "view").live().filter(user=self.user)
        context = {
            "sessions": list(mine.order_by("-last_seen_at")[:_MOST]),
            "current": self.user.session and self.user.session.pk,
            "has_password": has_password_here(self.user),
            "asks_password": elsewhere(self.user) is None,
            "has_code": services.has_second_factor(self.user),
            "codes_left": services.recovery_codes_left(self.user),
            "password_form": PasswordForm(),
            "off_form": CodeForm(prefix="off"),
            **forms,
        }
        return render(request, "accounts/account.html", context, status=status)


class AccountView(AccountPage):
    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page(request)


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class PasswordView(AccountPage):
    def post(self, request: HttpRequest) -> HttpResponse:
        form = PasswordForm(request.POST)
        if not form.is_valid():
            return self.page(request, 400, password_form=form)
        given = form.cleaned_data
        try:
            services.change_password(
                self.user,
                by=self.user,
                current=given["current_password"],
                new=given["new_password"],
                end_tokens=given["end_tokens"],
            )
        except DomainError as refusal:
            return self.page(request, _refused(form, refusal), password_form=form)
        update_session_auth_hash(request, self.user)
        messages.success(request, "Your password is changed; every other session of yours has ended.")
        return redirect("account")


@method_decorator(never_cache, name="dispatch")
class SecondFactorView(GuardedView):
    """Shows the code to scan. A second visit shows the same one, until it is confirmed."""

    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, CodeForm())

    def page(self, request: HttpRequest, form: CodeForm, status: int = 200) -> HttpResponse:
        address = services.begin_second_factor(self.user, by=self.user)
        context = {
            "form": form,
            "asks_password": elsewhere(self.user) is None,
            "picture": segno.make(address, error="m").svg_data_uri(scale=5, border=3),
            "seed": address.partition("secret=")[2].partition("&")[0],
        }
        return render(request, "accounts/second_factor.html", context, status=status)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class SecondFactorConfirmView(SecondFactorView):
    def post(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST)
        if not form.is_valid():
            return self.page(request, form, 400)
        try:
            codes = services.confirm_second_factor(self.user, by=self.user, proof=_proof(request, form))
        except (NotAuthenticated, Throttled) as refusal:
            return self.page(request, form, _refused(form, refusal))
        return render(request, "accounts/recovery_codes.html", {"codes": codes})


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SecondFactorOffView(AccountPage):
    def post(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST, prefix="off")
        if not form.is_valid():
            return self.page(request, 400, off_form=form)
        try:
            services.disable_second_factor(self.user, by=self.user, proof=_proof(request, form))
        except DomainError as refusal:
            return self.page(request, _refused(form, refusal), off_form=form)
        messages.success(request, "Your second factor is switched off.")
        return redirect("account")


class SessionEndView(GuardedView):
    policy_action: ClassVar[str] = "end"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        session = self.find(UserSession.objects.all(), pk=pk)
        services.end_session(session, by=self.user)
        if self.user.session is not None and session.pk == self.user.session.pk:
            logout(request)
            return redirect("login")
        messages.success(request, "The session has ended.")
        return redirect("account")


class OtherSessionsEndView(GuardedView):
    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        ended = services.end_other_sessions(self.user, by=self.user)
        messages.success(request, f"{ended} other session{'' if ended == 1 else 's'} ended.")
        return redirect("account")


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class ResetView(View):
    """Public: whoever holds the one-time link sets the password of its account."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        if not services.is_reset_link_live(token):
            return self._gone(request)
        return render(request, "accounts/reset.html", {"form": NewPasswordForm()})

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        if not services.is_reset_link_live(token):
            return self._gone(request)
        form = NewPasswordForm(request.POST)
        if form.is_valid():
            try:
                services.redeem_reset_link(token, password=form.cleaned_data["password"])
            except Invalid as refusal:
                take_over(form, refusal.errors)
            except NotFound:
                return self._gone(request)
            else:
                messages.success(request, "Your password is set. Log in with it.")
                return redirect("login")
        return render(request, "accounts/reset.html", {"form": form}, status=400)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        return error_page(request, NotFound("This link was used, has expired, or never was one. Ask for another."))


def _proof(request: HttpRequest, form: CodeForm) -> Proof:
    return Proof(form.cleaned_data["password"], form.cleaned_data["code"], logged_in_at(request.session))


def _refused(form: Any, refusal: DomainError) -> int:
    """Show a refusal in the form; return its status."""
    if isinstance(refusal, Invalid):
        take_over(form, refusal.errors)
    else:
        form.add_error(None, refusal.detail)
    return refusal.status
