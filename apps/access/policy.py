"""The one judge: who may do what with which object. Every door and every service asks here.

A policy is declared once per model in its app's `policies.py`. Lists and single objects are judged by the same
conditions, so they cannot disagree:

- the owner, and a platform admin who acts as one, hold every role; an auditor may read;
- a member of the object's team holds the role of the membership, unless the object is private;
- visibility "organization" and "public" let others view;
- a grant (one row per subject and object) gives its role.

A token narrows its user: the action must be in its scopes, and a token bound to one object reaches that object only.
Auditors, and an admin who sees the platform as somebody else, change nothing.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Case, Model, Q, QuerySet, Value, When

from apps.access import grants
from apps.access.choices import ADMIN_SCOPE, Visibility
from apps.access.decision import Decision, Role
from apps.access.memberships import memberships_of
from apps.core.errors import InsufficientScope, NotAllowed, NotAuthenticated, NotFound

if TYPE_CHECKING:
    from apps.access.principal import Principal

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Policy:
    """`actions` maps each action to the least role; `via` names the relation to the owned row that is judged.

    `rule` replaces the role model for the few models that have no owner (a team, a cluster): it returns the
    condition under which `principal` holds `role`.
    """

    model: type[Model]
    actions: Mapping[str, Role]
    via: str = ""
    rule: Any = None  # Callable[[Principal, Role], Q] | None
    scope: str = ""  # name in token scopes; default: the model's name
    writes: frozenset[str] = frozenset()  # actions that a viewer may do and that are more than reading
    is_personal: bool = False  # part of one's own account, which also who changes nothing else keeps in order

    @property
    def name(self) -> str:
        return self.scope or str(self.model._meta.model_name)  # noqa: SLF001 -- documented Django API

    def minimum(self, action: str) -> Role:
        """Return the least role for `action`. Raises: LookupError for an undeclared action, which is a bug."""
        try:
            return self.actions[action]
        except KeyError:
            msg = f"{self.model.__name__} declares no action {action!r}"
            raise LookupError(msg) from None

    def is_read(self, action: str) -> bool:
        return self.minimum(action) is Role.VIEWER and action not in self.writes

    def scope_of(self, action: str) -> str:
        return f"{self.name}:{action}"


_policies: dict[type[Model], Policy] = {}


def register(policy: Policy) -> None:
    """Declare a model's policy; once per model, in `AppConfig.ready`."""
    _policies[policy.model] = policy


def registered() -> Iterable[Policy]:
    return _policies.values()


def policy_for(model: type[Model]) -> Policy:
    """Return the policy of `model`. Raises: LookupError when none was declared (deny by default)."""
    concrete = model._meta.concrete_model or model  # noqa: SLF001 -- documented Django API
    try:
        return _policies[concrete]
    except KeyError:
        msg = f"{model.__name__} has no policy"
        raise LookupError(msg) from None


def all_scopes() -> list[str]:
    """List every scope a token can carry, generated from the declared policies."""
    return [
        "all",
        "read",
        ADMIN_SCOPE,
        *sorted({p.scope_of(action) for p in _policies.values() for action in p.actions}),
    ]


def visible(queryset: QuerySet[M], principal: "Principal", action: str) -> QuerySet[M]:
    """Keep the rows on which `principal` may do `action`. Nobody sees nothing.

    Who sees the platform as somebody else is offered what that person would be; what is done is refused by `require`.
    """
    policy = policy_for(queryset.model)
    role = policy.minimum(action)
    if not _is_active(principal):
        return queryset.none()
    if not _scope_allows(principal, policy, action) or _refused_as_write(in_person(principal), policy, action):
        return queryset.none()
    if (bound := _bound_condition(principal, policy)) is not None:
        queryset = queryset.filter(bound)
    if principal.is_superuser or getattr(principal, "is_system", False):
        return queryset
    if _is_auditor(principal) and role is Role.VIEWER:
        return queryset
    return queryset.filter(_condition(policy, principal, role))


def decide(principal: "Principal", action: str, obj: Model) -> Decision:
    """Judge one object, with the reason."""
    policy = policy_for(type(obj))
    needed = policy.minimum(action)
    if getattr(principal, "is_system", False):
        return Decision(allowed=True, reason="the platform itself")
    if not _is_active(principal):
        return Decision(allowed=False, reason="You are not logged in.", visible=False)
    held = role_of(principal, obj, policy)
    if held is Role.NONE:
        return Decision(allowed=False, reason="You may not see this.", visible=False)
    if not _scope_allows(principal, policy, action):
        scope = policy.scope_of(action)
        return Decision(allowed=False, reason=f"The token lacks the scope {scope}.", missing_scope=scope)
    reason = f"You are {held.word} of this {policy.model._meta.verbose_name}"  # noqa: SLF001 -- documented Django API
    too_low = f"{reason}; {action.replace('_', ' ')} needs {needed.word}." if held < needed else ""
    refusal = _refused_as_write(principal, policy, action) or too_low
    return Decision(allowed=not refusal, reason=refusal or f"{reason}.")


def in_person(principal: Any) -> Any:
    """Return the person whose eyes are borrowed as he himself would be judged: for what is shown, never what is done."""
    if not _is_seen(principal):
        return principal
    person = copy.copy(principal)
    person.seen_by = None
    return person


def can(principal: "Principal", action: str, obj: Model) -> bool:
    return decide(principal, action, obj).allowed


def require(principal: "Principal", action: str, obj: Model) -> None:
    """Let pass, or raise NotFound (may not see it), InsufficientScope or NotAllowed (with the reason)."""
    decision = decide(principal, action, obj)
    if decision.allowed:
        return
    if not decision.visible:
        raise NotFound
    if decision.missing_scope:
        raise InsufficientScope(decision.reason, need=[decision.missing_scope])
    raise NotAllowed(decision.reason)


def require_active(principal: "Principal", scope: str = "") -> None:
    """Let pass an active person whose token, if any, carries `scope`: for actions that have no object yet."""
    if getattr(principal, "is_system", False):
        return
    if not _is_active(principal):
        msg = "Log in first."
        raise NotAuthenticated(msg)
    token = getattr(principal, "token", None)
    if scope and token is not None and (token.bound_to or not _carries(token.scopes, scope, is_read=False)):
        msg = f"The token lacks the scope {scope}."
        raise InsufficientScope(msg, need=[scope])
    if (
        scope
        and principal.changes_nothing
        and (_is_seen(principal) or scope.partition(":")[0] not in _personal_scopes())
    ):
        raise NotAllowed(principal.changes_nothing)


def require_admin(principal: "Principal") -> None:
    """Let pass the platform itself and an admin who acts as one. Raises: NotAllowed."""
    if getattr(principal, "is_system", False) or (_is_active(principal) and principal.is_superuser):
        return
    msg = "Only an admin may do this, and only while he acts as one."
    raise NotAllowed(msg)


def role_of(principal: "Principal", obj: Model, policy: Policy | None = None) -> Role:
    """Return the highest role `principal` holds on `obj`, by the very conditions that filter lists.

    The columns of an owned object are judged as they were loaded; only grants, and rules, ask the database.
    """
    policy = policy or policy_for(type(obj))
    rows = policy.model._default_manager.filter(pk=obj.pk)  # noqa: SLF001 -- generic code
    if (bound := _bound_condition(principal, policy)) is not None and not rows.filter(bound).exists():
        return Role.NONE
    if principal.is_superuser:
        return Role.MANAGER
    least = Role.VIEWER if _is_auditor(principal) else Role.NONE
    if policy.rule is None:
        return max(least, _role_by_columns(principal, _owned(obj, policy)))
    ladder = [When(_condition(policy, principal, role), then=Value(role.value)) for role in reversed(Role) if role]
    held = rows.annotate(held=Case(*ladder, default=Value(0))).values_list("held", flat=True).first()
    return max(least, Role(held or 0))


def _owned(obj: Model, policy: Policy) -> Any:
    for name in filter(None, policy.via.split("__")):
        obj = getattr(obj, name)
    return obj


def _role_by_columns(principal: "Principal", owned: Any) -> Role:
    """Judge owner, team and visibility in Python: the mirror of `_condition`, compared with it by tests."""
    if owned.owner_id == principal.pk:
        return Role.MANAGER
    member = memberships_of(principal)
    role = Role.NONE
    if owned.visibility != Visibility.PRIVATE:
        role = member.roles.get(owned.team_id, Role.NONE)
    in_organization = owned.visibility == Visibility.ORGANIZATION and owned.team_id in member.organization_teams
    if owned.visibility == Visibility.PUBLIC or in_organization:
        role = max(role, Role.VIEWER)
    return role if role is Role.MANAGER else max(role, grants.role_by_grant(owned, principal))


def _is_active(principal: "Principal") -> bool:
    return bool(getattr(principal, "is_authenticated", False) and principal.is_active)


def _condition(policy: Policy, principal: "Principal", role: Role) -> Q:
    if policy.rule is not None:
        condition: Q = policy.rule(principal, role)
        return condition
    prefix = f"{policy.via}__" if policy.via else ""
    member = memberships_of(principal)
    condition = Q(**{f"{prefix}owner_id": principal.pk})
    if teams := member.teams_with(role):
        shared = [Visibility.TEAM, Visibility.ORGANIZATION, Visibility.PUBLIC]
        condition |= Q(**{f"{prefix}team_id__in": teams, f"{prefix}visibility__in": shared})
    if role is Role.VIEWER:
        condition |= Q(**{f"{prefix}visibility": Visibility.PUBLIC})
        if siblings := member.organization_teams:
            condition |= Q(**{f"{prefix}team_id__in": siblings, f"{prefix}visibility": Visibility.ORGANIZATION})
    return condition | grants.condition(_owned_model(policy), principal, role, prefix)


def _owned_model(policy: Policy) -> type[Model]:
    model = policy.model
    for name in filter(None, policy.via.split("__")):
        model = model._meta.get_field(name).related_model  # type: ignore[assignment] # noqa: SLF001 -- walks foreign keys
    return model


def _scope_allows(principal: "Principal", policy: Policy, action: str) -> bool:
    token = getattr(principal, "token", None)
    return token is None or _carries(token.scopes, policy.scope_of(action), is_read=policy.is_read(action))


def _refused_as_write(principal: "Principal", policy: Policy, action: str) -> str:
    """Say why one who changes nothing may not do `action`, or ""."""
    if not principal.changes_nothing or policy.is_read(action):
        return ""
    return "" if policy.is_personal and not _is_seen(principal) else str(principal.changes_nothing)


def _is_auditor(principal: "Principal") -> bool:
    return getattr(principal, "is_auditor", False)


def _is_seen(principal: "Principal") -> bool:
    return getattr(principal, "seen_by", None) is not None


def _personal_scopes() -> set[str]:
    return {policy.name for policy in _policies.values() if policy.is_personal}


def _carries(scopes: Iterable[str], scope: str, *, is_read: bool) -> bool:
    held = set(scopes)
    return not held.isdisjoint({"all", ADMIN_SCOPE, scope}) or (is_read and "read" in held)


def _bound_condition(principal: "Principal", policy: Policy) -> Q | None:
    """Return what a bound token (a run's own) may reach: its object, and what is judged through it."""
    token = getattr(principal, "token", None)
    if token is None or not token.bound_to:
        return None
    kind, _, pk = token.bound_to.partition(":")
    owned = _owned_model(policy)._meta.model_name  # noqa: SLF001 -- documented Django API
    if owned != kind:
        return Q(pk__in=[])
    return Q(**{policy.via or "pk": pk})
