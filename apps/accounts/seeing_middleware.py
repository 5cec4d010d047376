"""Nothing is changed and nothing personal is shown while an admin sees the platform as somebody else."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.utils.cache import add_never_cache_headers

from apps.access.views import error_page
from apps.accounts import seeing, services
from apps.accounts.models import User
from apps.core.api import problem
from apps.core.errors import DomainError, NotAllowed

STOP = "seeing-stop"
_SAFE = {"GET", "HEAD", "OPTIONS"}
# SECURITY: what unlocks or is a person's own, in the names of routes: pages that come later are covered as well.
PERSONAL = re.compile(r"token|account|credential|session|password|totp|factor|secret|elevat|invit")
_OVER = "You see the platform with your own eyes again: the time was up."


class SeeingMiddleware:
    """Comes after the person is known and messages can be left.

    SECURITY: refuses every unsafe method whatever the view, the policy refuses every write a second time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not seeing.is_on(request.session):
            return self.get_response(request)
        person: Any = request.user
        if getattr(person, "seen_by", None) is None:
            return _over(request)
        name = _name_of(request)
        if request.method not in _SAFE and name != STOP:
            response = _refuse(request, person.changes_nothing)
        elif PERSONAL.search(name):
            response = _refuse(request, f"This is {person.username}'s own; it is not shown to who looks on.")
        else:
            response = self.get_response(request)
        add_never_cache_headers(response)  # the way back of the browser must not show it after the end
        return response


def stop(request: HttpRequest, why: str) -> User | None:
    """Give the session's admin his own eyes back, under a new session key; returns the person he looked on as."""
    pk = seeing.end(request.session)
    person = User.objects.filter(pk=pk).first() if pk is not None else None
    if person is None:
        return None
    request.session.cycle_key()
    rotate_token(request)
    user: Any = request.user
    services.end_seeing(person, by=user.seen_by or user, why=why)
    return person  # type: ignore[no-any-return]  # the manager is made at run time


def _over(request: HttpRequest) -> HttpResponse:
    """End what ran out. The request is not answered: it was meant as somebody else's."""
    stop(request, "the time was up")
    if request.method in _SAFE and not request.path.startswith("/api/"):
        messages.info(request, _OVER)
        return redirect("home")
    return _refuse(request, _OVER)


def _name_of(request: HttpRequest) -> str:
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return ""
    return match.url_name or ""


def _refuse(request: HttpRequest, sentence: str) -> HttpResponse:
    error: DomainError = NotAllowed(sentence)
    if request.path.startswith("/api/"):
        return JsonResponse(problem(error), status=error.status, content_type="application/problem+json")
    return error_page(request, error)
