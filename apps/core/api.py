"""What every API view shares: strict JSON in, problem+json (RFC 9457) for errors, cursor pages."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.core import errors
from apps.core.middleware import current_request

logger = structlog.get_logger(__name__)


class ProblemRenderer(JSONRenderer):
    media_type = "application/problem+json"


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # an escaped backslash before "u0000" is text
_DEEPEST = 64


class StrictJSONParser(BaseParser):
    """JSON by RFC 8259: no NaN, no NUL (PostgreSQL cannot store it), bounded in size and nesting."""

    media_type = "application/json"

    @override
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read(limit + 1)
        except OSError as error:
            msg = "The body ended early."
            raise exceptions.ParseError(msg) from error
        if len(body) > limit:
            msg = f"A JSON body may have at most {limit} bytes."
            raise errors.TooLarge(msg)
        if b"\\u0000" in body and _NUL.search(body):
            msg = "NUL characters are not accepted."
            raise exceptions.ParseError(msg)
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            msg = f"Not valid JSON: {error}"
            raise exceptions.ParseError(msg) from error
        if _is_too_deep(found):
            msg = f"Not more than {_DEEPEST} levels of nesting are accepted."
            raise exceptions.ParseError(msg)
        return found


def _is_too_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        inside = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level = [value for values in inside for value in values if isinstance(value, (dict, list))]
        if not level:
            return False
    return True


class CursorPage(CursorPagination):
    """Newest first, by the time-ordered primary key; `limit` up to 200; no total, which would cost more than the page."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    ordering = "-pk"

    @override
    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DataError) as error:  # a position that is no key of these rows
            raise errors.Invalid(errors={"cursor": ["Not a cursor of this list."]}) from error


def problem(error: errors.DomainError) -> dict[str, Any]:
    """Build the body of an error answer (RFC 9457, with our stable `code`)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "request_id": current_request.get().request_id,
    }
    if isinstance(error, errors.Invalid):
        body["errors"] = error.errors
    return {**error.extra, **body}


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Translate what a view raised. Only a bug is left for Django to turn into a 500."""
    error = translate(exc)
    if error is None:
        return None
    headers: dict[str, str] = {}
    if isinstance(exc, exceptions.APIException):
        wait = getattr(exc, "wait", None)
        headers |= {"Retry-After": str(int(wait) + 1)} if wait else {}
    if error.status == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="fathom"'
    if isinstance(error, errors.Throttled):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == status.HTTP_503_SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "2"
    request: Request = context["request"]
    request.accepted_renderer = ProblemRenderer()
    request.accepted_media_type = ProblemRenderer.media_type
    return Response(problem(error), status=error.status, headers=headers, content_type=ProblemRenderer.media_type)


def translate(exc: Exception) -> errors.DomainError | None:
    """Map an exception of Django, DRF or ours to ours; None for a bug."""
    match exc:
        case errors.DomainError():
            return exc
        case exceptions.ValidationError():
            return errors.Invalid(errors=_field_errors(exc.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return errors.NotAuthenticated(str(exc.detail))
        case Http404() | exceptions.NotFound():
            return errors.NotFound()
        case PermissionDenied() | exceptions.PermissionDenied():
            return errors.NotAllowed(str(exc) or "You may not do this.")
        case exceptions.APIException():
            return _from_drf(exc)
        case ValidationError():
            return errors.Invalid("; ".join(exc.messages))
        case DataError():
            return errors.Invalid("A value is out of range.")
        case OperationalError() | InterfaceError():
            logger.warning("database_unavailable", error=str(exc))
            return errors.Unready("The database cannot be reached; nothing was written. Try again.")
    return None


def _from_drf(exc: exceptions.APIException) -> errors.DomainError:
    if exc.status_code == status.HTTP_400_BAD_REQUEST:
        return errors.Invalid(str(exc.detail))
    if exc.status_code == status.HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        return errors.TooLarge(str(exc.detail))
    named = {405: "method_not_allowed", 406: "not_acceptable", 415: "unsupported_media_type", 429: "throttled"}
    facts = {"status": exc.status_code, "code": named.get(exc.status_code, "error"), "title": str(exc.default_detail)}
    kind = type("ProtocolError", (errors.DomainError,), facts)
    refused: errors.DomainError = kind(str(exc.detail))
    return refused


def _field_errors(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for name, value in detail.items():
            found |= _field_errors(value, f"{prefix}.{name}" if prefix else str(name))
        return found
    if isinstance(detail, list) and any(isinstance(item, Mapping) for item in detail):
        found = {}
        for index, item in enumerate(detail):
            found |= _field_errors(item, f"{prefix}[{index}]")
        return found
    sentences = detail if isinstance(detail, list) else [detail]
    return {prefix or "non_field_errors": [str(sentence) for sentence in sentences]} if sentences else {}


def asked_for(serializer: Any, request: Request) -> dict[str, Any]:
    """Read a body. Raises: ValidationError."""
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)
