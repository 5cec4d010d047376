"""Whose a token was a moment ago: spares a busy client a query per request.

SECURITY: removed access must stop within a second, so a yes is believed for half of one (FATHOM_TOKEN_KEPT_MS), and in
this process not at all once something was revoked here. A no is never kept.
"""

import copy
import time

from django.conf import settings
from django.db import transaction

from apps.accounts.models import User

_MOST = 10_000
_known: dict[str, tuple[float, User]] = {}  # digest of a token -> good until (monotonic), its user


def find(digest: str) -> User | None:
    """Return the user, with `user.token` set, of a token that was judged live a moment ago."""
    known = _known.get(digest)
    if known is None or known[0] < time.monotonic():
        return None
    return _copy(known[1])


def keep(digest: str, user: User) -> None:
    """Remember that the token is live and whose it is."""
    if len(_known) >= _MOST:
        _known.clear()
    _known[digest] = (time.monotonic() + settings.TOKEN_KEPT_SECONDS, _copy(user))


def forget() -> None:
    """Believe nothing any more: now, and once more when what ends somebody's access is committed."""
    _known.clear()
    transaction.on_commit(_known.clear)


def _copy(user: User) -> User:
    """Copy without what a request reads once and keeps on its user."""
    fresh = copy.copy(user)
    fresh.__dict__.pop("_memberships", None)
    fresh.token = copy.copy(user.token)
    return fresh
