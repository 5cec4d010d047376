"""Writes on API tokens, and whose a token is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.access.choices import ADMIN_SCOPE
from apps.access.principal import SYSTEM
from apps.accounts import recent, tokens
from apps.accounts.choices import TokenKind
from apps.accounts.lookup import live_token
from apps.accounts.models import ApiToken, User
from apps.audit import services as audit
from apps.core.errors import Invalid, NotAllowed, NotAuthenticated
from apps.core.ids import new_id
from apps.core.middleware import current_request

_LAST_USED_STEP = timedelta(minutes=1)
_LONGEST_LIFE_DAYS = 3650
_INSERT_FOR_RUN = """
    INSERT INTO accounts_apitoken (id, user_id, name, kind, digest, prefix, scopes, bound_to, expires_at)
    VALUES (%(id)s, %(user)s, %(name)s, %(kind)s, %(digest)s, %(prefix)s, %(scopes)s, %(bound_to)s, %(expires_at)s)
        ON CONFLICT DO NOTHING
"""


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
    _check_scopes(scopes, by, expires_in)
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


def _check_scopes(scopes: Sequence[str], by: Any, expires_in: timedelta | None) -> None:
    unknown = sorted(set(scopes) - set(policy.all_scopes()))
    if unknown or not scopes:
        raise Invalid(errors={"scopes": [f"Unknown scope: {', '.join(unknown)}." if unknown else "Name at least one."]})
    if ADMIN_SCOPE in scopes:
        policy.require_admin(by)
        if getattr(by, "token", None) is not None:  # SECURITY: or one would live on through the next, for ever
            msg = "Admin rights are taken up with a password, not with a token that has them."
            raise NotAllowed(msg)
        longest = timedelta(hours=settings.ADMIN_TOKEN_HOURS)
        if by is not SYSTEM and (expires_in is None or expires_in > longest):
            raise Invalid(errors={"expires_in_days": [f"An admin token lives {settings.ADMIN_TOKEN_HOURS} h at most."]})
    held = getattr(by, "token", None)
    if held is not None and not {"all", ADMIN_SCOPE} & set(held.scopes) and not set(scopes) <= set(held.scopes):
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
    refusal = NotAuthenticated("The token is unknown, expired or revoked.")
    if not tokens.is_well_formed(value):
        raise refusal
    digest = tokens.digest(value)
    if not afresh and (known := recent.find(digest)) is not None:
        return known
    question = recent.Question()
    token = live_token(digest)
    if token is None or not token.user.is_active:
        raise refusal
    note_use(token)
    user: User = token.user
    user.token = token
    question.keep(digest, user)
    return user


def note_use(token: ApiToken) -> None:
    """Remember the last use, at most once a minute: reads must not become writes."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _LAST_USED_STEP)
    if token.last_used_at is None or token.last_used_at < timezone.now() - _LAST_USED_STEP:
        ip = current_request.get().ip
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now(), last_used_ip=ip)
