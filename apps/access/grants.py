"""Exceptions to the columns: "also share with dana, as editor". One row per subject and object, carrying the role.

django-guardian's direct-foreign-key tables hold them, so that deleting a subject or an object removes its grants.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Case, Model, Q, Value, When
from django.db.models.functions import Now
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from apps.access import remembered
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


_MOST_KEPT = 1000
_ROLES = {codename(role): role for role in Role if role is not Role.NONE}


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
    remembered.forget()
    return row


def revoke(subject: Any, obj: Model) -> None:
    rows, key = _rows(type(obj), subject)
    rows.filter(content_object=obj, **{key: subject}).delete()
    remembered.forget()


def live() -> Q:
    """Keep grants that have not expired, by the database's clock."""
    return Q(expires_at=None) | Q(expires_at__gt=Now())


def few_held_by(principal: "Principal", model: type[Model]) -> list[tuple[Any, Role]] | None:
    """List the objects of `model` that live grants give, with the role, which may be remembered; one may come twice.

    None when there are too many to keep them.
    """

    def read() -> list[tuple[Any, Role]] | None:
        rows = _read(principal, model, limit=_MOST_KEPT + 1)
        return None if len(rows) > _MOST_KEPT else [(pk, _ROLES[name]) for pk, name in rows]

    memory = remembered.of(principal)
    return memory.ask(model, read) if memory else read()


def reaching(principal: "Principal", model: type[Model], role: Role) -> tuple[str, list[Any]]:
    """Return a statement, with its parameters, that selects the keys of what live grants of at least `role` give."""
    is_any = role is Role.VIEWER  # every grant gives at least that
    chosen: list[Any] = [] if is_any else [[codename(held) for held in Role if held >= role]]
    return _selecting(model, is_any=is_any), [principal.pk, *chosen] * 2


def role_by_grant(obj: Model, principal: "Principal") -> Role:
    """Return the highest role that a grant gives `principal` on `obj`."""
    if remembered.of(principal) and (known := few_held_by(principal, type(obj))) is not None:
        return max((role for pk, role in known if pk == obj.pk), default=Role.NONE)
    return max((_ROLES[name] for _, name in _read(principal, type(obj), pk=obj.pk)), default=Role.NONE)


def _read(principal: "Principal", model: type[Model], *, pk: Any = None, limit: int | None = None) -> list[Any]:
    """Read the object and the permission's name of each live grant that reaches `principal`: by hand, as all ask it."""
    with connection.cursor() as cursor:
        cursor.execute(_reading(model, of_one=pk is not None), {"user": principal.pk, "pk": pk, "limit": limit})
        rows: list[Any] = cursor.fetchall()
    return rows


@cache
def _reading(model: type[Model], *, of_one: bool) -> str:
    where = "g.content_object_id = %(pk)s AND " if of_one else ""
    select = f"SELECT g.content_object_id, p.codename FROM {{table}} g JOIN auth_permission p ON p.id = g.permission_id WHERE {where}"  # noqa: S608 -- names of tables
    return f"{_reached(model, select, '%(user)s')} LIMIT %(limit)s"


@cache
def _selecting(model: type[Model], *, is_any: bool) -> str:
    chosen = (
        "" if is_any else " AND g.permission_id = ANY(ARRAY(SELECT id FROM auth_permission WHERE codename = ANY(%s)))"
    )
    return _reached(model, "SELECT g.content_object_id FROM {table} g WHERE ", "%s", chosen)


def _reached(model: type[Model], select: str, user: str, also: str = "") -> str:
    """Return `select` of the live grants that a person has himself, and through his groups."""
    through: Any = get_user_model().groups.through
    users, groups, own = (
        connection.ops.quote_name(table._meta.db_table)  # noqa: SLF001 -- documented Django API
        for table in (_users(model).model, _groups(model).model, through)
    )
    live_now = f"(g.expires_at IS NULL OR g.expires_at > statement_timestamp()){also}"
    mine = f"g.group_id = ANY(ARRAY(SELECT group_id FROM {own} WHERE user_id = {user}))"  # noqa: S608 -- names of tables
    by_user = f"{select.format(table=users)}g.user_id = {user} AND {live_now}"
    return f"{by_user} UNION ALL {select.format(table=groups)}{mine} AND {live_now}"


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


def ended_before(moment: datetime, model: type[Model], *, most: int) -> list[tuple[Any, Any]]:
    """List (object, subject) of at most `most` grants on objects of `model` that expired before `moment`."""
    return [
        (row.content_object, getattr(row, key))
        for rows, key in ((_users(model), "user"), (_groups(model), "group"))
        for row in rows.filter(expires_at__lt=moment).select_related(key, "content_object").order_by("pk")[:most]
    ][:most]


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
