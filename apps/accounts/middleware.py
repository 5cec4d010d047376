"""Who acts in a browser: the session's user, as what the session says."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from typing_extensions import override

from apps.accounts.acting import acting


class SessionMiddleware(DjangoSessionMiddleware):
    """Django's, but for a key that opens nothing: its cookie is left alone.

    A page that refreshes itself may still send the old key while the answer with the new one is on its way; to delete
    the cookie then would log out whoever has just acted.
    """

    @override
    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if request.session.accessed and not request.session.modified and request.session.is_empty():
            patch_vary_headers(response, ("Cookie",))
            return response
        return super().process_response(request, response)


class ActingUserMiddleware:
    """Comes after Django's `AuthenticationMiddleware` and takes its place; as lazy: most static answers ask nobody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        lazy: Any = SimpleLazyObject(lambda: acting(get_user(request), request.session))
        request.user = lazy
        return self.get_response(request)
