"""What is answered when no view could: problem+json to the API, to everybody else a page with a request id."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from apps.core import errors
from apps.core.api import problem
from apps.core.middleware import current_request


class Broken(errors.DomainError):
    code = "internal"
    status = 500
    title = "Something broke on our side"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    del exception  # it may quote what was sent
    return _answer(request, errors.Invalid("The browser sent something that cannot be read."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    del exception
    return _answer(request, errors.NotAllowed("You may not do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    del exception  # it may tell what is there
    return _answer(request, errors.NotFound("There is no such page, or you may not see it."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    del reason
    detail = "The form was too old, or came from another site. Go back, reload the page and send it again."
    return _answer(request, errors.NotAllowed(detail))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for an exception nobody caught: 503 when the database is away, else 500.

    Touches neither database nor session nor person: any of them may be what broke.
    """
    unready = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    error: errors.DomainError = Broken("This request was not finished.")
    if unready:
        error = errors.Unready("The database cannot be reached. Try again in a moment.")
    if _is_api(request):
        response = _problem(error)
    else:
        text = render_to_string("500.html", {"request_id": current_request.get().request_id})
        response = HttpResponse(text, status=error.status)
    if unready:
        response["Retry-After"] = "2"
    return response


def _answer(request: HttpRequest, error: errors.DomainError) -> HttpResponse:
    if _is_api(request):
        return _problem(error)
    return render(request, "error.html", {"error": error}, status=error.status)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _problem(error: errors.DomainError) -> HttpResponse:
    return JsonResponse(problem(error), status=error.status, content_type="application/problem+json")
