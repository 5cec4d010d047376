"""Signed links to user content: `/artifacts/<run>/<path>?ticket=<expiry>.<user>.<through>.<signature>`.

Other apps have their own word in place of "artifacts", and the id of what a file belongs to in place of the run's.

A ticket says who asked, through what (the id of a token, or "s" and the id of a session), for what and until when. It
gives no right of its own: who serves it judges again, with what the token or the session gives then.
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
PART_SECONDS = 3600  # who sends many parts asks for all their links at once
_PARTS = 4
_LONGEST = 200
_NOTHING = "-"  # the platform's own work: judged as the person without admin rights


@dataclass(frozen=True, slots=True)
class Ticket:
    """`token` or `session` is what the user asked through."""

    run: UUID
    path: str
    user: int
    token: UUID | None
    expires_at: int
    session: UUID | None = None
    kind: str = "artifacts"


def link(run: UUID, path: str, *, by: Any, now: float | None = None, kind: str = "artifacts") -> str:
    """Return a link to one file on the content origin, for `by`, good for five minutes."""
    ticket = _ticket(run, path, by, LIFETIME_SECONDS, now, kind)
    claims = _claims(ticket)
    return f"{settings.FATHOM_CONTENT_URL}/{kind}/{run}/{quote(path, safe='/')}?ticket={claims}.{_signature(ticket)}"


def part_link(upload: UUID, number: int, *, by: Any, now: float | None = None) -> str:
    """Return a link to which `by` may put one part of his upload, good for an hour."""
    ticket = _ticket(upload, _part(number), by, PART_SECONDS, now)
    place = f"{settings.FATHOM_CONTENT_URL}/uploads/{upload}/parts/{number}"
    return f"{place}?ticket={_claims(ticket)}.{_signature(ticket)}"


def read_part(text: str, *, upload: UUID, number: int, now: float | None = None) -> Ticket:
    """Check a ticket for this part. Raises: NotAuthenticated."""
    return read(text, run=upload, path=_part(number), now=now)


def _part(number: int) -> str:
    """Return what stands for a part where a path would: nothing that a file can be called."""
    return f"//part/{number}"


def _ticket(what: UUID, path: str, by: Any, seconds: int, now: float | None, kind: str = "artifacts") -> Ticket:
    token, session = getattr(by, "token", None), getattr(by, "session", None)
    expires_at = int(time.time() if now is None else now) + seconds
    through = session.pk if session and not token else None
    return Ticket(what, path, by.pk, token and token.pk, expires_at, through, kind)


def read(text: str, *, run: UUID, path: str, now: float | None = None, kind: str = "artifacts") -> Ticket:
    """Check a ticket for this file. Raises: NotAuthenticated, never saying what was wrong with it."""
    refusal = NotAuthenticated("The link is not valid, or no longer. Open the file from its run again.")
    parts = text.split(".")
    if len(parts) != _PARTS or len(text) > _LONGEST or not text.isascii():
        raise refusal
    expiry, user, through, signature = parts
    try:
        session = UUID(through[1:]) if through.startswith("s") else None
        token = None if session or through == _NOTHING else UUID(through)
        ticket = Ticket(run, path, int(user), token, int(expiry), session, kind)
    except ValueError:
        raise refusal from None
    # The claims are compared in their one spelling: int() and UUID() read several.
    is_genuine = hmac.compare_digest(_signature(ticket), signature) and text.startswith(f"{_claims(ticket)}.")
    if not is_genuine or ticket.expires_at < (time.time() if now is None else now):
        raise refusal
    return ticket


def _claims(ticket: Ticket) -> str:
    through = f"s{ticket.session}" if ticket.session else ticket.token or _NOTHING
    return f"{ticket.expires_at}.{ticket.user}.{through}"


def _signature(ticket: Ticket) -> str:
    key = hmac.digest(bytes.fromhex(settings.FATHOM_DATA_KEY), b"content-ticket", hashlib.sha256)
    whose = ticket.run if ticket.kind == "artifacts" else f"{ticket.kind}:{ticket.run}"
    message = f"{_claims(ticket)}|{whose}|{ticket.path}".encode()
    return urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).decode().rstrip("=")
