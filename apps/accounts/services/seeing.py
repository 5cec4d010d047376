"""Seeing the platform as somebody does: reading only, for a while, with a reason, on the record."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.access.policy import require_admin
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed

LONGEST = timedelta(minutes=15)


def why_not_seen(person: User, *, by: User) -> str:
    """Say why `by` may not see the platform as `person` does, or ""."""
    if person.pk == by.pk:
        return "You see the platform as yourself already."
    if not person.is_active:
        return f"{person} is disabled and sees nothing."
    if person.platform_role:
        # Their eyes see more than any ordinary person's; what one does as an admin is done under one's own name.
        return "Admins and auditors are not looked through."
    if person.service_of_id is not None:
        return f"{person} is a service account and opens no pages."
    return ""


@transaction.atomic
def begin_seeing(person: User, *, by: Any, reason: str) -> datetime:
    """Return until when `by` sees the platform as `person` does: 15 minutes, or as long as his admin rights last. Audited.

    Raises: NotAllowed unless `by` is an admin in a browser, Invalid without a reason, Conflict for who is not looked
    through: admins, auditors, the disabled, service accounts, oneself.
    """
    require_admin(by)
    if not isinstance(by, User) or by.token is not None:
        msg = "One sees the platform as somebody else in a browser, not through a token."
        raise NotAllowed(msg)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    if sentence := why_not_seen(person, by=by):
        raise Conflict(sentence)
    until = timezone.now() + LONGEST
    if by.elevated_until is not None:
        until = min(until, by.elevated_until)
    audit.record("see_as", person, by=by, reason=reason.strip(), until=until.isoformat())
    return until


@transaction.atomic
def end_seeing(person: User, *, by: Any, why: str) -> None:
    """Write down that `by` sees the platform with his own eyes again, and `why`. Audited."""
    audit.record("see_as_end", person, by=by, why=why)
