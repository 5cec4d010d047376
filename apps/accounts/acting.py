"""As what a person acts: through a token, or in a browser session in which an admin may have taken up his rights."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY
from django.db.models import Q
from django.utils.crypto import constant_time_compare

from apps.accounts import seeing
from apps.accounts.choices import TokenKind
from apps.accounts.models import ApiToken, User, UserSession
from apps.accounts.sessions import SessionStore, decoded

JUDGED_AGAIN_SECONDS = 3.0  # promised: what is being downloaded stops within 5 s of losing access


def acting(user: Any, session: Any) -> Any:
    """Put what the session says onto its user."""
    if isinstance(user, User) and isinstance(session, SessionStore) and (row := session.row) is not None:
        user.session = row
        user.elevated_until = row.elevated_until
        return seeing.eyes_of(user, session)
    return user


def keep_elevation(session: SessionStore, until: datetime | None) -> None:
    """Remember in a stored session until when its admin acts as one; None ends it."""
    if (row := session.row) is not None:
        row.elevated_until = until
        UserSession.objects.filter(pk=row.pk).update(elevated_until=until)


def person(pk: int, *, token: UUID | None = None, session: UUID | None = None) -> User | None:
    """Return the person as he is now, acting through a token or a session as it is now; None when either has ended.

    What stays open (websockets, links, downloads) asks this again and again.
    """
    if session is not None:
        return _in_session(pk, session)
    if token is None:
        found: User | None = User.objects.filter(pk=pk, is_active=True).first()
        return found
    # A job that was let finish when its user left goes on with its own token.
    works = Q(user__is_active=True) | Q(outlives_user=True, kind=TokenKind.RUN)
    held = ApiToken.objects.live().select_related("user").filter(works, pk=token, user_id=pk).first()
    if held is None:
        return None
    bearer: User = held.user
    bearer.token = held
    bearer.is_active = True  # SECURITY: as in `authenticate_token`, only in this object and behind this token
    return bearer


def anew(user: Any) -> User | None:
    """Return the same person, acting through the same token or session, as all of them are now; None when ended."""
    token, session = getattr(user, "token", None), getattr(user, "session", None)
    return person(user.pk, token=token and token.pk, session=session and session.pk)


def while_reading(pieces: Iterable[bytes], reader: Any, may: Callable[[User], bool]) -> Iterator[bytes]:
    """Pass on what is being downloaded while its reader `may` have it, as he is now.

    What stops short cuts the connection: the client sees a failure, not an end.
    """
    judged_at = time.monotonic()
    for piece in pieces:
        if time.monotonic() - judged_at > JUDGED_AGAIN_SECONDS:
            fresh, judged_at = anew(reader), time.monotonic()
            if fresh is None or not may(fresh):
                raise ConnectionAbortedError
        yield piece


def _in_session(pk: int, session: UUID) -> User | None:
    rows = UserSession.objects.live().select_related("user")
    row = rows.filter(pk=session, user__is_active=True).first()
    if row is None or row.user is None:
        return None
    user: User = row.user
    said = decoded(row)
    given = said.get(HASH_SESSION_KEY, "")
    if not any(constant_time_compare(given, right) for right in _hashes(user)):
        return None  # SECURITY: a changed password ends every session that was opened with the old one
    user.session = row
    user.elevated_until = row.elevated_until
    found = seeing.eyes_of(user, said)
    return found if found.pk == pk else None


def _hashes(user: User) -> Iterator[str]:
    yield user.get_session_auth_hash()
    yield from user.get_session_auth_fallback_hash()
