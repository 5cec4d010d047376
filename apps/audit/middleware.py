"""Writes refusals down when the answer is made and every transaction is over. Costs an answer that is a yes nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse

from apps.audit import denials
from apps.audit.denials import Denial
from apps.audit.services import denial_of
from apps.core import errors

_REFUSALS: dict[int, Callable[[], errors.DomainError]] = {
    401: lambda: errors.NotAuthenticated("The credential was not accepted."),
    403: lambda: errors.NotAllowed("You may not do this."),
    404: errors.NotFound,
    429: lambda: errors.Throttled("Too many attempts.", retry_after=0),
}
# SECURITY: parts of a URL that name an object. Others may be secrets, as the token of a set-up link is.
_NAMING = ("pk", "id", "object_id", "slug", "name", "ref", "run_id")


class DenialMiddleware:
    """What views noted is written; where none did, the status of the answer tells."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with denials.collecting() as noted:
            response = self.get_response(request)
        if not noted and (denial := _by_status(request, response)) is not None:
            noted.append(denial)
        for denial in noted:
            denials.write(denial, route=_route(request))
        return response


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    return f"{request.method} {match.view_name if match else ''}".strip()


def _by_status(request: HttpRequest, response: HttpResponse) -> Denial | None:
    user: Any = getattr(request, "user", None)
    is_somebody = bool(getattr(user, "is_authenticated", False))
    status, action = response.status_code, _route(request)
    # An admin who does not act as one is only asked to.
    if _is_sent_away_from_the_admin(request, response) and is_somebody and not getattr(user, "platform_role", ""):
        status, action = 403, "enter_admin"
    elif _is_told_already(request):
        return None
    # Whoever only was not logged in is no denied attempt; whoever showed a credential that is none is.
    is_attempt = {401: "Authorization" in request.headers, 404: is_somebody and bool(_named(request))}
    if status not in _REFUSALS or not is_attempt.get(status, True):
        return None
    denial = denial_of(
        user if is_somebody else None, action, _kind(request), _REFUSALS[status](), object_id=_named(request)
    )
    said = getattr(response, "data", None)  # the API's answer, which knows more
    if not isinstance(said, dict) or "code" not in said:
        return denial
    return replace(denial, code=str(said["code"]), reason=str(said.get("detail", ""))[:300])


def _is_sent_away_from_the_admin(request: HttpRequest, response: HttpResponse) -> bool:
    to_login = response.status_code == 302 and response.headers.get("Location", "").startswith("/admin/login/")  # noqa: PLR2004 -- a redirect
    return to_login and request.path.startswith("/admin/")


def _is_told_already(request: HttpRequest) -> bool:
    """Whether this is the admin's own login page, reached from a page that sent away: that page was the attempt."""
    match = request.resolver_match
    return bool(match and match.view_name == "admin:login" and request.GET.get(REDIRECT_FIELD_NAME))


def _kind(request: HttpRequest) -> str:
    """Return the kind of object that the view is about, as "app.model", "" when it names none."""
    func: Any = request.resolver_match.func if request.resolver_match else None
    page = getattr(func, "model_admin", None)
    model = getattr(page, "model", None) or getattr(getattr(func, "cls", None), "model", None)
    return "" if model is None else str(model._meta.label_lower)  # noqa: SLF001 -- documented Django API


def _named(request: HttpRequest) -> str:
    given = request.resolver_match.kwargs if request.resolver_match else {}
    return next((str(given[name])[:64] for name in _NAMING if name in given), "")
