"""The quota tree: its nodes, and where they hang."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_rows
from apps.quotas import statements
from apps.quotas.choices import HOLDERS, NodeKind
from apps.quotas.models import QuotaDefault, QuotaLimit, QuotaNode, Reservation, Resource
from apps.quotas.services.limits import ceiling_of, set_limit
from apps.teams.models import Team


def platform_node() -> QuotaNode:
    return ensure_node(NodeKind.PLATFORM, "platform", name="platform")


def ensure_node(
    kind: NodeKind, key: str, *, name: str, parent: QuotaNode | None = None, limits: Mapping[str, int] | None = None
) -> QuotaNode:
    """Return the node `key`, creating it with the given limits, or with the defaults of its kind. Idempotent."""
    known = QuotaNode.objects.filter(key=key).first()
    return known or _create_node(kind, key, name, parent, limits)


@transaction.atomic
def _create_node(
    kind: NodeKind, key: str, name: str, parent: QuotaNode | None, limits: Mapping[str, int] | None
) -> QuotaNode:
    above = list(parent.path) if parent else []
    facts: dict[str, Any] = {"kind": kind, "name": name[:150], "parent": parent, "depth": len(above), "path": []}
    node, created = QuotaNode.objects.get_or_create(key=key, defaults=facts)
    if created:
        node.path = [*above, node.pk]
        node.save(update_fields=["path"])
        chosen = _defaults(kind) if limits is None else limits
        rows = [
            QuotaLimit(node=node, resource=resource, limit=chosen.get(resource), ceiling=chosen.get(resource))
            for resource in sorted({*Resource.objects.names(), *chosen})
        ]
        QuotaLimit.objects.bulk_create(rows)
    return node


def _defaults(kind: str) -> dict[str, int | None]:
    chosen = QuotaDefault.objects.filter(kind=kind).values_list("resource", "limit")
    return {**settings.QUOTA_DEFAULTS.get(kind, {}), **dict(chosen)}


def leaf_of(user: Any, team: Team | None) -> QuotaNode:
    """Return the leaf of the quota tree that pays for what `user` does in `team`, or for his own."""
    key = f"user:{user.pk}" if team is None else f"team:{team.pk}/user:{user.pk}"
    if (known := QuotaNode.objects.filter(key=key).first()) is not None:
        return known
    platform = platform_node()
    if team is None:
        return ensure_node(NodeKind.USER, key, name=user.username, parent=platform)
    organization = team.organization
    top = ensure_node(NodeKind.ORGANIZATION, f"org:{organization.pk}", name=organization.name, parent=platform)
    middle = ensure_node(NodeKind.TEAM, f"team:{team.pk}", name=team.name, parent=top)
    return ensure_node(NodeKind.USER, key, name=f"{user.username} in {team.name}", parent=middle)


@transaction.atomic
def create_group(name: str, parent: QuotaNode, *, by: Any, reason: str = "") -> QuotaNode:
    """Put a node of an admin's own between others: a department, a grant. Audited. Raises: NotAllowed, Invalid."""
    policy.require_admin(by)
    if not name.strip() or parent.kind not in HOLDERS:
        raise Invalid(errors={"name": ["A name, below the platform, an organization, a team or another group."]})
    key = f"group:{parent.pk}:{name.strip().lower()[:80]}"
    if QuotaNode.objects.filter(key=key).exists():
        raise Invalid(errors={"name": ["There is a group of that name."]})
    node = ensure_node(NodeKind.GROUP, key, name=name.strip(), parent=parent)
    audit.record("create", node, by=by, reason=reason, parent=str(parent))
    return node


@transaction.atomic
def move_node(node: QuotaNode, parent: QuotaNode, *, by: Any, reason: str) -> None:
    """Hang a node, with all below it, under another one. What it holds counts there from now on, and stops nothing.

    LOCKING: the limit rows of everything above, before and after, in the one order. Audited.
    Raises: NotAllowed, Invalid when the new place is below itself, or is no place for it; Conflict when it moved meanwhile.
    """
    policy.require_admin(by)
    if node.parent_id is None or node.pk in parent.path or parent.kind not in HOLDERS:
        raise Invalid(errors={"parent": ["A group, team, organization or the platform, not below itself."]})
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    before, after = set(node.path[:-1]), set(parent.path)
    names = list(QuotaLimit.objects.filter(node=node).values_list("resource", flat=True))
    with connection.cursor() as cursor:  # whatever is held here has a row there
        cursor.execute(statements.COMPLETE, {"nodes": sorted(after), "resources": names})
    rows = lock_rows(QuotaLimit.objects.filter(node_id__in=before ^ after), order=("node_id", "resource"))
    if QuotaNode.objects.values_list("path", flat=True).get(pk=node.pk) != node.path:
        msg = "It was moved meanwhile."
        raise Conflict(msg)
    live = lock_rows(Reservation.objects.filter(released_at=None, node_ids__contains=[node.pk]), no_key=False)
    for row in rows:
        held = sum(one.amounts.get(row.resource, 0) for one in live)
        row.used += held if row.node_id in after else -held
        row.ceiling = ceiling_of(row)
    QuotaLimit.objects.bulk_update(rows, ["used", "ceiling"])
    for one in live:
        one.node_ids = [*parent.path, *(pk for pk in one.node_ids if pk not in before)]
    Reservation.objects.bulk_update(live, ["node_ids"])
    QuotaNode.objects.filter(pk=node.pk).update(parent=parent)
    with connection.cursor() as cursor:
        cursor.execute(_REHANG, {"node": node.pk, "above": parent.path, "shift": len(node.path) - 1})
    audit.record("move", node, by=by, reason=reason, before=str(node.parent), after=str(parent))
    node.refresh_from_db()


_REHANG = """
    UPDATE quotas_quotanode SET path = %(above)s::bigint[] || path[%(shift)s + 1:],
           depth = cardinality(%(above)s::bigint[]) + cardinality(path) - %(shift)s - 1
     WHERE path @> ARRAY[%(node)s]::bigint[]
"""


def set_weight(node: QuotaNode, weight: int, *, by: Any, reason: str = "") -> None:
    """Change a node's share among its siblings. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "manage", node)
    if weight < 1:
        raise Invalid(errors={"weight": ["At least 1."]})
    before = node.weight
    QuotaNode.objects.filter(pk=node.pk).exclude(weight=weight).update(weight=weight)
    audit.record("set_weight", node, by=by, reason=reason, before=before, after=weight)
    node.weight = weight


@transaction.atomic
def set_share(node: QuotaNode, limits: Mapping[str, int | None], *, weight: int, by: Any, reason: str) -> None:
    """Change what a member has of his team's share: some limits and the weight, all or none. Each is audited.

    Raises: NotAllowed, Invalid by resource, for the weight, or without a reason.
    """
    policy.require(by, "manage", node)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    for resource in sorted(limits):  # LOCKING: in the one order of limit rows
        try:
            set_limit(node, resource, limits[resource], by=by, reason=reason)
        except Invalid as refusal:
            raise Invalid(errors={resource: refusal.errors.get("limit", [refusal.detail])}) from refusal
    if weight != node.weight:
        set_weight(node, weight, by=by, reason=reason)
