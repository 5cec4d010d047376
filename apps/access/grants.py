"""Exceptions to the columns: "also share with dana, as editor". One row per subject and object, carrying the role.

django-guardian's direct-foreign-key tables hold them, so that deleting a subject or an object removes its grants.
"""

from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from apps.access.decision import Role

if TYPE_CHECKING:
    from apps.access.principal import Principal


def codename(role: Role) -> str:
    return f"hold_{role.word}"


def permissions() -> list[tuple[str, str]]:
    """Return the permissions every owned model declares in its Meta."""
    return [(codename(role), f"Hold the role {role.word}") for role in Role if role is not Role.NONE]


def grant(subject: Any, obj: Model, role: Role) -> None:
    """Give `subject` (a user or a group) `role` on `obj`, replacing what it held."""
    rows, key = _rows(type(obj), subject)
    content_type = ContentType.objects.get_for_model(type(obj))
    permission = Permission.objects.get(content_type=content_type, codename=codename(role))
    rows.filter(content_object=obj, **{key: subject}).exclude(permission=permission).delete()
    rows.get_or_create(content_object=obj, permission=permission, **{key: subject})


def revoke(subject: Any, obj: Model) -> None:
    rows, key = _rows(type(obj), subject)
    rows.filter(content_object=obj, **{key: subject}).delete()


def condition(model: type[Model], principal: "Principal", role: Role, prefix: str) -> Q:
    """Return the condition that a grant of at least `role` exists, as `pk IN (…)`, which stays fast in long lists."""
    names = [codename(held) for held in Role if held >= max(role, Role.VIEWER)]
    users = _users(model)
    groups = _groups(model)
    chosen = {"permission__codename__in": names}
    by_user = users.filter(user_id=principal.pk, **chosen).values("content_object")
    by_group = groups.filter(group__user=principal.pk, **chosen).values("content_object")
    return Q(**{f"{prefix}pk__in": by_user}) | Q(**{f"{prefix}pk__in": by_group})


def role_by_grant(obj: Model, principal: "Principal") -> Role:
    """Return the highest role that a grant gives `principal` on `obj`."""
    users = _users(type(obj))
    groups = _groups(type(obj))
    by_user = users.filter(user_id=principal.pk, content_object_id=obj.pk)
    by_group = groups.filter(group__user=principal.pk, content_object_id=obj.pk)
    held = by_user.values_list("permission__codename").union(by_group.values_list("permission__codename"))
    names = {name for (name,) in held}
    return max((role for role in Role if codename(role) in names), default=Role.NONE)


def _users(model: type[Model]) -> Any:
    table: Any = get_user_obj_perms_model(cast("Any", model))
    return table.objects


def _groups(model: type[Model]) -> Any:
    table: Any = get_group_obj_perms_model(cast("Any", model))
    return table.objects


def _rows(model: type[Model], subject: Any) -> tuple[Any, str]:
    return (_groups(model), "group") if isinstance(subject, Group) else (_users(model), "user")
