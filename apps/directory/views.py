"""Through another site and back: one address, from which the browser leaves and to which it returns."""

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.access.views import error_page, page_after_login
from apps.accounts.proof import LOGGED_IN_AT
from apps.core.errors import DomainError, NotFound
from apps.directory import services
from apps.directory.config import OidcConfig, oidc_config

_BACKEND = "django.contrib.auth.backends.ModelBackend"
_NEXT = "oidc_next"


@method_decorator(never_cache, name="dispatch")
class OidcLoginView(View):
    """Public: whoever comes back is judged by what the provider signed."""

    def get(self, request: HttpRequest) -> HttpResponse:
        config = oidc_config()
        if config is None:
            return error_page(request, NotFound("There is no such way to log in here."))
        if request.user.is_authenticated and not self._is_anew(request):
            return redirect("home")
        try:
            return self._finish(request, config) if "state" in request.GET else self._begin(request, config)
        except DomainError as error:
            return error_page(request, error)

    def _is_anew(self, request: HttpRequest) -> bool:
        """Whether somebody who is logged in proves again who he is, or comes back from that."""
        return "anew" in request.GET or "state" in request.GET

    def _begin(self, request: HttpRequest, config: OidcConfig) -> HttpResponse:
        from apps.directory import oidc  # noqa: PLC0415 -- Authlib takes 19 MB and half a second, mostly for nothing

        here = f"{settings.FATHOM_URL}{reverse('login-oidc')}"
        target = oidc.begin(config, request.session, redirect_uri=here, anew="anew" in request.GET)
        request.session[_NEXT] = request.GET.get("next", "")
        return redirect(target)

    def _finish(self, request: HttpRequest, config: OidcConfig) -> HttpResponse:
        from apps.directory import oidc  # noqa: PLC0415 -- as above

        person = oidc.finish(config, request)
        user = services.enter_by_redirect(person)
        wanted = request.session.pop(_NEXT, "")
        login(request, user, backend=_BACKEND)  # gives the session a new key
        request.session[LOGGED_IN_AT] = person.logged_in_at
        return redirect(page_after_login(request, wanted))
