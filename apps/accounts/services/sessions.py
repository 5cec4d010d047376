"""Writes on browser sessions. An ended one is deleted: its next request is refused, its sockets and links follow."""

from typing import Any
from uuid import UUID

from django.db import transaction

from apps.access import policy
from apps.accounts.models import User, UserSession
from apps.audit import services as audit


@transaction.atomic
def end_session(session: UserSession, *, by: Any, reason: str = "") -> None:
    """End a browser's session at once. Idempotent. Audited.

    Raises: NotFound, NotAllowed: it is ended by its owner or by an admin.
    """
    policy.require(by, "end", session)
    ended, _ = UserSession.objects.filter(pk=session.pk).delete()
    if ended:
        audit.record("end", session, by=by, reason=reason, user=str(session.user))


@transaction.atomic
def end_other_sessions(user: User, *, by: Any) -> int:
    """End every session of one's own but the one one acts through; return how many. Audited.

    Raises: NotFound, NotAllowed.
    """
    policy.require(by, "edit", user)
    ended = drop_sessions(user, keep=by.session.pk if by.session is not None else None)
    if ended:
        audit.record("end_sessions", user, by=by, ended=ended)
    return ended


def drop_sessions(user: User, *, keep: UUID | None = None) -> int:
    """Delete a person's sessions, for services that have judged and tell why; return how many there were."""
    mine = UserSession.objects.filter(user=user)
    ended, _ = (mine if keep is None else mine.exclude(pk=keep)).delete()
    return ended
