"""Places of the quota tree as people name them: "team:vision", "org:acme", "user:alice", "team:vision/user:alice"."""

from typing import Any

from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode
from apps.teams.models import Organization, Team

_HOW = "platform, org:<slug>, team:<slug>, user:<name> or team:<slug>/user:<name>."


def find_place(text: str) -> QuotaNode:
    """Return the node that is named so, made now if nothing has run there yet. For admins. Raises: Invalid."""
    head, _, member = text.partition("/")
    kind, _, name = head.partition(":")
    if text == "platform":
        return quotas.platform_node()
    if kind == "org" and not member:
        return _of_organization(_get(Organization, slug=name))
    if kind == "user" and not member:
        user = _get(User, username=name)
        return quotas.ensure_node(NodeKind.USER, f"user:{user.pk}", name=user.username, parent=quotas.platform_node())
    if kind == "team" and (not member or member.startswith("user:")):
        team = _get(Team, slug=name)
        there = _of_team(team)
        return there if not member else _of_member(team, there, member.removeprefix("user:"))
    raise Invalid(errors={"place": [f"Write {_HOW}"]})


def _get(model: Any, **lookup: str) -> Any:
    found = model.objects.filter(**lookup).first()
    if found is None:
        raise Invalid(errors={"place": [f"There is no {model._meta.verbose_name} of that name."]})  # noqa: SLF001 -- documented Django API
    return found


def _of_organization(organization: Organization) -> QuotaNode:
    key, root = f"org:{organization.pk}", quotas.platform_node()
    return quotas.ensure_node(NodeKind.ORGANIZATION, key, name=organization.name, parent=root)


def _of_team(team: Team) -> QuotaNode:
    parent = _of_organization(team.organization)
    return quotas.ensure_node(NodeKind.TEAM, f"team:{team.pk}", name=team.name, parent=parent)


def _of_member(team: Team, there: QuotaNode, name: str) -> QuotaNode:
    user = _get(User, username=name)
    label = f"{user.username} in {team.name}"
    return quotas.ensure_node(NodeKind.USER, f"team:{team.pk}/user:{user.pk}", name=label, parent=there)
