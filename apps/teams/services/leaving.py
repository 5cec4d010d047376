"""What becomes of memberships, invitations and assets when somebody leaves. Registered with accounts at start."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Case, QuerySet, When
from django.db.models.functions import Now

from apps.access import policy
from apps.access.choices import Visibility
from apps.access.models import Owned
from apps.accounts.choices import Assets, Belonging, TokenKind
from apps.accounts.handlers import Departure, Effect, prepare_transfer, some
from apps.accounts.models import ApiToken, User
from apps.audit import services as audit
from apps.teams.choices import TeamRole
from apps.teams.models import Invitation, Membership, Team
from apps.teams.services.members import end_membership


def settle_assets(departure: Departure) -> Iterator[Effect]:
    """Give away what he owns, kind by kind, or count what stays.

    A chosen heir gets all of it. Without one, what a team can see goes to its longest-serving active maintainer, else
    member; what nobody else can see stays his. Run before memberships end, which say whose the assets could be.
    """
    for model in _kinds():
        name = str(model._meta.verbose_name_plural)  # noqa: SLF001 -- documented Django API
        rows = model._default_manager.filter(owner=departure.user)  # noqa: SLF001 -- generic code
        if departure.assets == Assets.TRANSFER:
            for heir, part in _parts(rows, departure):
                yield from _give(part, heir, departure, name)
        yield Effect(f"{name} kept", rows.count(), some(rows.order_by("-pk")[:5]))


def settle_invitations(departure: Departure) -> Iterator[Effect]:
    """Revoke the invitations he made and nobody has used; and the one that would open his account."""
    made = Invitation.objects.pending().filter(made_by=departure.user)
    yield Effect("invitations revoked", made.update(revoked_at=Now()))
    Invitation.objects.pending().filter(for_user=departure.user).update(revoked_at=Now())


def settle_memberships(departure: Departure) -> Iterator[Effect]:
    """Keep them for his return, or end them; and name the teams that nobody active maintains any more."""
    rows = Membership.objects.filter(user=departure.user).select_related("team", "team__organization")
    mine = list(rows.order_by("team__slug"))
    ends = departure.memberships == Belonging.END and departure.user.service_of_id is None
    yield from _orphaned(mine)
    if ends:
        for membership in mine:
            end_membership(membership.team, departure.user)
            audit.record("remove_member", membership.team, by=departure.by, user=departure.user.username)
    names = some(membership.team.slug for membership in mine)
    yield Effect("memberships ended" if ends else "memberships kept", len(mine), names)


def _orphaned(mine: list[Membership]) -> Iterator[Effect]:
    maintained = [row.team for row in mine if row.role == TeamRole.MAINTAINER]
    active = Membership.objects.filter(team__in=maintained, role=TeamRole.MAINTAINER, user__is_active=True)
    left = [team for team in maintained if team.pk not in set(active.values_list("team_id", flat=True))]
    yield Effect("teams without an active maintainer", len(left), some(team.slug for team in left), is_warning=True)


def _kinds() -> list[type[Owned]]:
    """Every kind of asset: what has a policy and an owner."""
    models = {declared.model for declared in policy.registered()}
    return sorted((m for m in models if issubclass(m, Owned)), key=lambda model: model._meta.label)  # noqa: SLF001 -- as above


def _parts(rows: QuerySet[Any], departure: Departure) -> Iterator[tuple[User, QuerySet[Any]]]:
    if departure.transfer_to is not None:
        yield departure.transfer_to, rows
        return
    shared = rows.exclude(visibility=Visibility.PRIVATE).exclude(team=None)
    for team in Team.objects.filter(pk__in=shared.order_by().values("team")).order_by("pk"):
        heir = _heir(team, departure.user)
        if heir is not None:
            yield heir, shared.filter(team=team)


def _heir(team: Team, leaver: User) -> User | None:
    first = Case(When(role=TeamRole.MAINTAINER, then=0), default=1)
    others = Membership.objects.filter(team=team, user__is_active=True, user__service_of=None).exclude(user=leaver)
    found = others.exclude(role=TeamRole.VIEWER).order_by(first, "created_at", "pk").select_related("user").first()
    return None if found is None else found.user


def _give(rows: QuerySet[Any], heir: User, departure: Departure, name: str) -> Iterator[Effect]:
    rows = prepare_transfer(rows, heir)
    examples = some(rows.order_by("-pk")[:5])
    _give_run_tokens(rows, heir, departure.user)
    count = rows.update(owner=heir)
    if count:
        facts = {"kind": rows.model._meta.label_lower, "count": count, "to": heir.username}  # noqa: SLF001 -- documented Django API
        audit.record("transfer", departure.user, by=departure.by, reason=departure.reason, **facts)
    yield Effect(f"{name} transferred to {heir}", count, examples)


def _give_run_tokens(rows: QuerySet[Any], heir: User, leaver: User) -> None:
    """Let the tokens of running attempts go with their runs: they are judged as who owns the run."""
    kind = f"{rows.model._meta.model_name}:"  # noqa: SLF001 -- documented Django API
    tokens = ApiToken.objects.live().filter(user=leaver, kind=TokenKind.RUN, bound_to__startswith=kind)
    bound = {token.bound_to.removeprefix(kind) for token in tokens}
    going = [f"{kind}{pk}" for pk in rows.filter(pk__in=bound).values_list("pk", flat=True)]
    tokens.filter(bound_to__in=going).update(user=heir)
