"""The one hierarchy of errors that business code raises on purpose.

Each has a stable `code`, an HTTP status (reliability: status-code policy) and a sentence for people. Doors translate:
the API to problem+json, the portal and the admin to a message, a websocket to a close code, a loop to retry or give up.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class DomainError(Exception):
    """Base: something a caller did, or the world is in, that business code refuses."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "Request refused"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: Mapping[str, Any] = extra
        self.denial: Any = None  # who was refused what, for the audit: set by who knows it, never shown


class Invalid(DomainError):
    """The input is malformed. `errors` maps field names to sentences."""

    code = "invalid"
    title = "Invalid input"

    def __init__(self, detail: str = "", *, errors: Mapping[str, Sequence[str]] | None = None) -> None:
        self.errors = {field: list(sentences) for field, sentences in (errors or {}).items()}
        first = next((f"{field}: {sentences[0]}" for field, sentences in self.errors.items() if sentences), "")
        super().__init__(detail or first or "The input is invalid.")


class Taken(Invalid):
    """The name belongs to something that exists already."""


class NotAuthenticated(DomainError):
    code = "not_authenticated"
    status = 401
    title = "Not authenticated"


class NotAllowed(DomainError):
    """Visible, but the caller's role is too low. The detail says which role is needed."""

    code = "forbidden"
    status = 403
    title = "Not allowed"


class InsufficientScope(NotAllowed):
    code = "insufficient_scope"
    title = "The token lacks a scope"


class NotFound(DomainError):
    """Absent, or not visible to the caller: the two must not be told apart."""

    code = "not_found"
    status = 404
    title = "Not found"

    def __init__(self, detail: str = "There is no such object, or you may not see it.") -> None:
        super().__init__(detail)


class Conflict(DomainError):
    """The object's present state does not permit this."""

    code = "conflict"
    status = 409
    title = "Conflict"


class Stale(Conflict):
    """Somebody else changed the row first; re-read and decide again."""

    code = "stale"


class IdempotencyInFlight(Conflict):
    code = "idempotency_in_flight"
    title = "A request with this Idempotency-Key is still running"


class IdempotencyMismatch(DomainError):
    code = "idempotency_mismatch"
    status = 422
    title = "This Idempotency-Key was used for another request"


class NeverFits(DomainError):
    """The request is larger than a limit and would wait for ever."""

    code = "quota_never_fits"
    status = 422
    title = "This can never fit the quota"


class TooLarge(DomainError):
    code = "too_large"
    status = 413
    title = "Too large"


class Throttled(DomainError):
    code = "throttled"
    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.retry_after = retry_after


class Unready(DomainError):
    """Something we depend on is down; nothing was written."""

    code = "unavailable"
    status = 503
    title = "Temporarily unavailable"


class KeyUnavailable(Unready):
    """The key of a stored secret cannot be had; the secret is not used, and nothing else stands in for it."""

    code = "key_unavailable"
    title = "The key is unavailable"


class SealBroken(Conflict):
    """A stored secret was changed or moved behind our back."""

    code = "seal_broken"
    title = "A stored secret cannot be opened"
