"""Limits: who may hold how much at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Invalid, NeverFits
from apps.core.locks import lock_row
from apps.quotas.choices import BUILT_IN, KEPT, NodeKind, in_units, words
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
    node: QuotaNode, resource: str, limit: int | None = _KEEP, *, by: Any, reason: str = "", borrow: int = _KEEP
) -> QuotaLimit:
    """Change a limit, in base units; None removes it. Lowering one below its use stops nothing, it only admits no more.

    `borrow` is how much may be held beyond the limit while siblings leave it unused. What is not given stays. A maintainer
    hands out what his team has: not more than the team's own limit. Audited.
    Raises: NotAllowed, Invalid for a negative limit, or one beyond the team's own.
    """
    policy.require(by, "manage", node)
    for name, amount in (("limit", limit), ("borrow", borrow)):
        if amount is not _KEEP and amount is not None and amount < 0:
            raise Invalid(errors={name: ["Must not be negative."]})
    QuotaLimit.objects.get_or_create(node=node, resource=resource)
    row = lock_row(QuotaLimit.objects.filter(node=node, resource=resource))
    before, borrowed = row.limit, row.borrow
    row.limit = row.limit if limit is _KEEP else limit
    row.borrow = row.borrow if borrow is _KEEP else borrow
    _require_own_share(row, by)
    row.ceiling = ceiling_of(row)
    row.save(update_fields=["limit", "borrow", "ceiling"])
    lent = {} if row.borrow == borrowed else {"borrow_before": borrowed, "borrow": row.borrow}
    audit.record("set_limit", node, by=by, reason=reason, resource=resource, before=before, after=row.limit, **lent)
    return row


def _require_own_share(row: QuotaLimit, by: Any) -> None:
    """Let an admin set any limit; anybody else none above what the node's parent may hold itself."""
    node = row.node
    if getattr(by, "is_system", False) or by.is_superuser or node.parent is None:
        return
    above = QuotaLimit.objects.filter(node=node.parent, resource=row.resource)
    most = above.values_list("limit", flat=True).first()
    if most is not None and (row.most is None or row.most > most):
        have = f"{in_units(row.resource, most)} {words(row.resource)}"
        raise Invalid(errors={"limit": [f"At most what {node.parent} has itself: {have}."]})


@transaction.atomic
def change_limits(
    node: QuotaNode, limits: Mapping[str, int | None], borrow: Mapping[str, int], *, by: Any, reason: str
) -> None:
    """Change several limits of one node, and what it may borrow, all or none. Audited, each with the reason.

    Raises: NotAllowed, Invalid with a sentence per field.
    """
    policy.require(by, "manage", node)
    problems: dict[str, list[str]] = {} if reason.strip() else {"reason": ["Say why."]}
    known = set(Resource.objects.names())
    # LOCKING: in the one order of limit rows.
    for resource in sorted({*limits, *borrow}):
        field = f"limits.{resource}" if resource in limits else f"borrow.{resource}"
        if resource not in known:
            problems[field] = [f"There is no {resource!r} to limit."]
            continue
        try:
            set_limit(
                node, resource, limits.get(resource, _KEEP), by=by, reason=reason, borrow=borrow.get(resource, _KEEP)
            )
        except Invalid as refusal:
            problems[field] = [sentence for sentences in refusal.errors.values() for sentence in sentences]
    if problems:
        raise Invalid(errors=problems)


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
    built_in = {one.name for one in BUILT_IN} - KEPT
    if set(amounts) <= built_in:
        return
    known = [name for name in Resource.objects.names() if name not in KEPT]
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
