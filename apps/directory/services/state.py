"""What a plan is computed from, as it stands in the database."""

from collections.abc import Iterable

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Upper

from apps.accounts.choices import IdentitySource
from apps.accounts.models import User
from apps.directory.models import DirectoryPerson, DirectoryRule
from apps.directory.person import Person, group_key
from apps.directory.planning import Account, Identity, Limits, Rule, World
from apps.teams.choices import MembershipSource
from apps.teams.models import Membership


def world_for(person: Person) -> World:
    """Return what matters for one person who has just proved who he is."""
    mine = Q(external_id=person.external_id) | Q(external_id="", username__iexact=person.username)
    return World(
        accounts=_accounts(Q(identity_source=person.source) & mine),
        taken=_taken([person.username]),
        rules=_rules(),
        creates=settings.FATHOM_DIRECTORY_CREATE_ACCOUNTS,
        gives_platform_roles=settings.FATHOM_DIRECTORY_PLATFORM_ROLES,
    )


def world_of_all(whole: frozenset[str]) -> World:
    """Return everything; of the sources in `whole` everybody is known."""
    return World(
        accounts=_accounts(~Q(identity_source=IdentitySource.LOCAL)),
        taken=_taken(None),
        rules=_rules(),
        limits=Limits(settings.FATHOM_DIRECTORY_MOST_LEAVERS, settings.FATHOM_DIRECTORY_MOST_LEAVERS_PERCENT),
        whole=whole,
        creates_ruled=settings.FATHOM_DIRECTORY_SYNC_CREATES,
        gives_platform_roles=settings.FATHOM_DIRECTORY_PLATFORM_ROLES,
    )


def remembered_people() -> list[Person]:
    """Return those who come through a provider that cannot be asked, as they were at their last login."""
    rows = DirectoryPerson.objects.filter(user__identity_source=IdentitySource.OIDC).select_related("user")
    return [
        Person(
            source=IdentitySource.OIDC,
            external_id=row.user.external_id,
            username=row.user.username,
            email=row.user.email,
            first_name=row.user.first_name,
            last_name=row.user.last_name,
            groups=frozenset(row.groups),
        )
        for row in rows
    ]


def _rules() -> list[Rule]:
    rows = DirectoryRule.objects.filter(enabled=True).select_related("team").order_by("order", "pk")
    return [
        Rule(
            row.source, group_key(row.source, row.group), row.team.slug if row.team else "", row.role, row.platform_role
        )
        for row in rows
    ]


def _taken(names: Iterable[str] | None) -> dict[str, Identity]:
    rows = User.objects.all()
    if names is not None:
        rows = rows.alias(upper=Upper("username")).filter(upper__in=[name.upper() for name in names])
    found = rows.values_list("username", "identity_source", "external_id")
    return {name.lower(): (source, external_id) for name, source, external_id in found}


def _accounts(which: Q) -> list[Account]:
    users = User.objects.filter(which)
    teams: dict[int, dict[str, tuple[str, bool]]] = {}
    rows = Membership.objects.filter(user__in=users).values_list("user_id", "team__slug", "role", "source")
    for user, team, role, source in rows:
        teams.setdefault(user, {})[team] = (role, source == MembershipSource.DIRECTORY)
    given = dict(DirectoryPerson.objects.exclude(given_platform_role="").values_list("user_id", "given_platform_role"))
    return [
        Account(
            username=user.username,
            source=user.identity_source,
            external_id=user.external_id,
            is_active=user.is_active,
            has_left=user.left_directory_at is not None,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            platform_role=user.platform_role,
            given_platform_role=given.get(user.pk, ""),
            memberships=teams.get(user.pk, {}),
        )
        for user in users
    ]
