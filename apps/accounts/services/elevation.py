"""Taking up admin rights for a while: an admin's ordinary work never carries them."""

import copy
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.access import policy
from apps.access.choices import ADMIN_SCOPE
from apps.accounts.choices import PlatformRole
from apps.accounts.models import ApiToken, User, UserSession
from apps.accounts.proof import Proof, elsewhere
from apps.accounts.services.api_tokens import issue_token
from apps.accounts.services.logins import check_person, guessing
from apps.accounts.services.second_factor import check_code, drop_second_factor, has_second_factor
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotAuthenticated

_LONGEST_REASON = 500


def elevated_until() -> datetime:
    """Return when admin rights that are taken up now end."""
    return timezone.now() + timedelta(minutes=settings.ELEVATION_MINUTES)


def begin_elevation(session: UserSession, *, by: User, proof: Proof, reason: str) -> datetime:
    """Let the admin of a session act as one, having proved again who he is; return until when. Audited.

    The caller gives the session a new key. Raises: NotAllowed for who is no admin, Invalid without a reason,
    NotAuthenticated, Throttled.
    """
    _check_asked(by, reason)
    prove(by, proof, needs_code=settings.REQUIRE_ADMIN_TOTP)
    until = elevated_until()
    with transaction.atomic():
        if not UserSession.objects.filter(pk=session.pk, user=by).update(elevated_until=until):
            msg = "The session has ended."
            raise NotAuthenticated(msg)
        session.elevated_until = until
        audit.record("begin_elevation", by, by=by, reason=reason.strip(), until=until.isoformat())
    return until


@transaction.atomic
def end_elevation(session: UserSession, *, by: User) -> None:
    """Lay down the admin rights that a session carries. Idempotent. Audited."""
    policy.require(by, "end", session)
    if UserSession.objects.filter(pk=session.pk, elevated_until__gt=timezone.now()).update(elevated_until=None):
        session.elevated_until = None
        audit.record("end_elevation", by, by=by)


def issue_admin_token(by: User, *, proof: Proof, reason: str, minutes: int | None = None) -> tuple[ApiToken, str]:
    """Exchange a session or token, with a proof of who it is, for a short-lived token that acts as an admin. Audited.

    Raises: InsufficientScope for a token that makes no tokens, NotAllowed for who is no admin, Invalid,
    NotAuthenticated, Throttled.
    """
    policy.require_active(by, "apitoken:create")
    lifetime = timedelta(minutes=minutes or settings.ELEVATION_MINUTES)
    if lifetime > timedelta(hours=settings.ADMIN_TOKEN_HOURS):
        raise Invalid(errors={"minutes": [f"At most {settings.ADMIN_TOKEN_HOURS * 60}."]})
    _check_asked(by, reason)
    prove(by, proof, needs_code=settings.REQUIRE_ADMIN_TOTP)
    with transaction.atomic():
        admin = copy.copy(by)
        admin.token, admin.elevated_until = None, elevated_until()
        token, value = issue_token(
            by,
            by=admin,
            name="admin rights",
            scopes=[ADMIN_SCOPE],
            expires_in=lifetime,
            addresses=by.token.addresses if by.token is not None else (),
        )
        until = token.expires_at.isoformat() if token.expires_at else ""
        audit.record("begin_elevation", by, by=by, reason=reason.strip(), until=until, token=str(token.pk))
    return token, value


def disable_second_factor(user: User, *, by: Any, proof: Proof) -> None:
    """Switch one's own second factor off, with password and code. Audited.

    Raises: NotAllowed, Conflict when there is none, NotAuthenticated, Throttled.
    """
    policy.require(by, "edit", user)
    if not has_second_factor(user):
        msg = "There is no second factor to switch off."
        raise Conflict(msg)
    prove(user, proof)
    with transaction.atomic():
        if drop_second_factor(user):
            audit.record("disable_second_factor", user, by=by)


def prove(user: User, proof: Proof, *, needs_code: bool = False) -> None:
    """Check that it is the person himself: by his password and, where he has a second factor, a code.

    Whose password is asked elsewhere shows a login there of a moment ago, or a code. Raises: NotAllowed when a code is
    needed and there is no second factor, NotAuthenticated, Throttled.
    """
    has_code = has_second_factor(user)
    if needs_code and not has_code:
        msg = "This platform asks admins for a second factor. Set one up on your account page."
        raise NotAllowed(msg)
    with guessing(user.username):
        if has_code:
            if elsewhere(user) is None:
                check_person(user, proof)
            check_code(user, proof.code)
        else:
            check_person(user, proof)


def _check_asked(by: User, reason: str) -> None:
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    if len(reason) > _LONGEST_REASON:
        raise Invalid(errors={"reason": [f"At most {_LONGEST_REASON} characters."]})
    if by.platform_role != PlatformRole.ADMIN or by.seen_by is not None:
        msg = "Only an admin can take up admin rights."
        raise NotAllowed(msg)
