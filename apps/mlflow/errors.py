"""What we refuse, in the words of MLflow's wire: `{"error_code": …, "message": …}`, with the status its client expects.

The client makes an exception of the code, and tries again on 429 and 5xx only.
"""

from typing import Any

from apps.core import errors

_CODES: tuple[tuple[type[errors.DomainError], str], ...] = (  # the first that fits counts
    (errors.Taken, "RESOURCE_ALREADY_EXISTS"),
    (errors.Invalid, "INVALID_PARAMETER_VALUE"),
    (errors.TooLarge, "INVALID_PARAMETER_VALUE"),
    (errors.NotAuthenticated, "UNAUTHENTICATED"),
    (errors.NotAllowed, "PERMISSION_DENIED"),
    (errors.NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (errors.Conflict, "RESOURCE_CONFLICT"),
    (errors.Throttled, "REQUEST_LIMIT_EXCEEDED"),
    (errors.Unready, "TEMPORARILY_UNAVAILABLE"),
)
_BY_STATUS = {404: "ENDPOINT_NOT_FOUND", 405: "ENDPOINT_NOT_FOUND"}


class NoEndpoint(errors.NotFound):
    """A call of MLflow's that Fathom does not serve."""

    wire_code = "ENDPOINT_NOT_FOUND"


class BadState(errors.Invalid):
    """The object is deleted, or otherwise not in the state that the call needs; MLflow says so with this status."""

    wire_code = "INVALID_STATE"


def body_of(error: errors.DomainError) -> dict[str, Any]:
    """Build the body of an error answer; `code` and `detail` are ours, for clients that read both wires."""
    return {"error_code": code_of(error), "message": error.detail, "code": error.code, "detail": error.detail}


def code_of(error: errors.DomainError) -> str:
    own: str | None = getattr(error, "wire_code", None)
    known = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    return own or known or _BY_STATUS.get(error.status, "BAD_REQUEST")
