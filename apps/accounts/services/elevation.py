"""Taking up admin rights for a while: an admin's ordinary work never carries them."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.choices import PlatformRole
from apps.accounts.models import User
from apps.accounts.services.logins import log_in
from apps.audit import services as audit
from apps.core.errors import Invalid, NotAllowed, NotAuthenticated


def elevated_until() -> datetime:
    """Return when admin rights that are taken up now end."""
    return timezone.now() + timedelta(minutes=settings.ELEVATION_MINUTES)


@transaction.atomic
def elevate(user: User, *, password: str, reason: str) -> datetime:
    """Return until when `user` acts as an admin, having proved again who he is. Audited, with the reason.

    Raises: NotAllowed for who is no admin, Invalid without a reason, NotAuthenticated, Throttled.
    """
    if user.platform_role != PlatformRole.ADMIN:
        msg = "Only an admin can take up admin rights."
        raise NotAllowed(msg)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    if log_in(user.username, password).pk != user.pk:
        msg = "The password is wrong."
        raise NotAuthenticated(msg)
    until = elevated_until()
    audit.record("elevate", user, by=user, reason=reason.strip(), until=until.isoformat())
    return until
