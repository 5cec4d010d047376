"""As what a person acts in a browser session: an admin's elevation is kept in the session, which is kept on the server."""

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from apps.accounts import seeing
from apps.accounts.models import User

_ELEVATED = "elevated_until"


def acting(user: Any, session: Any) -> Any:
    """Put what the session says onto its user."""
    if isinstance(user, User) and (until := session.get(_ELEVATED)) is not None:
        user.elevated_until = datetime.fromtimestamp(until, UTC)
    return seeing.eyes_of(user, session) if isinstance(user, User) else user


def keep_elevation(session: MutableMapping[str, Any], until: datetime | None) -> None:
    """Remember in the session until when its admin acts as one; None ends it."""
    if until is None:
        session.pop(_ELEVATED, None)
    else:
        session[_ELEVATED] = until.timestamp()
