"""Somebody leaves: what ends at once, and what becomes of what was his. The policy is docs/adr/0019."""

from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from apps.access.policy import require_admin
from apps.accounts import handlers, recent
from apps.accounts.choices import Assets, Belonging, Jobs, TokenKind
from apps.accounts.handlers import Departure, Effect
from apps.accounts.models import ApiToken, User
from apps.accounts.services.sessions import drop_sessions
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row


def offboard_user(
    user: User,
    *,
    by: Any,
    reason: str,
    assets: Assets | str = Assets.KEEP,
    transfer_to: User | None = None,
    jobs: Jobs | str = Jobs.STOP,
    memberships: Belonging | str = Belonging.KEEP,
    dry_run: bool = False,
) -> list[Effect]:
    """Shut a person or service account out, and deal with what was his by the stated policy; return what was done.

    With `dry_run` the same is done and taken back, so that a preview cannot differ from the deed. Audited, per kind of
    asset with counts. May be repeated for somebody who is disabled already.
    Raises: NotAllowed unless `by` is an admin, Conflict for oneself, Invalid for an unknown policy or heir.
    """
    require_admin(by)
    departure = _departure(user, by, reason, assets, transfer_to, jobs, memberships)
    with transaction.atomic():
        _let_no_sync_back_in(user)
        effects = _depart(departure, "offboard")
        transaction.set_rollback(dry_run)
    if not dry_run:
        user.is_active = False
    return effects


@transaction.atomic
def disable_user(user: User, *, by: Any, reason: str) -> None:
    """Shut a person out at once, by the standing policy: no login, no session, no token; jobs are stopped. Audited.

    His assets stay his and his memberships wait for him. Idempotent.
    Raises: NotAllowed unless `by` is an admin, Conflict for oneself, so that an admin always remains.
    """
    require_admin(by)
    _require_another(user, by)
    _let_no_sync_back_in(user)
    close_account(user, by=by, reason=reason)


@transaction.atomic
def enable_user(user: User, *, by: Any, reason: str) -> None:
    """Let a disabled person in again, with the same password and without the tokens. Idempotent. Audited.

    Raises: NotAllowed unless `by` is an admin, Conflict for a service account whose team is archived.
    """
    require_admin(by)
    if user.service_of is not None and user.service_of.archived_at is not None:
        msg = "Its team is archived."
        raise Conflict(msg)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True, left_directory_at=None):
        audit.record("enable", user, by=by, reason=reason)


@transaction.atomic
def close_account(user: User, *, by: Any, reason: str) -> None:
    """Do what `disable_user` does for `by`, who has been judged by the caller. Audited. Idempotent."""
    if User.objects.filter(pk=user.pk, is_active=True).exists():
        _depart(Departure(user, by, reason), "disable")
        user.is_active = False


def _let_no_sync_back_in(user: User) -> None:
    """Forget that a directory lost him, if it did: whom a person shuts out does not come back with his entry."""
    User.objects.filter(pk=user.pk).exclude(left_directory_at=None).update(left_directory_at=None)


def _shut_out(user: User) -> list[Effect]:
    """End every way in at once: the account, its sessions and tokens.

    Run tokens are no way in for him who left; those of jobs that may finish work on, for their run alone.
    """
    # LOCKING: the user before all that is his.
    lock_row(User.objects.filter(pk=user.pk))
    User.objects.filter(pk=user.pk).update(is_active=False)
    mine = ApiToken.objects.filter(user=user, revoked_at=None).exclude(kind=TokenKind.RUN)
    tokens = mine.update(revoked_at=Now())
    sessions = drop_sessions(user)
    recent.forget()
    return [Effect("tokens revoked", tokens), Effect("sessions ended", sessions)]


def keep_run_tokens(user: User, bound_to: list[str]) -> None:
    """Let the tokens of jobs that may finish work on although their user has left."""
    ApiToken.objects.live().filter(user=user, kind=TokenKind.RUN, bound_to__in=bound_to).update(outlives_user=True)


def _depart(departure: Departure, word: str) -> list[Effect]:
    ended = _shut_out(departure.user)
    effects = [*(effect for effect in ended if effect.count), *handlers.tell(departure)]
    policy = {"assets": departure.assets, "jobs": departure.jobs, "memberships": departure.memberships}
    audit.record(
        word,
        departure.user,
        by=departure.by,
        reason=departure.reason,
        policy={name: str(value) for name, value in policy.items()},
        effects={effect.what: effect.count for effect in effects},
        revoked_tokens=ended[0].count,
    )
    return effects


def _departure(
    user: User, by: Any, reason: str, assets: str, heir: User | None, jobs: str, memberships: str
) -> Departure:
    _require_another(user, by)
    errors: dict[str, list[str]] = {}
    chosen = {"assets": (Assets, assets), "jobs": (Jobs, jobs), "memberships": (Belonging, memberships)}
    for name, (kind, value) in chosen.items():
        if value not in kind.values:
            errors[name] = [f"One of {', '.join(kind.values)}."]
    if not reason.strip():
        errors["reason"] = ["Say why."]
    if heir is not None and assets != Assets.TRANSFER:
        errors["transfer_to"] = ["Only with assets=transfer."]
    elif heir is not None and (not heir.is_active or heir.service_of_id is not None or heir.pk == user.pk):
        errors["transfer_to"] = ["Must be somebody else who is active."]
    if errors:
        raise Invalid(errors=errors)
    return Departure(user, by, reason.strip(), Assets(assets), heir, Jobs(jobs), Belonging(memberships))


def _require_another(user: User, by: Any) -> None:
    if by.pk == user.pk:
        msg = "You cannot disable yourself. Ask another admin."
        raise Conflict(msg)
