"""Signed links to user content: `/artifacts/<run>/<path>?ticket=<expiry>.<user>.<token>.<signature>`.

The user's number is followed by "a" when he asked as an admin who acts as one.

A ticket says who asked, for what and until when. It gives no right of its own: who serves it judges again.
"""

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings

from apps.core.errors import NotAuthenticated

LIFETIME_SECONDS = 300
_PARTS = 4
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Ticket:
    """`token` is the API token through which the user asked, None for a session."""

    run: UUID
    path: str
    user: int
    token: UUID | None
    expires_at: int
    as_admin: bool = False


def link(run: UUID, path: str, *, by: Any, now: float | None = None) -> str:
    """Return a link to one file on the content origin, for `by`, good for five minutes."""
    token = getattr(by, "token", None)
    expires_at = int(time.time() if now is None else now) + LIFETIME_SECONDS
    as_admin = token is None and bool(by.is_superuser)
    ticket = Ticket(run, path, by.pk, None if token is None else token.pk, expires_at, as_admin)
    claims = _claims(ticket)
    return f"{settings.FATHOM_CONTENT_URL}/artifacts/{run}/{quote(path, safe='/')}?ticket={claims}.{_signature(ticket)}"


def read(text: str, *, run: UUID, path: str, now: float | None = None) -> Ticket:
    """Check a ticket for this file. Raises: NotAuthenticated, never saying what was wrong with it."""
    refusal = NotAuthenticated("The link is not valid, or no longer. Open the file from its run again.")
    parts = text.split(".")
    if len(parts) != _PARTS or len(text) > _LONGEST or not text.isascii():
        raise refusal
    expiry, user, token, signature = parts
    try:
        number, as_admin = user.removesuffix("a"), user.endswith("a")
        ticket = Ticket(run, path, int(number), UUID(token) if token != "-" else None, int(expiry), as_admin)  # noqa: S105 -- not a password
    except ValueError:
        raise refusal from None
    # The claims are compared in their one spelling: int() and UUID() read several.
    is_genuine = hmac.compare_digest(_signature(ticket), signature) and text.startswith(f"{_claims(ticket)}.")
    if not is_genuine or ticket.expires_at < (time.time() if now is None else now):
        raise refusal
    return ticket


def _claims(ticket: Ticket) -> str:
    return f"{ticket.expires_at}.{ticket.user}{'a' if ticket.as_admin else ''}.{ticket.token or '-'}"


def _signature(ticket: Ticket) -> str:
    key = hmac.digest(bytes.fromhex(settings.FATHOM_DATA_KEY), b"content-ticket", hashlib.sha256)
    message = f"{_claims(ticket)}|{ticket.run}|{ticket.path}".encode()
    return urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).decode().rstrip("=")
