"""Who acts in a browser: the session's user, as what the session says."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from apps.accounts.acting import acting


class ActingUserMiddleware:
    """Comes after Django's `AuthenticationMiddleware` and takes its place; as lazy: most static answers ask nobody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        lazy: Any = SimpleLazyObject(lambda: acting(get_user(request), request.session))
        request.user = lazy
        return self.get_response(request)
