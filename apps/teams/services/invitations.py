"""Invitation links: single use, expiring, kept as a digest, handed over by hand."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts import tokens
from apps.accounts.choices import PlatformRole
from apps.accounts.models import User
from apps.accounts.proof import has_password_here
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.core.locks import lock_row
from apps.teams.choices import ROLE_ON_ASSETS, TeamRole
from apps.teams.models import Invitation, InvitedTo, Membership, Team
from apps.teams.services.members import place_member
from apps.teams.services.organizations import require_open

LONGEST = timedelta(days=90)
_MOST_PENDING = 6000  # of one person: an import of the largest file, and some; more would be a list nobody keeps
_KIND = "inv"

Places = Sequence[tuple[Team, TeamRole | str]]


@transaction.atomic
def invite(
    places: Places, *, by: Any, email: str = "", expires_in: timedelta | None = None, for_user: User | None = None
) -> tuple[Invitation, str]:
    """Make a link that leads into teams, with a role in each; the second result is its path, which is shown once.

    A maintainer invites into his own team; an admin into any, into none, and `for_user` an account he has made, whose
    password the invited person then chooses. Audited.
    Raises: NotAllowed, NotFound, Invalid for a role, lifetime or e-mail, Conflict for an archived team.
    """
    if not places or for_user is not None:
        policy.require_admin(by)
    for team, _ in places:
        policy.require(by, "manage", team)
        require_open(team)
    life = expires_in or timedelta(hours=settings.INVITATION_HOURS)
    _check(places, email, life)
    if for_user is not None:
        for_user.refresh_from_db()
        if for_user.has_usable_password() or not has_password_here(for_user) or not for_user.is_active:
            msg = f"{for_user} can log in already, elsewhere, or never will."
            raise Conflict(msg)
    if by is not SYSTEM and Invitation.objects.pending().filter(made_by=by).count() >= _MOST_PENDING:
        msg = "Too many of your invitations are open. Revoke some."
        raise Conflict(msg)
    return _make(places, by=by, email=email, life=life, for_user=for_user)


def _check(places: Places, email: str, life: timedelta) -> None:
    errors: dict[str, list[str]] = {}
    if any(role not in TeamRole.values for _, role in places):
        errors["role"] = [f"One of {', '.join(TeamRole.values)}."]
    if len({team.pk for team, _ in places}) != len(places):
        errors["teams"] = ["A team can be named once."]
    if not timedelta(0) < life <= LONGEST:
        errors["expires_in_days"] = [f"Between 1 and {LONGEST.days}."]
    if email:
        try:
            validate_email(email)
        except ValidationError as error:
            errors["email"] = list(error.messages)
    if errors:
        raise Invalid(errors=errors)


def _make(places: Places, *, by: Any, email: str, life: timedelta, for_user: User | None) -> tuple[Invitation, str]:
    value = tokens.random_token(_KIND)
    made = Invitation.objects.create(
        digest=tokens.digest(value),
        made_by_id=by.pk,
        for_user=for_user,
        email=email,
        expires_at=timezone.now() + life,
    )
    InvitedTo.objects.bulk_create(InvitedTo(invitation=made, team=team, role=role) for team, role in places)
    teams = {team.slug: str(role) for team, role in places}
    audit.record("invite", made, by=by, teams=teams, **({"for_user": for_user.username} if for_user else {}))
    return made, f"/join/{value}/"


@transaction.atomic
def invite_accounts(people: Sequence[User], *, by: Any) -> list[str]:
    """Make a link for each of many new accounts, by which its owner chooses the password; return their paths.

    Admins only. Audited one by one. Raises: NotAllowed.
    """
    policy.require_admin(by)
    values = [tokens.random_token(_KIND) for _ in people]
    expires_at = timezone.now() + timedelta(hours=settings.INVITATION_HOURS)
    rows = [
        Invitation(
            digest=tokens.digest(value), made_by_id=by.pk, for_user=person, email=person.email, expires_at=expires_at
        )
        for value, person in zip(values, people, strict=True)
    ]
    for row in Invitation.objects.bulk_create(rows, batch_size=500):
        audit.record("invite", row, by=by, for_user=str(row.for_user), teams={})
    return [f"/join/{value}/" for value in values]


@transaction.atomic
def revoke_invitation(invitation: Invitation, *, by: Any, reason: str = "") -> None:
    """End a link that nobody has used. Idempotent. Audited. Raises: NotAllowed, Conflict when it was redeemed."""
    policy.require(by, "revoke", invitation)
    row = lock_row(Invitation.objects.filter(pk=invitation.pk))
    if row.redeemed_at is not None:
        msg = "It was redeemed already."
        raise Conflict(msg)
    if row.revoked_at is None:
        Invitation.objects.filter(pk=row.pk).update(revoked_at=Now())
        invitation.refresh_from_db(fields=["revoked_at"])
        audit.record("revoke", row, by=by, reason=reason)


def find_invitation(value: str) -> Invitation:
    """Return the invitation of a link that would work now. Raises: NotFound, never saying why it would not."""
    if not tokens.is_well_formed(value):
        raise NotFound
    rows = Invitation.objects.pending().filter(digest=tokens.digest(value))
    found = rows.select_related("made_by", "for_user").first()
    if found is None or places_of(found) is None:
        raise NotFound
    invitation: Invitation = found
    return invitation


def places_of(invitation: Invitation) -> list[InvitedTo] | None:
    """Return the teams the link leads into, judged as of now; None when its maker may not invite into them any more."""
    places = list(invitation.teams.select_related("team", "team__organization").order_by("team__name"))
    maker = invitation.made_by
    if maker is None or (maker.is_active and maker.platform_role == PlatformRole.ADMIN):
        return places
    managed = Membership.objects.filter(user=maker, role=TeamRole.MAINTAINER, team__in=[row.team for row in places])
    may = maker.is_active and bool(places) and managed.count() == len(places)
    return places if may else None


@transaction.atomic
def redeem_invitation(value: str, *, password: str, username: str = "", **facts: str) -> User:
    """Make the account, or open the one that waits, and put it into the teams. The link works once. Audited.

    Raises: NotFound for a link that does not work, Invalid for a bad or taken name or a weak password, and then the
    link still works; Conflict for an archived team.
    """
    invitation, places = _claim(value)
    user = invitation.for_user
    if user is None:
        user = accounts.open_account(username, by=SYSTEM, password=password, **facts)
    else:
        user = lock_row(User.objects.filter(pk=user.pk))  # LOCKING: another link may open the same account
        if user.has_usable_password() or not user.is_active:
            raise NotFound
        accounts.set_first_password(user, password)
        user.save(update_fields=["password"])
    _settle(invitation, places, user)
    return user


@transaction.atomic
def join_by_invitation(value: str, *, user: User) -> list[Team]:
    """Put somebody who is logged in into the teams; a role he has is never lowered. The link works once. Audited.

    Raises: NotFound for a link that does not work or opens an account, NotAllowed for who changes nothing, Conflict.
    """
    policy.require_active(user)
    if user.changes_nothing or user.service_of_id is not None:
        raise NotAllowed(user.changes_nothing or "A service account joins no team.")
    invitation, places = _claim(value)
    if invitation.for_user is not None:
        raise NotFound
    _settle(invitation, places, user)
    return [place.team for place in places]


def _claim(value: str) -> tuple[Invitation, list[InvitedTo]]:
    # LOCKING: who comes second waits here, and then finds no pending row.
    try:
        row = lock_row(Invitation.objects.pending().filter(digest=tokens.digest(value)))
    except Invitation.DoesNotExist:
        raise NotFound from None
    places = places_of(row)
    if places is None:
        raise NotFound
    for place in places:
        require_open(place.team)
    return row, places


def _settle(invitation: Invitation, places: list[InvitedTo], user: User) -> None:
    maker = str(invitation.made_by or SYSTEM)
    held = dict(Membership.objects.filter(user=user).values_list("team_id", "role"))
    for place in places:
        before = held.get(place.team_id)
        if before is None or ROLE_ON_ASSETS[TeamRole(before)] < ROLE_ON_ASSETS[TeamRole(place.role)]:
            place_member(place.team, user, role=place.role)
            facts = {"user": user.username, "role": str(place.role), "before": before or ""}
            audit.record("set_member", place.team, by=user, on_behalf_of=maker, **facts)
    Invitation.objects.filter(pk=invitation.pk).update(redeemed_at=Now(), redeemed_by=user)
    audit.record("redeem", invitation, by=user, on_behalf_of=maker)
