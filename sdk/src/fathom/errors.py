"""What this package raises on purpose.

`ApiError` and its children mirror the platform's problem+json answers: `code` is the stable machine word, `detail` the
sentence for people, `errors` the sentences per field, `request_id` what an operator wants to know.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class FathomError(Exception):
    """The base of all."""


class NotConfigured(FathomError):
    """No platform is known: neither an argument, nor the environment, nor `fathom login` named one."""


class ApiError(FathomError):
    """The platform refused a request, or could not be reached (`status` 0)."""

    def __init__(
        self,
        detail: str,
        *,
        code: str = "error",
        status: int = 0,
        errors: Mapping[str, Sequence[str]] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.errors = {field: list(sentences) for field, sentences in (errors or {}).items()}
        self.request_id = request_id
        self.retry_after = retry_after


class Invalid(ApiError):
    """400, 413, 415, 422: the request can never succeed as it is."""


class Unauthorized(ApiError):
    """401: no token, or one that is unknown, expired or revoked."""


class Forbidden(ApiError):
    """403: visible, but the caller's role or the token's scopes do not suffice."""


class NotFound(ApiError):
    """404: absent, or not visible to the caller; the platform does not tell which."""


class Conflict(ApiError):
    """409, 412, 428: the object's present state does not permit this."""


class Unavailable(ApiError):
    """429, 502, 503, 504, or no connection: the same request may succeed later. It was retried already."""


class Corrupted(ApiError):
    """What was downloaded has not the hash that the platform says. Nothing was written."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    428: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_from(
    status: int, problem: Any, *, retry_after: float | None = None, request_id: str | None = None
) -> ApiError:
    """The exception for an HTTP answer. `problem` is its decoded body, or anything else when it was not JSON."""
    body: Mapping[str, Any] = problem if isinstance(problem, Mapping) else {}
    errors = body.get("errors")
    return _BY_STATUS.get(status, ApiError)(
        str(body.get("detail") or body.get("title") or f"The platform answered with HTTP status {status}."),
        code=str(body.get("code") or "error"),
        status=status,
        errors=_sentences(errors) if isinstance(errors, Mapping) else None,
        request_id=str(body["request_id"]) if body.get("request_id") else request_id,
        retry_after=retry_after,
    )


def _sentences(errors: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        str(field): [str(item) for item in value] if isinstance(value, list) else [str(value)]
        for field, value in errors.items()
    }
