"""Service accounts: what a team's programs act as. They have no password, and their tokens are the maintainers' to keep."""

import re
from typing import Any

from django.db import transaction

from apps.access import policy
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotFound
from apps.teams.choices import TeamRole
from apps.teams.models import Membership, Team
from apps.teams.services.members import set_member
from apps.teams.services.organizations import require_open

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_MOST = 50  # per team


@transaction.atomic
def create_service_account(team: Team, *, name: str, by: Any, role: TeamRole | str = TeamRole.MEMBER) -> User:
    """Make a service account of the team, called `svc.<team>.<name>`. Audited.

    Raises: NotAllowed unless `by` maintains the team, Invalid for an ill-formed or taken name or another role than
    viewer and member, Conflict for an archived team or one that has 50.
    """
    policy.require(by, "manage", team)
    require_open(team)
    errors: dict[str, list[str]] = {}
    if not _NAME.fullmatch(name):
        errors["name"] = ["Small letters, digits and hyphens, at most 60."]
    if role not in {TeamRole.VIEWER, TeamRole.MEMBER}:
        errors["role"] = ["A service account is viewer or member."]
    if errors:
        raise Invalid(errors=errors)
    if User.objects.filter(service_of=team, is_active=True).count() >= _MOST:
        msg = f"A team has at most {_MOST} service accounts."
        raise Conflict(msg)
    try:
        account = accounts.open_account(f"{accounts.SERVICE_PREFIX}{team.slug}.{name}", by=by, service_of=team)
    except Invalid as error:
        raise Invalid(errors={"name": [sentence for all_of in error.errors.values() for sentence in all_of]}) from error
    set_member(team, account, role=role, by=by)
    return account


def find_service_account(team: Team, name: str, *, by: Any) -> User:
    """Return the team's service account of that full or short name, for whoever sees the team. Raises: NotFound."""
    policy.require(by, "view", team)
    full = name if name.startswith(accounts.SERVICE_PREFIX) else f"{accounts.SERVICE_PREFIX}{team.slug}.{name}"
    found = User.objects.filter(service_of=team, username=full).first()
    if found is None:
        raise NotFound
    account: User = found
    return account


@transaction.atomic
def disable_service_account(account: User, *, by: Any, reason: str = "") -> None:
    """Shut a service account out: its tokens end for good, its jobs are stopped. Idempotent. Audited.

    Raises: NotAllowed unless `by` maintains its team.
    """
    team = _team_of(account)
    policy.require(by, "manage", team)
    accounts.close_account(account, by=by, reason=reason)


@transaction.atomic
def enable_service_account(account: User, *, by: Any, reason: str = "") -> None:
    """Let a service account in again, without its former tokens. Idempotent. Audited.

    Raises: NotAllowed unless `by` maintains its team, Conflict while that is archived.
    """
    team = _team_of(account)
    policy.require(by, "manage", team)
    require_open(team)
    if User.objects.filter(pk=account.pk, is_active=False).update(is_active=True):
        account.is_active = True
        audit.record("enable", account, by=by, reason=reason)


@transaction.atomic
def set_service_role(account: User, *, role: TeamRole | str, by: Any) -> Membership:
    """Make a service account viewer or member of its team. Audited. Raises: NotAllowed, Invalid, Conflict."""
    return set_member(_team_of(account), account, role=role, by=by)


def _team_of(account: User) -> Team:
    if account.service_of is None:
        raise NotFound
    team: Team = account.service_of
    return team
