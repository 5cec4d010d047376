"""Taking up admin rights for a while, and laying them down."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.access.views import GuardedView
from apps.accounts import services
from apps.accounts.choices import PlatformRole
from apps.accounts.forms import ElevationForm, take_over
from apps.accounts.proof import Proof, elsewhere, logged_in_at
from apps.accounts.views.browser import session_of
from apps.accounts.views.entering import next_of
from apps.core.errors import Invalid, NotAllowed, NotAuthenticated, Throttled


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class ElevateView(GuardedView):
    """Asks an admin again who he is, and why he needs the rights."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        self._only_admins()
        return self._page(request, ElevationForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        self._only_admins()
        form = ElevationForm(request.POST)
        if not form.is_valid():
            return self._page(request, form, status=400)
        given = form.cleaned_data
        proof = Proof(given["password"], given["code"], logged_in_at(request.session))
        try:
            services.begin_elevation(session_of(request), by=self.user, proof=proof, reason=given["reason"])
        except Invalid as refusal:
            take_over(form, refusal.errors)
            return self._page(request, form, status=400)
        except (NotAuthenticated, NotAllowed, Throttled) as refusal:
            form.add_error(None, refusal.detail)
            return self._page(request, form, status=refusal.status)
        request.session.cycle_key()
        return redirect(next_of(request))

    def _only_admins(self) -> None:
        if self.user.platform_role != PlatformRole.ADMIN:
            msg = "Only an admin can take up admin rights."
            raise NotAllowed(msg)

    def _page(self, request: HttpRequest, form: ElevationForm, status: int = 200) -> HttpResponse:
        away, wanted = elsewhere(self.user), next_of(request)
        has_code = services.has_second_factor(self.user)
        context: dict[str, Any] = {
            "form": form,
            "next": wanted,
            "minutes": settings.ELEVATION_MINUTES,
            "asks_password": away is None,
            "login_url": "" if away is None else away(request.get_full_path()),
            "asks_code": has_code,
            "lacks_code": settings.REQUIRE_ADMIN_TOTP and not has_code,
        }
        return render(request, "accounts/elevate.html", context, status=status)


class ElevationEndView(GuardedView):
    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        services.end_elevation(session_of(request), by=self.user)
        request.session.cycle_key()
        messages.success(request, "You no longer act as an admin.")
        return redirect("home")
