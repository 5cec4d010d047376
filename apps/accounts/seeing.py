"""Looking at the platform as somebody else does: what an admin's session says about it.

The session stays the admin's own, and is kept on the server; it only names the person whose eyes are borrowed, and
until when. Whatever is over, or no longer permitted, gives the admin back his own.
"""

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services.seeing import why_not_seen

_KEY = "seeing"


def begin(session: MutableMapping[str, Any], person: User, until: datetime) -> None:
    """Remember in the session whom its admin looks at the platform as, and until when."""
    session[_KEY] = {"person": person.pk, "until": until.timestamp()}


def end(session: MutableMapping[str, Any]) -> int | None:
    """Forget it. Returns the number of the person, None when nobody's eyes were borrowed."""
    said = session.pop(_KEY, None)
    return None if said is None else int(said["person"])


def is_on(session: MutableMapping[str, Any]) -> bool:
    """Whether the session borrows somebody's eyes, or did until the time was up and nobody said so yet."""
    return session.get(_KEY) is not None


def eyes_of(admin: User, session: MutableMapping[str, Any]) -> User:
    """Return as whom the session's user reads: himself, or the person he looks at the platform as.

    SECURITY: judged anew with every request; a person who may not be seen any more is not.
    """
    said = session.get(_KEY)
    if said is None or not admin.is_superuser:
        return admin
    until = datetime.fromtimestamp(said["until"], UTC)
    person = User.objects.filter(pk=said["person"]).first() if until > timezone.now() else None
    if person is None or why_not_seen(person, by=admin):
        return admin
    person.seen_by, person.seen_until, person.session = admin, until, admin.session
    return person  # type: ignore[no-any-return]  # the manager is made at run time
