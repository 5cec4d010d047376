"""Why somebody may or may not: every path that gives him a role on one object, and what is missing for an action.

It tells in words what `policy` decides. A test compares the two for everybody and everything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Model

from apps.access import grants, policy
from apps.access.choices import Visibility
from apps.access.decision import Decision, Role
from apps.access.memberships import Memberships, memberships_of
from apps.access.policy import Policy

if TYPE_CHECKING:
    from apps.access.principal import Principal


@dataclass(frozen=True, slots=True)
class Path:
    """One way to a role: "through team vision, maintainer"."""

    role: Role
    by: str  # "owner", "team", "visibility", "grant", "admin", "auditor", "rule", "system"
    through: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`role` is the best of `paths`; `decision` is the judge's own; `missing` says what stands in the way."""

    action: str
    role: Role
    decision: Decision
    paths: Sequence[Path] = ()
    missing: Sequence[str] = ()
    scopes: Sequence[str] | None = None  # of the token, when there is one
    needs: Role = field(default=Role.VIEWER)


def explain(principal: "Principal", obj: Model, action: str | None = None) -> Explanation:
    """Say why `principal` may or may not do `action` (by default: view) with `obj`.

    Raises: LookupError for an action that the policy does not declare.
    """
    judged = policy.policy_for(type(obj))
    action = action or "view"
    needs = judged.minimum(action)
    decision = policy.decide(principal, action, obj)
    token: Any = getattr(principal, "token", None)
    reached = policy.is_reached(principal, obj)
    paths = sorted(_paths(principal, obj, judged), key=lambda path: -path.role) if reached else []
    held = max((path.role for path in paths), default=Role.NONE)
    missing: list[str] = []
    if not decision.allowed:
        missing = [*_refused(held, needs, action, decision), *_missing(principal, obj, judged, reached=reached)]
    return Explanation(
        action=action,
        role=held,
        decision=decision,
        paths=paths,
        missing=missing,
        scopes=None if token is None else list(token.scopes),
        needs=needs,
    )


def _paths(principal: "Principal", obj: Model, judged: Policy) -> Iterator[Path]:
    if getattr(principal, "is_system", False):
        yield Path(Role.MANAGER, "system", "the platform itself")
        return
    if principal.is_superuser:
        yield Path(Role.MANAGER, "admin", "as an admin, who acts as one now")
    if getattr(principal, "is_auditor", False):
        yield Path(Role.VIEWER, "auditor", "as an auditor, who may read everything")
    if judged.rule is None:
        yield from _paths_by_columns(principal, policy.owned(obj, judged))
    elif not principal.is_superuser and (held := policy.role_of(principal, obj, judged)):
        yield Path(held, "rule", f"by the rule for {_plural(judged)}")


def _paths_by_columns(principal: "Principal", row: Any) -> Iterator[Path]:
    if row.owner_id == principal.pk:
        yield Path(Role.MANAGER, "owner", "as its owner")
    member = memberships_of(principal)
    if row.visibility != Visibility.PRIVATE and (held := member.roles.get(row.team_id, Role.NONE)):
        yield Path(held, "team", f"through team {row.team.slug}, {member.words.get(row.team_id, held.word)}")
    if row.visibility == Visibility.ORGANIZATION and member.share_organization(row.team):
        yield Path(Role.VIEWER, "visibility", f"as somebody of the organization {row.team.organization.slug}")
    if row.visibility == Visibility.PUBLIC:
        yield Path(Role.VIEWER, "visibility", "as everyone here: it is public")
    for grant in grants.held_on(row, principal):
        if grant.is_live:
            yield Path(grant.role, "grant", _through(grant.group), grant.expires_at)


def _through(group: Any) -> str:
    return "through a share" if group is None else f"through a share with {subject_of(group)}"


def subject_of(group: Any) -> str:
    """Name a group as people know it: "team vision", "organization acme"."""
    kind, _, slug = group.name.partition(":")
    return f"{'organization' if kind == 'org' else kind} {slug}" if slug else str(group.name)


def _refused(held: Role, needs: Role, action: str, decision: Decision) -> Iterator[str]:
    if held is Role.NONE:
        yield "No role here."
    elif held < needs:
        yield f"{action.replace('_', ' ').capitalize()} needs {needs.word}; the role is {held.word}."
    if decision.missing_scope or held >= needs:
        yield decision.reason


def _missing(principal: "Principal", obj: Model, judged: Policy, *, reached: bool) -> Iterator[str]:
    """Say what would have to be otherwise."""
    if not getattr(principal, "is_authenticated", False):
        return
    if not principal.is_active:
        yield "The account is disabled."
    if not reached:
        token: Any = getattr(principal, "token", None)
        yield f"The token is bound to {token.bound_to} and does not reach this."
    if getattr(principal, "platform_role", "") == "admin" and not principal.is_superuser:
        yield "An admin's rights count only while he acts as one."
    if judged.rule is None:
        yield from _missing_by_columns(principal, policy.owned(obj, judged))


def _missing_by_columns(principal: "Principal", row: Any) -> Iterator[str]:
    member = memberships_of(principal)
    if row.visibility == Visibility.PRIVATE:
        yield "It is private: a team or an organization gives no role."
    elif row.team_id is None:
        yield "It belongs to no team."
    elif row.team_id not in member.roles:
        yield f"Not a member of team {row.team.slug}."
        yield from _missing_in_organization(member, row)
    if not (live := grants.held_on(row, principal)):
        yield "No share reaches this person."
    for grant in live:
        if not grant.is_live:
            yield f"The share as {grant.role.word} expired on {grant.expires_at:%Y-%m-%d %H:%M} UTC."


def _missing_in_organization(member: Memberships, row: Any) -> Iterator[str]:
    if row.visibility == Visibility.ORGANIZATION and not member.share_organization(row.team):
        yield f"In no team of the organization {row.team.organization.slug}."


def _plural(judged: Policy) -> str:
    return str(judged.model._meta.verbose_name_plural)  # noqa: SLF001 -- documented Django API
