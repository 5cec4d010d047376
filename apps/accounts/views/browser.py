"""What the pages do to the session of the browser before them."""

from django.contrib.auth import login
from django.http import HttpRequest

from apps.accounts.models import User, UserSession
from apps.accounts.sessions import SessionStore
from apps.core.errors import NotAuthenticated

_BACKEND = "django.contrib.auth.backends.ModelBackend"


def open_session(request: HttpRequest, user: User) -> UserSession:
    """Log in: whatever session the browser had ends, a new one with a new key begins."""
    request.session.flush()
    login(request, user, backend=_BACKEND)
    request.session.save()
    return session_of(request)


def session_of(request: HttpRequest) -> UserSession:
    """Return the stored session. Raises: NotAuthenticated when it has just ended."""
    store = request.session
    if not isinstance(store, SessionStore) or store.row is None:
        msg = "The session has ended. Log in again."
        raise NotAuthenticated(msg)
    return store.row
