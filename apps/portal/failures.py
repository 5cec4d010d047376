"""What is answered when no view could: problem+json to the API, a page that needs no database to everybody else."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from apps.core import errors
from apps.core.api import problem
from apps.core.middleware import current_request


class Broken(errors.DomainError):
    code = "internal"
    status = 500
    title = "Something broke on our side"


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for an exception nobody caught: 503 when the database is away, else 500."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _answer(request, errors.Unready("The database cannot be reached. Try again in a moment."), "500.html")
    return _answer(request, Broken("This request was not finished."), "500.html")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    del exception  # it may tell what is there
    return _answer(request, errors.NotFound(), "404.html")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    del exception
    return _answer(request, errors.Invalid("The request is malformed."), "404.html")


def _answer(request: HttpRequest, error: errors.DomainError, template: str) -> HttpResponse:
    response: HttpResponse
    if request.path.startswith("/api/"):
        response = JsonResponse(problem(error), status=error.status, content_type="application/problem+json")
    else:
        facts = {"error": error, "request_id": current_request.get().request_id}
        response = HttpResponse(render_to_string(template, facts), status=error.status)
    if error.status == errors.Unready.status:
        response["Retry-After"] = "2"
    return response
