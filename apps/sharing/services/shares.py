"""Writes on who may do what with one object."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone

from apps.access import grants, policy
from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.explain import subject_of
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.core.locks import lock_row
from apps.sharing import kinds
from apps.sharing.choices import ROLES, ShareRole
from apps.sharing.kinds import SHARE
from apps.teams.models import Team

LONGEST = timedelta(days=5 * 366)


@transaction.atomic
def share(
    obj: Model,
    subject: Any,
    role: ShareRole | str,
    *,
    by: Any,
    expires_at: datetime | None = None,
    reason: str = "",
) -> grants.Held:
    """Give `subject` (a person, or the group of a team or an organization) a role on the object; replace an earlier one.

    Idempotent. Audited, with what was before. LOCKING: the object's row, so that of two at once the later one stands.
    Raises: NotFound, NotAllowed, InsufficientScope, Invalid for a role above one's own, a person who needs no share or
    cannot have one, and an expiry that is past or too far.
    """
    policy.require(by, SHARE, obj)
    row = policy.owned(obj)
    wanted = _role(role)
    _require_within_own(wanted, obj, by)
    _require_sensible(subject, row, by)
    _require_possible(expires_at)
    _lock(row)
    before = _held_by(subject, row)
    if before is not None and (before.role, before.expires_at) == (wanted, expires_at):
        return before
    grants.grant(subject, row, wanted, expires_at=expires_at, by=by)
    after = _held_by(subject, row)
    if after is None:  # written a line before, under the lock
        raise AssertionError
    facts = {"subject": name_of(subject), "before": _told(before), "after": _told(after)}
    audit.record("share", row, by=by, reason=reason, **facts)
    return after


@transaction.atomic
def change_share(
    obj: Model,
    subject: Any,
    role: ShareRole | str,
    *,
    by: Any,
    expires_at: datetime | None = None,
    reason: str = "",
) -> grants.Held:
    """Change a share that exists. As `share`. Raises: NotFound when there is none, which `share` would make."""
    policy.require(by, SHARE, obj)
    if _held_by(subject, policy.owned(obj)) is None:
        msg = "There is no such share."
        raise NotFound(msg)
    return share(obj, subject, role, by=by, expires_at=expires_at, reason=reason)


@transaction.atomic
def unshare(obj: Model, subject: Any, *, by: Any, reason: str = "") -> None:
    """End a share at once; what the person has by other ways stays. Idempotent. Audited.

    Raises: NotFound, NotAllowed, InsufficientScope.
    """
    policy.require(by, SHARE, obj)
    row = policy.owned(obj)
    _lock(row)
    before = _held_by(subject, row)
    if before is None:
        return
    _end(before, subject, row, by=by, reason=reason)


def end_expired_shares(before: datetime, *, by: Any, most: int = 500) -> int:
    """End shares that expired before a moment, which give nothing any more. Each is audited; return how many ended.

    One transaction each, so that a locked object keeps nobody from the others. Raises: NotAllowed.
    """
    found = [pair for kind in kinds.owned_kinds() for pair in grants.ended_before(before, kind.model, most=most)]
    return sum(_end_expired(obj, subject, before, by=by) for obj, subject in found[:most])


@transaction.atomic
def _end_expired(obj: Model, subject: Any, before: datetime, *, by: Any) -> bool:
    policy.require(by, SHARE, obj)
    _lock(obj)
    held = _held_by(subject, obj)
    if held is None or held.expires_at is None or held.expires_at >= before:
        return False  # ended, or given anew since it was listed
    _end(held, subject, obj, by=by, reason="It had expired.")
    return True


@transaction.atomic
def set_visibility(
    obj: Model, visibility: Visibility | str, *, by: Any, team: Team | None = None, reason: str = ""
) -> None:
    """Set who sees the object beside its owner and those it is shared with; with `team`, also whose it is.

    Idempotent. Audited. Raises: NotFound, NotAllowed (also unless `by` may submit for the new team), Invalid, Conflict
    when the team has something of this name.
    """
    policy.require(by, SHARE, obj)
    row = policy.owned(obj)
    if visibility not in Visibility.values:
        raise Invalid(errors={"visibility": [f"One of {', '.join(Visibility.values)}."]})
    if team is not None and team.pk != row.team_id:
        policy.require(by, "submit", team)
    if visibility in {Visibility.TEAM, Visibility.ORGANIZATION} and team is None and row.team_id is None:
        raise Invalid(errors={"visibility": ["It belongs to no team, so it has no organization either."]})
    _lock(row)
    row.refresh_from_db(fields=["visibility", "team"])
    before = {"visibility": row.visibility, "team": row.team.slug if row.team else None}
    is_moved = team is not None and team.pk != row.team_id
    if visibility != Visibility.PRIVATE and (row.visibility == Visibility.PRIVATE or is_moved):
        policy.require_to_give(by, obj)
    row.visibility = Visibility(visibility)
    row.team = team or row.team
    after = {"visibility": row.visibility, "team": row.team.slug if row.team else None}
    if before == after:
        return
    _save(row, "visibility", "team")
    audit.record("set_visibility", row, by=by, reason=reason, before=before, after=after)


@transaction.atomic
def transfer_owner(obj: Model, to: User, *, by: Any, reason: str = "") -> None:
    """Make another person the owner, whose share, if he had one, ends. The old owner keeps what he has by other ways.

    Idempotent. Audited. Raises: NotFound, NotAllowed unless `by` is the owner or an acting admin, Invalid for who cannot
    own, Conflict when he has something of this name.
    """
    policy.require(by, SHARE, obj)
    row = policy.owned(obj)
    _lock(row)  # LOCKING: before it is asked whose it is, or of two gifts at once the second would take back the first
    row.refresh_from_db(fields=["owner"])
    if by.pk != row.owner_id and not (by.is_superuser or getattr(by, "is_system", False)):
        msg = "Only the owner, or an admin who acts as one, gives it to somebody else."
        raise NotAllowed(msg)
    policy.require_to_give(by, obj)
    if not to.is_active or to.service_of_id is not None:
        raise Invalid(errors={"to": ["It can be given to an active person only."]})
    if row.owner_id == to.pk:
        return
    before = row.owner.username
    row.owner = to
    _save(row, "owner")
    grants.revoke(to, row)
    audit.record("transfer", row, by=by, reason=reason, before=before, after=to.username)


def share_with(obj: Model, subject: Any) -> grants.Held | None:
    """Return the share of the object with exactly this person or group, expired or not."""
    return _held_by(subject, policy.owned(obj))


def name_of(subject: Any) -> str:
    return subject_of(subject) if isinstance(subject, Group) else str(subject)


def _role(role: ShareRole | str) -> Role:
    try:
        return ROLES[ShareRole(role)]
    except ValueError:
        raise Invalid(errors={"role": [f"One of {', '.join(ShareRole.values)}."]}) from None


def _require_within_own(wanted: Role, obj: Model, by: Any) -> None:
    own = policy.role_to_give(by, obj)
    if wanted > own:
        said = "As an admin you" if by.is_superuser else f"You are {own.word}, and"
        raise Invalid(errors={"role": [f"{said} cannot make anybody {wanted.word}."]})


def _require_sensible(subject: Any, row: Any, by: Any) -> None:
    if isinstance(subject, Group):
        return
    if subject.pk == row.owner_id:
        raise Invalid(errors={"user": [f"{subject} owns it, and holds every role already."]})
    if subject.pk == by.pk:
        raise Invalid(errors={"user": ["You cannot share with yourself."]})
    if not subject.is_active:
        raise Invalid(errors={"user": ["There is nobody of this name to share with."]})
    if subject.service_of_id is not None:
        raise Invalid(errors={"user": ["It is a service account: share with its team."]})


def _require_possible(expires_at: datetime | None) -> None:
    if expires_at is None:
        return
    if timezone.is_naive(expires_at):
        raise Invalid(errors={"expires_at": ["A time needs its zone."]})
    now = timezone.now()
    if expires_at <= now:
        raise Invalid(errors={"expires_at": ["This is in the past."]})
    if expires_at > now + LONGEST:
        raise Invalid(errors={"expires_at": ["At most five years from now."]})


def _end(held: grants.Held, subject: Any, row: Any, *, by: Any, reason: str) -> None:
    grants.revoke(subject, row)
    audit.record("unshare", row, by=by, reason=reason, subject=name_of(subject), before=_told(held), after=None)


def _lock(row: Any) -> None:
    lock_row(type(row)._default_manager.filter(pk=row.pk))  # noqa: SLF001 -- generic code


def _held_by(subject: Any, row: Any) -> grants.Held | None:
    key = "group" if isinstance(subject, Group) else "user"
    return next((one for one in grants.held_on(row) if getattr(one, key) == subject), None)


def _told(held: grants.Held | None) -> dict[str, str | None] | None:
    if held is None:
        return None
    return {"role": held.role.word, "expires_at": held.expires_at.isoformat() if held.expires_at else None}


def _save(row: Any, *fields: str) -> None:
    try:
        with transaction.atomic():
            row.save(update_fields=fields)
    except IntegrityError as error:
        msg = "There is something of this name already where it would go. Rename one first."
        raise Conflict(msg) from error
