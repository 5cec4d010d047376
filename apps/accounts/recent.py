"""Whose a token was a moment ago: spares a busy client a query per request.

SECURITY: removed access must stop within a second, so a yes is believed for at most half of one, counted from before it
was asked (FATHOM_TOKEN_KEPT_MS), and in this process not at all once something was ended here. A no is never kept.
"""

import copy
import time

from django.conf import settings
from django.db import transaction

from apps.access import remembered
from apps.accounts.models import User

_MOST = 10_000
_known: dict[str, tuple[float, User]] = {}  # digest of a token -> good until (monotonic), its user
_endings = 0  # how often something was ended here: an answer that was asked for before the last of them is not kept


class Question:
    """A look at a token that begins now."""

    def __init__(self) -> None:
        self._good_until = time.monotonic() + settings.TOKEN_KEPT_SECONDS
        self._endings = _endings

    def keep(self, digest: str, user: User) -> None:
        """Remember that the token is live and whose it is, unless something was ended meanwhile."""
        if self._endings != _endings:
            return
        if len(_known) >= _MOST:
            _known.clear()
        remembered.give(user, self._good_until)
        _known[digest] = (self._good_until, _copy(user))


def find(digest: str) -> User | None:
    """Return the user, with `user.token` set, of a token that was judged live a moment ago."""
    known = _known.get(digest)
    if known is None or known[0] < time.monotonic():
        return None
    token = known[1].token
    if token is None or not token.is_live:
        return None
    return _copy(known[1])


def forget() -> None:
    """Believe nothing any more: now, and once more when what ends somebody's access is committed."""
    _forget()
    transaction.on_commit(_forget)


def _forget() -> None:
    global _endings  # noqa: PLW0603 -- one memory per process
    _endings += 1
    _known.clear()


def _copy(user: User) -> User:
    """Copy without what a request reads once and keeps on its user; all copies share one memory of him."""
    fresh = copy.copy(user)
    fresh.__dict__.pop("_memberships", None)
    fresh.token = copy.copy(user.token)
    return fresh
