"""Limits: who may hold how much at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Invalid, NeverFits
from apps.core.locks import lock_row
from apps.quotas.choices import BUILT_IN, NodeKind, in_units, words
from apps.quotas.models import QuotaLimit, QuotaNode, Resource

_KEEP: Any = object()
# A node, a resource, its limit; if a fourth is given, what may be borrowed: None keeps that as it is.
NewLimit = tuple[QuotaNode, str, int | None] | tuple[QuotaNode, str, int | None, int | None]


def ceiling_of(row: QuotaLimit) -> int | None:
    """Return what the database lets `used` be: the limit with what may be borrowed, or what is held already."""
    most = row.most
    return None if most is None else max(most, row.used)


@transaction.atomic
def set_limit(
    node: QuotaNode, resource: str, limit: int | None, *, by: Any, reason: str = "", borrow: int = _KEEP
) -> QuotaLimit:
    """Change a limit, in base units; None removes it. Lowering one below its use stops nothing, it only admits no more.

    `borrow` is how much may be held beyond the limit while siblings leave it unused. A maintainer hands out what his team
    has: not more than the team's own limit. Audited.
    Raises: NotAllowed, Invalid for a negative limit, or one beyond the team's own.
    """
    policy.require(by, "manage", node)
    if (limit is not None and limit < 0) or (borrow is not _KEEP and borrow < 0):
        raise Invalid(errors={"limit": ["Must not be negative."]})
    _require_own_share(node, resource, limit, 0 if borrow is _KEEP else borrow, by)
    QuotaLimit.objects.get_or_create(node=node, resource=resource)
    row = lock_row(QuotaLimit.objects.filter(node=node, resource=resource))
    before, borrowed = row.limit, row.borrow
    row.limit = limit
    row.borrow = row.borrow if borrow is _KEEP else borrow
    row.ceiling = ceiling_of(row)
    row.save(update_fields=["limit", "borrow", "ceiling"])
    lent = {} if row.borrow == borrowed else {"borrow_before": borrowed, "borrow": row.borrow}
    audit.record("set_limit", node, by=by, reason=reason, resource=resource, before=before, after=limit, **lent)
    return row


def _require_own_share(node: QuotaNode, resource: str, limit: int | None, borrow: int, by: Any) -> None:
    """Let an admin set any limit; anybody else none above what the node's parent may hold itself."""
    if getattr(by, "is_system", False) or by.is_superuser or node.parent is None:
        return
    most = QuotaLimit.objects.filter(node=node.parent, resource=resource).values_list("limit", flat=True).first()
    if most is not None and (limit is None or limit + borrow > most):
        have = f"{in_units(resource, most)} {words(resource)}"
        raise Invalid(errors={"limit": [f"At most what {node.parent} has itself: {have}."]})


@transaction.atomic
def set_limits(changes: Sequence[NewLimit], *, by: Any, reason: str) -> int:
    """Change many limits, all or none; returns how many. Each is audited with the reason.

    Raises: NotAllowed unless `by` is an admin, Invalid without a reason or for a negative limit.
    """
    policy.require_admin(by)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    # LOCKING: in the one order of limit rows.
    for change in sorted(changes, key=lambda change: (change[0].pk, change[1])):
        node, resource, limit = change[:3]
        borrow = change[3] if len(change) == 4 else None  # noqa: PLR2004 -- see NewLimit
        lent = _KEEP if borrow is None else borrow
        set_limit(node, resource, limit, by=by, reason=reason, borrow=lent)
    return len(changes)


@transaction.atomic
def set_capacity(node: QuotaNode, amounts: Mapping[str, int]) -> None:
    """Write what a cluster reported as its capacity."""
    rows = QuotaLimit.objects.filter(node=node)
    known = dict(rows.values_list("resource", "limit"))
    for resource in sorted(amounts):
        if resource in known and known[resource] != amounts[resource]:
            row = lock_row(rows.filter(resource=resource))
            row.limit = amounts[resource]
            row.ceiling = ceiling_of(row)
            row.save(update_fields=["limit", "ceiling"])


def require_known(amounts: Mapping[str, int]) -> None:
    """Refuse a resource that nobody here has heard of. Raises: Invalid."""
    built_in = {one.name for one in BUILT_IN}
    if set(amounts) <= built_in:
        return
    known = Resource.objects.names()
    if strange := sorted(set(amounts) - set(known)):
        others = ", ".join(name for name in known if name not in built_in) or "no others here"
        raise Invalid(errors={"resources": [f"There is no {strange[0]!r} to ask for: {others}."]})


def require_possible(node: QuotaNode, also: str, amounts: Mapping[str, int]) -> None:
    """Refuse what is larger than a whole limit on the path of `node` or of the node with the key `also`.

    Raises: NeverFits, with the numbers.
    """
    there = Q(node_id__in=node.path) | Q(node__key=also)
    limits = QuotaLimit.objects.filter(there, resource__in=amounts, limit__isnull=False)
    rows = limits.values_list("resource", "limit", "borrow")
    if not any(amounts[resource] > (limit or 0) + borrow for resource, limit, borrow in rows):
        return
    found = limits.select_related("node").order_by("node__depth", "resource")
    for row in sorted(found, key=lambda row: row.node.kind == NodeKind.CLUSTER):
        need, most = amounts[row.resource], row.most or 0
        if need > most:
            said, unit = in_units(row.resource, most), words(row.resource)
            msg = f"{row.node} may use at most {said} {unit}; this needs {in_units(row.resource, need)}."
            raise NeverFits(msg, resource=row.resource, limit=most, need=need)
