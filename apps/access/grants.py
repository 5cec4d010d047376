"""Exceptions to the columns: "also share with dana, as editor". One row per subject and object, carrying the role.

django-guardian's direct-foreign-key tables hold them, so that deleting a subject or an object removes its grants.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Case, Model, Q, Value, When
from django.db.models.functions import Now
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from apps.access.decision import Role

if TYPE_CHECKING:
    from apps.access.principal import Principal


@dataclass(frozen=True, slots=True)
class Held:
    """One grant, as it is told: to a person or to a group, until when and by whom."""

    role: Role
    user: Any
    group: Group | None
    expires_at: datetime | None
    granted_by: Any
    created_at: datetime
    is_live: bool


def codename(role: Role) -> str:
    return f"hold_{role.word}"


def permissions() -> list[tuple[str, str]]:
    """Return the permissions every owned model declares in its Meta."""
    return [(codename(role), f"Hold the role {role.word}") for role in Role if role is not Role.NONE]


def grant(subject: Any, obj: Model, role: Role, *, expires_at: datetime | None = None, by: Any = None) -> Any:
    """Give `subject` (a user or a group) `role` on `obj` until `expires_at`, replacing what it held; return the row."""
    rows, key = _rows(type(obj), subject)
    content_type = ContentType.objects.get_for_model(type(obj))
    permission = Permission.objects.get(content_type=content_type, codename=codename(role))
    facts = {"permission": permission, "expires_at": expires_at, "granted_by_id": getattr(by, "pk", None)}
    row, _ = rows.update_or_create(content_object=obj, **{key: subject}, defaults=facts)
    return row


def revoke(subject: Any, obj: Model) -> None:
    rows, key = _rows(type(obj), subject)
    rows.filter(content_object=obj, **{key: subject}).delete()


def live() -> Q:
    """Keep grants that have not expired, by the database's clock."""
    return Q(expires_at=None) | Q(expires_at__gt=Now())


def condition(model: type[Model], principal: "Principal", role: Role, prefix: str) -> Q:
    """Return the condition that a grant of at least `role` exists, as `pk IN (…)`, which stays fast in long lists."""
    users = _users(model)
    groups = _groups(model)
    chosen = live()
    if role > Role.VIEWER:  # every grant gives at least that
        chosen &= Q(permission__codename__in=[codename(held) for held in Role if held >= role])
    by_user = users.filter(chosen, user_id=principal.pk).values("content_object")
    by_group = groups.filter(chosen, group_id__in=_groups_of(principal)).values("content_object")
    return Q(**{f"{prefix}pk__in": by_user}) | Q(**{f"{prefix}pk__in": by_group})


def objects_granted_to(model: type[Model], principal: "Principal") -> list[Any]:
    """Return the ids of everything that a live grant gives to `principal`.

    Read at once: as a subquery beside the policy's own the planner would look through the whole table instead.
    """
    by_user = _users(model).filter(live(), user_id=principal.pk).values_list("content_object_id")
    by_group = _groups(model).filter(live(), group_id__in=_groups_of(principal)).values_list("content_object_id")
    return [pk for (pk,) in by_user.union(by_group)]


def role_by_grant(obj: Model, principal: "Principal") -> Role:
    """Return the highest role that a grant gives `principal` on `obj`."""
    users = _users(type(obj))
    groups = _groups(type(obj))
    by_user = users.filter(live(), user_id=principal.pk, content_object_id=obj.pk)
    by_group = groups.filter(live(), group_id__in=_groups_of(principal), content_object_id=obj.pk)
    held = by_user.values_list("permission__codename").union(by_group.values_list("permission__codename"))
    names = {name for (name,) in held}
    return max((role for role in Role if codename(role) in names), default=Role.NONE)


def held_on(obj: Model, principal: "Principal | None" = None) -> list[Held]:
    """List the grants on an owned object, or those of them that reach `principal`; expired ones are marked."""
    users, groups = _users(type(obj)).filter(content_object=obj.pk), _groups(type(obj)).filter(content_object=obj.pk)
    if principal is not None:
        users, groups = users.filter(user_id=principal.pk), groups.filter(group_id__in=_groups_of(principal))
    live_now = Case(When(live(), then=Value(1)), default=Value(0))
    return [
        _held(row, key)
        for rows, key in ((users, "user"), (groups, "group"))
        for row in rows.select_related(key, "permission", "granted_by").annotate(live_now=live_now).order_by("pk")
    ]


def _held(row: Any, key: str) -> Held:
    role = next(role for role in Role if codename(role) == row.permission.codename)
    user, group = (row.user, None) if key == "user" else (None, row.group)
    return Held(role, user, group, row.expires_at, row.granted_by, row.created_at, bool(row.live_now))


def _groups_of(principal: "Principal") -> Any:
    through: Any = get_user_model().groups.through
    return through.objects.filter(user_id=principal.pk).values("group_id")


def _users(model: type[Model]) -> Any:
    table: Any = get_user_obj_perms_model(cast("Any", model))
    return table.objects


def _groups(model: type[Model]) -> Any:
    table: Any = get_group_obj_perms_model(cast("Any", model))
    return table.objects


def _rows(model: type[Model], subject: Any) -> tuple[Any, str]:
    return (_groups(model), "group") if isinstance(subject, Group) else (_users(model), "user")
