"""The one judge: who may do what with which object. Every door and every service asks here.

A policy is declared once per model in its app's `policies.py`. Lists and single objects are judged by the same
conditions, so they cannot disagree:

- the owner, and a platform admin who acts as one, hold every role; an auditor may read;
- a member of the object's team holds the role of the membership, unless the object is private;
- visibility "organization" and "public" let others view;
- a grant (one row per subject and object) gives its role.

A token narrows its user: the action must be in its scopes, and a token bound to one object reaches that object only, and
what the policies say is reached from it.
Auditors, and an admin who sees the platform as somebody else, change nothing.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Case, Model, Q, QuerySet, Value, When

from apps.access import grants, remembered
from apps.access.choices import ADMIN_SCOPE, Visibility
from apps.access.conditions import Among, OwnedOrShared
from apps.access.decision import Decision, Role
from apps.access.memberships import memberships_of
from apps.audit.services import refused
from apps.core.errors import DomainError, InsufficientScope, NotAllowed, NotAuthenticated, NotFound

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
    not_for_admins: frozenset[str] = frozenset()  # actions for which being a platform admin counts nothing
    # Which rows a token that is bound to one object reaches besides: by the kind of that object, the relation from the
    # owned row to it; "" reaches all that the person himself may.
    reached_from: Mapping[str, str] = field(default_factory=dict)

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
    return holding(queryset, principal, role, as_admin=action not in policy.not_for_admins)


def holding(queryset: QuerySet[M], principal: "Principal", role: Role, *, as_admin: bool = True) -> QuerySet[M]:
    """Keep the rows on which `principal` holds at least `role`, whatever the scopes of his token."""
    policy = policy_for(queryset.model)
    if not _is_active(principal):
        return queryset.none()
    if (bound := _bound_condition(principal, policy)) is not None:
        queryset = queryset.filter(bound)
    if (principal.is_superuser and as_admin) or getattr(principal, "is_system", False):
        return queryset
    if _is_auditor(principal) and role is Role.VIEWER:
        return queryset
    return queryset.filter(_condition(policy, principal, role))


def find(queryset: QuerySet[M], principal: "Principal", **lookup: Any) -> M:
    """Return the one row of `queryset` that `lookup` names, if `principal` may view it.

    An owned row is judged once it is loaded, which costs a fraction of a condition. Raises: the model's DoesNotExist.
    """
    if policy_for(queryset.model).rule is not None:
        return visible(queryset, principal, "view").get(**lookup)
    found = queryset.get(**lookup)
    if not decide(principal, "view", found).allowed:
        raise queryset.model.DoesNotExist  # type: ignore[attr-defined]  # every model has its own
    return found


def decide(principal: "Principal", action: str, obj: Model) -> Decision:
    """Judge one object, with the reason. What was remembered may only let pass: before a no it is read afresh."""
    decision = _decide(principal, action, obj)
    if not decision.allowed and remembered.set_aside(principal):
        decision = _decide(principal, action, obj)
    return decision


def _decide(principal: "Principal", action: str, obj: Model) -> Decision:
    policy = policy_for(_model_of(obj))
    needed = policy.minimum(action)
    if getattr(principal, "is_system", False):
        return Decision(allowed=True, reason="the platform itself")
    if not _is_active(principal):
        return Decision(allowed=False, reason="You are not logged in.", visible=False)
    held = role_of(principal, obj, policy, enough=needed)
    if held is Role.NONE:
        return Decision(allowed=False, reason="You may not see this.", visible=False)
    if not _scope_allows(principal, policy, action):
        scope = policy.scope_of(action)
        return Decision(allowed=False, reason=f"The token lacks the scope {scope}.", missing_scope=scope)
    if action in policy.not_for_admins and principal.is_superuser:
        held = role_of(principal, obj, policy, as_admin=False, enough=needed)
    role = held.word if held else "admin, which does not count here, but nothing else"
    reason = f"You are {role} of this {policy.model._meta.verbose_name}"  # noqa: SLF001 -- documented Django API
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
    error: DomainError = NotAllowed(decision.reason)
    if not decision.visible:
        error = NotFound()
    elif decision.missing_scope:
        error = InsufficientScope(decision.reason, need=[decision.missing_scope])
    raise refused(principal, action, obj, error)


def require_active(principal: "Principal", scope: str = "") -> None:
    """Let pass an active person whose token, if any, carries `scope`: for actions that have no object yet."""
    if getattr(principal, "is_system", False):
        return
    if not _is_active(principal):
        msg = "Log in first."
        raise NotAuthenticated(msg)
    token = getattr(principal, "token", None)
    if scope and token is not None and not (_opens(token, scope) and _carries(token.scopes, scope, is_read=False)):
        msg = f"The token lacks the scope {scope}."
        raise refused(principal, scope, "", InsufficientScope(msg, need=[scope]))
    is_own = scope.partition(":")[0] in _personal_scopes() and not _is_seen(principal)
    if scope and principal.changes_nothing and not is_own:
        raise refused(principal, scope, "", NotAllowed(principal.changes_nothing))


def require_admin(principal: "Principal") -> None:
    """Let pass the platform itself and an admin who acts as one. Raises: NotAllowed."""
    if getattr(principal, "is_system", False) or (_is_active(principal) and principal.is_superuser):
        return
    msg = "Only an admin may do this, and only while he acts as one."
    raise refused(principal, "act_as_admin", "", NotAllowed(msg))


def require_scope(principal: "Principal", model: type[Model], action: str) -> None:
    """Let pass whoever's token, if any, may do `action` on rows of `model`. Raises: InsufficientScope."""
    policy = policy_for(model)
    token = getattr(principal, "token", None)
    if token is not None and (token.bound_to or not _scope_allows(principal, policy, action)):
        scope = policy.scope_of(action)
        msg = f"The token lacks the scope {scope}."
        raise refused(principal, scope, "", InsufficientScope(msg, need=[scope]))


def role_of(
    principal: "Principal",
    obj: Model,
    policy: Policy | None = None,
    *,
    as_admin: bool = True,
    enough: Role = Role.MANAGER,
) -> Role:
    """Return the highest role `principal` holds on `obj`, by the very conditions that filter lists.

    The columns of an owned object are judged as they were loaded; only grants, and rules, ask the database. It looks no
    further once it has found a role that is `enough`.
    """
    policy = policy or policy_for(_model_of(obj))
    bound = _bound_condition(principal, policy)
    if bound is not None and not _row(policy, obj).filter(bound).exists():
        return Role.NONE
    if principal.is_superuser and as_admin:
        return Role.MANAGER
    least = Role.VIEWER if _is_auditor(principal) else Role.NONE
    if policy.rule is None:
        return max(least, _role_by_columns(principal, owned(obj, policy), enough))
    ladder = [When(_condition(policy, principal, role), then=Value(role.value)) for role in reversed(Role) if role]
    held = _row(policy, obj).annotate(held=Case(*ladder, default=Value(0))).values_list("held", flat=True).first()
    return max(least, Role(held or 0))


def _row(policy: Policy, obj: Model) -> QuerySet[Any]:
    return policy.model._default_manager.filter(pk=obj.pk)  # noqa: SLF001 -- generic code


def role_to_give(principal: "Principal", obj: Model) -> Role:
    """Return the highest role on `obj` that `principal` may give to others: the one he holds.

    SECURITY: what an admin may not do as one (`not_for_admins`) he gives to nobody either, who could be himself.
    """
    policy = policy_for(_model_of(obj))
    if getattr(principal, "is_system", False):
        return Role.MANAGER
    if not (principal.is_superuser and policy.not_for_admins):
        return role_of(principal, obj, policy)
    withheld = min(policy.minimum(action) for action in policy.not_for_admins)
    below = max(role for role in Role if role < withheld)
    return max(below, role_of(principal, obj, policy, as_admin=False))


def require_to_give(principal: "Principal", obj: Model) -> None:
    """Let pass who may hand `obj` to an owner, or to a team with the role of each one in it. Raises: NotAllowed."""
    if role_to_give(principal, obj) is not Role.MANAGER:
        msg = "Being an admin does not let one use it, nor let others: its owner or a manager hands it on."
        raise refused(principal, "share", obj, NotAllowed(msg))


def _model_of(obj: Model) -> type[Model]:
    """Return the model, also of an object that is loaded only when it is looked at: a request's user."""
    return obj._meta.model  # noqa: SLF001 -- documented Django API


def owned(obj: Model, policy: Policy | None = None) -> Any:
    """Return the row whose owner, team, visibility and grants judge `obj`: itself, or what its policy goes through."""
    policy = policy or policy_for(_model_of(obj))
    for name in filter(None, policy.via.split("__")):
        obj = getattr(obj, name)
    return obj


def is_reached(principal: "Principal", obj: Model) -> bool:
    """Return whether the token of `principal`, if it is bound to one object, reaches `obj`."""
    policy = policy_for(type(obj))
    bound = _bound_condition(principal, policy)
    return bound is None or policy.model._default_manager.filter(bound, pk=obj.pk).exists()  # noqa: SLF001 -- generic code


def _role_by_columns(principal: "Principal", row: Any, enough: Role) -> Role:
    """Judge owner, team and visibility in Python: the mirror of `_condition`, compared with it by tests."""
    if row.owner_id == principal.pk:
        return Role.MANAGER
    member = memberships_of(principal)
    role = Role.NONE
    if row.visibility != Visibility.PRIVATE:
        role = member.roles.get(row.team_id, Role.NONE)
    if role < enough:
        in_organization = row.visibility == Visibility.ORGANIZATION and member.share_organization(row.team)
        if row.visibility == Visibility.PUBLIC or in_organization:
            role = max(role, Role.VIEWER)
    return role if role >= enough else max(role, grants.role_by_grant(row, principal))


def _is_active(principal: "Principal") -> bool:
    return bool(getattr(principal, "is_authenticated", False) and principal.is_active)


def _condition(policy: Policy, principal: "Principal", role: Role) -> Q:
    if policy.rule is not None:
        condition: Q = policy.rule(principal, role)
        return condition
    memory = remembered.of(principal)
    if memory is None:
        return _owned_or_shared(policy, principal, role)
    return memory.ask((policy.model, role), lambda: _owned_or_shared(policy, principal, role))


def _owned_or_shared(policy: Policy, principal: "Principal", role: Role) -> Q:
    prefix, model = f"{policy.via}__" if policy.via else "", _owned_model(policy)
    member = memberships_of(principal)
    return Q(
        OwnedOrShared(
            principal.pk,
            prefix=prefix,
            teams=member.with_role(role),
            siblings=member.siblings if role is Role.VIEWER else None,
            granted=grants.reaching(principal, model, role),
        )
    )


def shared_with(queryset: QuerySet[M], principal: "Principal") -> QuerySet[M]:
    """Keep the rows that a grant gives to `principal`, himself or through a group; those he owns are not among them."""
    policy = policy_for(queryset.model)
    prefix = f"{policy.via}__" if policy.via else ""
    granted = grants.reaching(principal, _owned_model(policy), Role.VIEWER)
    return queryset.filter(Among(f"{prefix}pk", granted)).exclude(**{f"{prefix}owner_id": principal.pk})


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


def bound_pk(principal: "Principal", model: type[Model]) -> str:
    """Return the key of the row of `model` that the token of `principal` is bound to, or ""."""
    kind, _, pk = (getattr(getattr(principal, "token", None), "bound_to", "") or "").partition(":")
    return pk if kind == model._meta.model_name else ""  # noqa: SLF001 -- documented Django API


def _opens(token: Any, scope: str) -> bool:
    """Return whether something new may be made with a token, which may be bound: of what that reaches whole."""
    kind, name = token.bound_to.partition(":")[0], scope.partition(":")[0]
    return not kind or any(policy.reached_from.get(kind) == "" for policy in _policies.values() if policy.name == name)


def _bound_condition(principal: "Principal", policy: Policy) -> Q | None:
    """Return what a bound token (a run's own) may reach: its object, what is judged through it, what is reached from it."""
    token = getattr(principal, "token", None)
    if token is None or not token.bound_to:
        return None
    kind, _, pk = token.bound_to.partition(":")
    owned = _owned_model(policy)
    condition = Q(**{policy.via or "pk": pk}) if owned._meta.model_name == kind else Q(pk__in=[])  # noqa: SLF001 -- as above
    relation = policy_for(owned).reached_from.get(kind)
    if relation is None:
        return condition
    return condition | Q(**{f"{policy.via}__{relation}" if policy.via else relation: pk}) if relation else None
