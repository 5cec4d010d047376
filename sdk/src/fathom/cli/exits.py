"""The exit codes of the command line, and the sentence for every error."""

from fathom.errors import (
    ApiError,
    Conflict,
    FathomError,
    Forbidden,
    Invalid,
    NotConfigured,
    NotFound,
    Unauthorized,
    Unavailable,
)

OK = 0
FAILED = 1
USAGE = 2
NOT_AUTHENTICATED = 3
FORBIDDEN = 4
NOT_FOUND = 5
CONFLICT = 6
UNAVAILABLE = 7
TIMED_OUT = 124
INTERRUPTED = 130

_CODES: tuple[tuple[type[FathomError], int], ...] = (
    (Unauthorized, NOT_AUTHENTICATED),
    (NotConfigured, NOT_AUTHENTICATED),
    (Forbidden, FORBIDDEN),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (Unavailable, UNAVAILABLE),
    (Invalid, USAGE),
)


def exit_code(error: FathomError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def sentences(error: FathomError) -> str:
    """What to tell people: the detail, a line per field, what to do next, the request id."""
    lines = [str(error)]
    if isinstance(error, ApiError):
        lines += [f"  {field}: {text}" for field, texts in error.errors.items() for text in texts]
    if isinstance(error, Unauthorized):
        lines.append("Log in with: fathom login")
    if isinstance(error, ApiError) and error.request_id:
        lines.append(f"(request {error.request_id})")
    return "\n".join(lines)
