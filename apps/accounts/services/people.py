"""Writes on people."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.access.policy import require_admin
from apps.accounts import recent
from apps.accounts.choices import PlatformRole, TokenKind
from apps.accounts.models import ApiToken, User, UserSession
from apps.accounts.services.sessions import drop_sessions
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row


@transaction.atomic
def create_user(
    username: str, *, by: Any, email: str = "", password: str | None = None, is_admin: bool = False
) -> User:
    """Create a person; without a password he can only use tokens until one is set. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid for a taken name or a weak password.
    """
    require_admin(by)
    role = PlatformRole.ADMIN if is_admin else PlatformRole.NONE
    user = User(username=username, email=email, platform_role=role)
    _set_password(user, password)
    try:
        user.full_clean(exclude=["password"])
        with transaction.atomic():
            user.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Invalid(errors={"username": ["This name is taken."]}) from error
    audit.record("create", user, by=by, platform_role=str(role))
    return user


def _set_password(user: User, password: str | None) -> None:
    if password is None:
        user.set_unusable_password()
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(errors={"password": list(error.messages)}) from error
    user.set_password(password)


@transaction.atomic
def disable_user(user: User, *, by: Any, reason: str) -> None:
    """Shut a person out: no login, no session, no token; personal tokens end for good. What runs goes on. Audited.

    Idempotent. Raises: NotAllowed unless `by` is an admin, Conflict for oneself, so that an admin always remains.
    """
    require_admin(by)
    if by.pk == user.pk:
        msg = "You cannot disable yourself. Ask another admin."
        raise Conflict(msg)
    if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        ended = ApiToken.objects.filter(user=user, kind=TokenKind.PERSONAL, revoked_at=None).update(revoked_at=Now())
        drop_sessions(user)  # or they would live again with the account
        recent.forget()
        audit.record("disable", user, by=by, reason=reason, revoked_tokens=ended)


@transaction.atomic
def enable_user(user: User, *, by: Any, reason: str) -> None:
    """Let a disabled person in again, with the same password and without the tokens. Idempotent. Audited.

    Raises: NotAllowed unless `by` is an admin.
    """
    require_admin(by)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        audit.record("enable", user, by=by, reason=reason)


@transaction.atomic
def set_platform_role(user: User, role: PlatformRole | str, *, by: Any, reason: str = "") -> None:
    """Make a person an admin, an auditor, or neither. Idempotent. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid for an unknown role, Conflict for oneself, so that an admin
    always remains.
    """
    require_admin(by)
    if role not in PlatformRole.values:
        raise Invalid(errors={"platform_role": [f"One of {', '.join(filter(None, PlatformRole.values))}, or empty."]})
    if by.pk == user.pk:
        msg = "You cannot change your own platform role. Ask another admin."
        raise Conflict(msg)
    before = lock_row(User.objects.filter(pk=user.pk)).platform_role
    if before != role:
        User.objects.filter(pk=user.pk).update(platform_role=role)
        UserSession.objects.filter(user=user).update(elevated_until=None)
        user.platform_role = role
        recent.forget()
        audit.record("set_platform_role", user, by=by, reason=reason, before=before, after=str(role))
