"""Writes on API tokens, and whose a token is."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.access.choices import ADMIN_SCOPE
from apps.access.principal import SYSTEM
from apps.accounts import addresses as networks
from apps.accounts import recent, tokens
from apps.accounts.choices import TokenKind
from apps.accounts.lookup import live_token
from apps.accounts.models import ApiToken, User
from apps.audit import services as audit
from apps.core.errors import Conflict, DomainError, Invalid, NotAllowed, NotAuthenticated
from apps.core.ids import new_id
from apps.core.locks import lock_row
from apps.core.middleware import current_request

_LAST_USED_STEP = timedelta(minutes=1)
_LONGEST_LIFE_DAYS = 3650
_LONGEST_OVERLAP = timedelta(days=7)
# An attempt that starts when its user has left is one that was let finish: its token works on, for its run alone.
_INSERT_FOR_RUN = """
    INSERT INTO accounts_apitoken
           (id, user_id, name, kind, digest, prefix, scopes, bound_to, expires_at, addresses, outlives_user)
    SELECT %(id)s, id, %(name)s, %(kind)s, %(digest)s, %(prefix)s, %(scopes)s, %(bound_to)s, %(expires_at)s, '[]', NOT is_active
      FROM accounts_user WHERE id = %(user)s
        ON CONFLICT DO NOTHING
"""
logger = structlog.get_logger(__name__)


@transaction.atomic
def issue_token(
    user: User,
    *,
    by: Any,
    name: str,
    scopes: Sequence[str] = ("all",),
    expires_in: timedelta | None = timedelta(days=90),
    addresses: Iterable[str] = (),
) -> tuple[ApiToken, str]:
    """Make a token for `user`; the second result is the token itself, which is never to be had again. Audited.

    A person makes his own; a service account's are made by who maintains its team. `addresses` are the networks it may
    be used from, none for everywhere.
    Raises: Invalid for an unknown scope, lifetime or network, NotAllowed for others, and when `by` acts through a
    token of fewer scopes or networks.
    """
    kind = _kind_for(user, by)
    policy.require_active(by, "apitoken:create")
    _check_scopes(scopes, by, expires_in)
    if kind == TokenKind.SERVICE and ADMIN_SCOPE in scopes:
        raise Invalid(errors={"scopes": ["A service account is never an admin."]})
    if expires_in is not None and not timedelta(0) < expires_in <= timedelta(days=_LONGEST_LIFE_DAYS):
        raise Invalid(errors={"expires_in_days": [f"Must be between 1 and {_LONGEST_LIFE_DAYS}."]})
    facts = {"name": name, "scopes": list(dict.fromkeys(scopes)), "addresses": networks.parse(addresses)}
    _require_within_own_networks(facts["addresses"], by)
    token, value = _make(user, kind, expires_in, facts)
    audit.record("create", token, by=by, scopes=token.scopes, addresses=token.addresses, of=user.username)
    return token, value


@transaction.atomic
def rotate_token(token: ApiToken, *, by: Any, overlap: timedelta = timedelta(hours=24)) -> tuple[ApiToken, str]:
    """Replace a token by a new one with the same rights and length of life; the old one ends after `overlap`. Audited.

    The second result is the new token itself, which is never to be had again.
    Raises: NotAllowed, Invalid for an overlap that is negative or longer than 7 days, Conflict for a token that has
    ended, belongs to a run, or was replaced before.
    """
    policy.require(by, "rotate", token)
    if not timedelta(0) <= overlap <= _LONGEST_OVERLAP:
        raise Invalid(errors={"overlap": ["Between nothing and 7 days."]})
    old = lock_row(ApiToken.objects.filter(pk=token.pk))
    kind = _kind_for(token.user, by)
    if not old.is_live or old.kind == TokenKind.RUN or ApiToken.objects.filter(replaces=old).exists():
        msg = "Only a live personal or service token is replaced, and only once."
        raise Conflict(msg)
    life = None if old.expires_at is None else old.expires_at - old.created_at
    _check_scopes(old.scopes, by, life)
    _require_within_own_networks(old.addresses, by)
    facts = {"name": old.name, "scopes": old.scopes, "addresses": old.addresses, "replaces": old}
    new, value = _make(token.user, kind, life, facts)
    ends_at = timezone.now() + overlap
    old.expires_at = ends_at if old.expires_at is None else min(ends_at, old.expires_at)
    old.save(update_fields=["expires_at"])
    recent.forget()
    audit.record("rotate", old, by=by, replaced_by=str(new.pk), old_ends_at=old.expires_at.isoformat())
    return new, value


@transaction.atomic
def set_token_addresses(token: ApiToken, addresses: Iterable[str], *, by: Any, reason: str = "") -> ApiToken:
    """Say anew from which networks a token may be used, none for everywhere; elsewhere it is refused at once.

    Idempotent. Audited, with what was before. The token's own value, rights and end stay.
    Raises: NotAllowed, Invalid for what is no network, Conflict for a token that has ended or belongs to a run.
    """
    policy.require(by, "edit", token)
    _require_keeper(token, by)
    wanted = networks.parse(addresses)
    _require_within_own_networks(wanted, by)
    row = lock_row(ApiToken.objects.filter(pk=token.pk))
    if not row.is_live or row.kind == TokenKind.RUN:
        msg = "Only a live personal or service token has addresses to change."
        raise Conflict(msg)
    before, row.addresses = row.addresses, wanted
    if before == wanted:
        return row
    row.save(update_fields=["addresses"])
    recent.forget()
    audit.record("set_addresses", row, by=by, reason=reason, before=before, after=wanted)
    return row


def _require_keeper(token: ApiToken, by: Any) -> None:
    """SECURITY: a leaked service token must not free itself; its account holds it, and its maintainers keep it."""
    if token.user.service_of is not None:
        policy.require(by, "manage", token.user.service_of)
    if by.changes_nothing and token.user_id != by.pk:
        raise NotAllowed(by.changes_nothing)


def _require_within_own_networks(wanted: Iterable[str], by: Any) -> None:
    """SECURITY: or who took a token from inside its networks would make himself one that works from everywhere."""
    held = getattr(by, "token", None)
    if held is not None and not networks.lie_within(wanted, held.addresses):
        msg = "A token that is tied to networks makes none that works from elsewhere."
        raise NotAllowed(msg)


def _kind_for(user: User, by: Any) -> TokenKind:
    """Say which kind of token `by` may make for `user`. Raises: NotAllowed, NotFound, Conflict."""
    if user.service_of is None:
        if by is not SYSTEM and by.pk != user.pk:
            msg = "A token is made by its owner only."
            raise NotAllowed(msg)
        return TokenKind.PERSONAL
    policy.require(by, "manage", user.service_of)
    if not user.is_active:
        msg = "The service account is disabled."
        raise Conflict(msg)
    return TokenKind.SERVICE


def _make(user: User, kind: TokenKind, life: timedelta | None, facts: dict[str, Any]) -> tuple[ApiToken, str]:
    value = tokens.random_token(kind)
    expires_at = None if life is None else timezone.now() + life
    digest, prefix = tokens.digest(value), value[:12]
    token = ApiToken.objects.create(user=user, kind=kind, digest=digest, prefix=prefix, expires_at=expires_at, **facts)
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
    if by.changes_nothing and token.user_id != by.pk:
        raise NotAllowed(by.changes_nothing)
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now()):
        recent.forget()
        audit.record("revoke", token, by=by, reason=reason)


def authenticate_token(value: str, *, afresh: bool = False) -> User:
    """Return the active user of a live token, with `user.token` set; `afresh` for callers that keep the answer.

    Such a caller keeps it for the address of the present request only. Raises: NotAuthenticated.
    """
    if not tokens.is_well_formed(value):
        raise _token_refused()
    digest = tokens.digest(value)
    if not afresh and (known := recent.find(digest)) is not None:
        require_address(known.token)
        return known
    question = recent.Question()
    token = live_token(digest)
    if token is None or not (token.user.is_active or _works_on(token)):
        raise _token_refused(digest)
    require_address(token)
    note_use(token)
    user: User = token.user
    user.token = token
    # SECURITY: for who has left, only in this object and only behind a token that reaches one run.
    user.is_active = True
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


def _works_on(token: ApiToken) -> bool:
    """Whether a token works although its user has left: the one of a run that was let finish."""
    return token.outlives_user and token.kind == TokenKind.RUN and bool(token.bound_to)


def require_address(token: ApiToken | None) -> None:
    """Let a token pass that may be used from the address of the present request. Raises: NotAuthenticated."""
    ip = current_request.get().ip
    if token is None or not token.addresses or networks.hold(token.addresses, ip):
        return
    error = NotAuthenticated(f"The token {token.prefix}… may not be used from this address.", reason="address")
    raise audit.refused(None, "authenticate", token, error)


def note_use(token: ApiToken) -> None:
    """Remember the last use, at most once a minute: reads must not become writes."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _LAST_USED_STEP)
    if token.last_used_at is None or token.last_used_at < timezone.now() - _LAST_USED_STEP:
        ip = current_request.get().ip
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now(), last_used_ip=ip)
