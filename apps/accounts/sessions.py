"""Sessions on the server: Django's session interface over `UserSession`. It is the setting SESSION_ENGINE.

SECURITY: the key in the cookie opens a row whose column holds only its SHA-256. What is ended is deleted, and a request
that was under way cannot bring it back: saving updates a row that must still be there.
"""

import hashlib
from datetime import timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from typing_extensions import override

from apps.accounts.models import UserSession
from apps.core.middleware import current_request

_SEEN_STEP = timedelta(minutes=1)
_LONGEST_KEY = 64


def digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


class SessionStore(SessionBase):
    """One browser's session. `row` is what is stored of it, None before it is saved."""

    _row: UserSession | None = None

    @property
    def row(self) -> UserSession | None:
        """Return what is stored, having looked for it."""
        self._get_session()  # type: ignore[attr-defined]  # of SessionBase, unknown to its stubs
        return self._row

    @override
    def load(self) -> dict[str, Any]:
        key = self.session_key
        found = (
            UserSession.objects.live().filter(digest=digest(key)).first() if key and len(key) <= _LONGEST_KEY else None
        )
        if found is None:
            self._session_key = None
            return {}
        self._row = found
        _note_use(found)
        return dict(self.decode(found.session_data))

    @override
    def exists(self, session_key: str) -> bool:
        return UserSession.objects.filter(digest=digest(session_key)).exists()

    @override
    def create(self) -> None:
        self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]  # as above
        self.save(must_create=True)
        self.modified = True

    @override
    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]  # as above
        facts = self._facts(data)
        if must_create:
            context = current_request.get()
            self._row = UserSession.objects.create(
                digest=digest(self.session_key),
                expires_at=timezone.now() + timedelta(seconds=self.get_session_cookie_age()),
                ip=context.ip,
                user_agent=context.user_agent,
                **facts,
            )
        elif not UserSession.objects.filter(digest=digest(self.session_key)).update(**facts):
            raise UpdateError  # it was ended meanwhile

    @override
    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            UserSession.objects.filter(digest=digest(key)).delete()
        if session_key is None:
            self._row = None

    @override
    def cycle_key(self) -> None:
        """Give the session another key, and keep its row: its id, its age and what is bound to it."""
        row = self.row
        if row is None:
            data = self._session  # type: ignore[attr-defined]  # as above
            self.create()
            self._session_cache = data
            return
        self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]  # as above
        facts = {"digest": digest(self._session_key), **self._facts(self._session)}  # type: ignore[attr-defined]
        if not UserSession.objects.filter(pk=row.pk).update(**facts):
            raise UpdateError
        self.modified = True

    @classmethod
    @override
    def clear_expired(cls) -> None:
        """Delete what has run out: `manage.py clearsessions`."""
        UserSession.objects.run_out().delete()

    def _facts(self, data: dict[str, Any]) -> dict[str, Any]:
        user = data.get(SESSION_KEY)
        return {"session_data": self.encode(data), "user_id": None if user is None else int(user)}


def decoded(row: UserSession) -> dict[str, Any]:
    """Return what the session carries; empty when it was not written by us."""
    return dict(SessionStore().decode(row.session_data))


def _note_use(row: UserSession) -> None:
    """Remember the last use, at most once a minute: reads must not become writes."""
    if row.last_seen_at < timezone.now() - _SEEN_STEP:
        stale = Q(last_seen_at__lt=Now() - _SEEN_STEP)
        UserSession.objects.filter(stale, pk=row.pk).update(last_seen_at=Now(), ip=current_request.get().ip)
