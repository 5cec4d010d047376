"""Writes on people and their tokens."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.access.principal import SYSTEM
from apps.accounts import recent, tokens
from apps.accounts.choices import TokenKind
from apps.accounts.models import ApiToken, LoginFailure, SetupLink, User
from apps.audit import services as audit
from apps.core.errors import Conflict, DomainError, Invalid, NotAllowed, NotAuthenticated, NotFound, Throttled
from apps.core.ids import new_id
from apps.core.locks import lock_row
from apps.core.middleware import current_request

SETUP_LINK_LIFETIME = timedelta(hours=24)
_FAILURE_WINDOW = timedelta(minutes=5)
_FAILURES_PER_ACCOUNT, _FAILURES_PER_ADDRESS = 10, 50
_LAST_USED_STEP = timedelta(minutes=1)
_LONGEST_LIFE_DAYS = 3650
_INSERT_FOR_RUN = """
    INSERT INTO accounts_apitoken (id, user_id, name, kind, digest, prefix, scopes, bound_to, expires_at)
    VALUES (%(id)s, %(user)s, %(name)s, %(kind)s, %(digest)s, %(prefix)s, %(scopes)s, %(bound_to)s, %(expires_at)s)
        ON CONFLICT DO NOTHING
"""


@transaction.atomic
def create_user(
    username: str, *, by: Any, email: str = "", password: str | None = None, is_admin: bool = False
) -> User:
    """Create a person; without a password he can only use tokens until one is set. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid for a taken name or a weak password.
    """
    if not by.is_superuser and by is not SYSTEM:
        msg = "Only an admin creates users."
        raise NotAllowed(msg)
    user = User(username=username, email=email, is_staff=is_admin, is_superuser=is_admin)
    _set_password(user, password)
    try:
        user.full_clean(exclude=["password"])
        with transaction.atomic():
            user.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Invalid(errors={"username": ["This name is taken."]}) from error
    audit.record("create", user, by=by, is_admin=is_admin)
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


def log_in(username: str, password: str) -> User:
    """Check a password. Slowed down per account and per address.

    Raises: NotAuthenticated (never saying which part was wrong), Throttled.
    """
    ip = current_request.get().ip
    name = username.replace("\x00", "")[:150]
    recent = LoginFailure.objects.filter(at__gt=Now() - _FAILURE_WINDOW)
    too_many = (
        recent.filter(username=name).count() >= _FAILURES_PER_ACCOUNT
        or recent.filter(ip=ip).count() >= _FAILURES_PER_ADDRESS
    )
    if too_many:
        msg = "Too many failed logins. Wait five minutes."
        raise _login_refused(name, Throttled(msg, retry_after=int(_FAILURE_WINDOW.total_seconds())))
    user = None if "\x00" in username + password else authenticate(username=username, password=password)
    if not isinstance(user, User) or not user.is_active:
        LoginFailure.objects.create(username=name, ip=ip)
        msg = "The name or the password is wrong."
        raise _login_refused(name, NotAuthenticated(msg))
    return user


def _login_refused(name: str, error: DomainError) -> DomainError:
    """Note whose account was tried. SECURITY: a name that nobody has may be a password in the wrong field: not kept."""
    return audit.refused(None, "log_in", User.objects.filter(username=name).first() or "accounts.user", error)


@transaction.atomic
def issue_token(
    user: User,
    *,
    by: Any,
    name: str,
    scopes: Sequence[str] = ("all",),
    expires_in: timedelta | None = timedelta(days=90),
) -> tuple[ApiToken, str]:
    """Make a personal token for `user`; the second result is the token itself, which is never to be had again. Audited.

    Raises: Invalid for an unknown scope or lifetime, NotAllowed when `by` is somebody else or acts through a narrower token.
    """
    if by is not SYSTEM and by.pk != user.pk:
        msg = "A token is made by its owner only."
        raise NotAllowed(msg)
    policy.require_active(by, "apitoken:create")
    _check_scopes(scopes, by)
    if expires_in is not None and not timedelta(0) < expires_in <= timedelta(days=_LONGEST_LIFE_DAYS):
        raise Invalid(errors={"expires_in_days": [f"Must be between 1 and {_LONGEST_LIFE_DAYS}."]})
    value = tokens.random_token(TokenKind.PERSONAL)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        digest=tokens.digest(value),
        prefix=value[:12],
        scopes=list(dict.fromkeys(scopes)),
        expires_at=None if expires_in is None else timezone.now() + expires_in,
    )
    audit.record("create", token, by=by, scopes=token.scopes)
    return token, value


def _check_scopes(scopes: Sequence[str], by: Any) -> None:
    unknown = sorted(set(scopes) - set(policy.all_scopes()))
    if unknown or not scopes:
        raise Invalid(errors={"scopes": [f"Unknown scope: {', '.join(unknown)}." if unknown else "Name at least one."]})
    held = getattr(by, "token", None)
    if held is not None and "all" not in held.scopes and not set(scopes) <= set(held.scopes):
        msg = "A token cannot make a token with more scopes than its own."
        raise NotAllowed(msg)


def issue_run_token(user: User, *, bound_to: str, purpose: str, scopes: Sequence[str], expires_in: timedelta) -> str:
    """Return the token of one attempt, bound to one object. Derived, so that a repeated start delivers the same one."""
    value = tokens.derived_token(TokenKind.RUN, purpose)
    row: dict[str, Any] = {
        "id": new_id(),
        "user": user.pk,
        "name": purpose[:100],
        "kind": TokenKind.RUN.value,
        "digest": tokens.digest(value),
        "prefix": value[:12],
        "scopes": orjson.dumps(list(scopes)).decode(),
        "bound_to": bound_to,
        "expires_at": timezone.now() + expires_in,
    }
    with connection.cursor() as cursor:  # every start of a job waits for it: one round trip, not a transaction
        cursor.execute(_INSERT_FOR_RUN, row)
    return value


def revoke_bound_tokens(bound_to: str) -> None:
    """End every token bound to an object: it is over."""
    if ApiToken.objects.filter(bound_to=bound_to, revoked_at=None).update(revoked_at=Now()):
        recent.forget()


@transaction.atomic
def revoke_token(token: ApiToken, *, by: Any, reason: str = "") -> None:
    """End a token at once. Idempotent. Audited. Raises: NotAllowed."""
    policy.require(by, "revoke", token)
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now()):
        recent.forget()
        audit.record("revoke", token, by=by, reason=reason)


def authenticate_token(value: str, *, afresh: bool = False) -> User:
    """Return the active user of a live token, with `user.token` set; `afresh` for callers that keep the answer.

    Raises: NotAuthenticated.
    """
    if not tokens.is_well_formed(value):
        raise _token_refused()
    digest = tokens.digest(value)
    if not afresh and (known := recent.find(digest)) is not None:
        return known
    question = recent.Question()
    token = ApiToken.objects.live().select_related("user").filter(digest=digest).first()
    if token is None or not token.user.is_active:
        raise _token_refused(digest)
    note_use(token)
    user: User = token.user
    user.token = token
    question.keep(digest, user)
    return user


def _token_refused(digest: str = "") -> DomainError:
    """Note which token it was that is no longer good, if it ever was one; the caller learns nothing of that."""
    error = NotAuthenticated("The token is unknown, expired or revoked.")
    known = ApiToken.objects.select_related("user").filter(digest=digest).first() if digest else None
    if known is None:
        return audit.refused(None, "authenticate", "accounts.apitoken", error)
    known.user.token = known
    return audit.refused(known.user, "authenticate", known, error)


def note_use(token: ApiToken) -> None:
    """Remember the last use, at most once a minute: reads must not become writes."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _LAST_USED_STEP)
    if token.last_used_at is None or token.last_used_at < timezone.now() - _LAST_USED_STEP:
        ip = current_request.get().ip
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now(), last_used_ip=ip)


@transaction.atomic
def issue_setup_link() -> str:
    """Return the path of a fresh one-time link for the first admin; earlier links end.

    Raises: NotAllowed when an admin exists already.
    """
    if User.objects.filter(is_superuser=True, is_active=True).exists():
        msg = "An admin exists already."
        raise NotAllowed(msg)
    SetupLink.objects.filter(used_at=None).delete()
    value = tokens.random_token("set")
    SetupLink.objects.create(digest=_link_digest(value), expires_at=timezone.now() + SETUP_LINK_LIFETIME)
    return f"/setup/{value}/"


def is_setup_link_live(value: str) -> bool:
    """Say whether the link would still make an admin."""
    return SetupLink.objects.filter(digest=_link_digest(value), used_at=None, expires_at__gt=Now()).exists()


@transaction.atomic
def redeem_setup_link(value: str, *, username: str, email: str, password: str) -> User:
    """Create the first admin. The link works once.

    Raises: NotFound for an unknown, used or expired link, Invalid for a weak password or a bad name.
    """
    try:
        link = lock_row(SetupLink.objects.filter(digest=_link_digest(value), used_at=None, expires_at__gt=Now()))
    except SetupLink.DoesNotExist:
        raise NotFound from None
    user = create_user(username, by=SYSTEM, email=email, password=password, is_admin=True)
    link.used_at = timezone.now()
    link.save(update_fields=["used_at"])
    return user


def _link_digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()


@transaction.atomic
def disable_user(user: User, *, by: Any, reason: str) -> None:
    """Shut a person out: no login, no session, no token; personal tokens end for good. What runs goes on. Audited.

    Idempotent. Raises: NotAllowed unless `by` is an admin, Conflict for oneself, so that an admin always remains.
    """
    _require_admin(by)
    if by.pk == user.pk:
        msg = "You cannot disable yourself. Ask another admin."
        raise Conflict(msg)
    if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        ended = ApiToken.objects.filter(user=user, kind=TokenKind.PERSONAL, revoked_at=None).update(revoked_at=Now())
        recent.forget()
        audit.record("disable", user, by=by, reason=reason, revoked_tokens=ended)


@transaction.atomic
def enable_user(user: User, *, by: Any, reason: str) -> None:
    """Let a disabled person in again, with the same password and without the tokens. Idempotent. Audited.

    Raises: NotAllowed unless `by` is an admin.
    """
    _require_admin(by)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        audit.record("enable", user, by=by, reason=reason)


def _require_admin(by: Any) -> None:
    if by is not SYSTEM and not (by.is_active and by.is_superuser):
        msg = "Only an admin may do this."
        raise NotAllowed(msg)
