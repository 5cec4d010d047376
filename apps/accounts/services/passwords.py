"""Changing one's password, and the one-time link by which an admin lets somebody set a new one."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.accounts import recent, tokens
from apps.accounts.choices import TokenKind
from apps.accounts.models import ApiToken, ResetLink, User
from apps.accounts.proof import Proof, has_password_here
from apps.accounts.services.logins import check_person, guessing
from apps.accounts.services.sessions import drop_sessions
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.locks import lock_row


def change_password(user: User, *, by: Any, current: str, new: str, end_tokens: bool = False) -> None:
    """Set another password, having asked for the present one; ends every other session of the person. Audited.

    Personal tokens go on unless `end_tokens`. Raises: NotAllowed, Conflict where the password is kept elsewhere,
    Invalid for a weak password, NotAuthenticated, Throttled.
    """
    policy.require_active(by, "user:edit")
    policy.require(by, "edit", user)
    _require_own_password(user)
    _check_strength(user, new, field="new_password")
    with guessing(user.username):
        check_person(user, Proof(password=current))
    _set(user, new, by=by, end_tokens=end_tokens, action="change_password")


@transaction.atomic
def issue_reset_link(user: User, *, by: Any, reason: str) -> str:
    """Return the path of a one-time link by which the person sets a new password; earlier links end. Audited.

    Raises: NotAllowed unless `by` is an admin, Conflict for a disabled account and where the password is kept elsewhere.
    """
    policy.require_admin(by)
    _require_own_password(user)
    if not user.is_active:
        msg = "The account is disabled."
        raise Conflict(msg)
    ResetLink.objects.filter(user=user, used_at=None).delete()
    value = tokens.random_token("rst")
    expires_at = timezone.now() + timedelta(hours=settings.RESET_LINK_HOURS)
    ResetLink.objects.create(user=user, digest=tokens.digest(value), expires_at=expires_at)
    audit.record("issue_reset_link", user, by=by, reason=reason, until=expires_at.isoformat())
    return f"/reset/{value}/"


def is_reset_link_live(value: str) -> bool:
    """Say whether the link would still set a password."""
    return bool(_live_links(value).exists())


@transaction.atomic
def redeem_reset_link(value: str, *, password: str) -> User:
    """Set the password of the link's person; ends all his sessions. The link works once. Audited.

    Raises: NotFound for an unknown, used or expired link, Invalid for a weak password.
    """
    try:
        link: ResetLink = lock_row(_live_links(value))
    except ResetLink.DoesNotExist:
        raise NotFound from None
    user = link.user
    _check_strength(user, password, field="password")
    link.used_at = timezone.now()
    link.save(update_fields=["used_at"])
    _set(user, password, by=user, end_tokens=False, action="reset_password")
    return user


def _live_links(value: str) -> Any:
    digest = tokens.digest(value) if tokens.is_well_formed(value) else ""
    return ResetLink.objects.filter(digest=digest, used_at=None, expires_at__gt=Now(), user__is_active=True)


@transaction.atomic
def _set(user: User, password: str, *, by: Any, end_tokens: bool, action: str) -> None:
    user.set_password(password)
    User.objects.filter(pk=user.pk).update(password=user.password)
    acts_through = getattr(by, "session", None)
    ended = drop_sessions(user, keep=acts_through.pk if acts_through is not None else None)
    ResetLink.objects.filter(user=user, used_at=None).delete()
    revoked = 0
    if end_tokens:
        mine = ApiToken.objects.filter(user=user, kind=TokenKind.PERSONAL, revoked_at=None)
        revoked = mine.update(revoked_at=Now())
        recent.forget()
    audit.record(action, user, by=by, ended_sessions=ended, revoked_tokens=revoked)


def _check_strength(user: User, password: str, *, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(errors={field: list(error.messages)}) from error


def _require_own_password(user: User) -> None:
    if not has_password_here(user):
        msg = "This account's password is not kept here."
        raise Conflict(msg)
