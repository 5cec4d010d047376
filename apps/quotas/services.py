"""Admission: the only writer of what is used.

LOCKING: limit rows are locked in one global order (depth, node, resource), in READ COMMITTED, before they are read
(`apps/quotas/statements.py`); without the lock concurrent admissions exceed the limit (tests/concurrency shows it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from apps.access import policy
from apps.audit import services as audit
from apps.core import failpoints
from apps.core.errors import Conflict, Invalid, NeverFits
from apps.core.locks import lock_rows
from apps.quotas import statements
from apps.quotas.choices import DEPTH, NodeKind, in_units, words
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation

Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Full:
    """Why a reservation has to wait: the first limit, from the top, that it would exceed.

    SECURITY: what is used of a limit that tenants share is told to operators only; the limit itself is no secret.
    """

    node_id: int
    node: str
    resource: str
    used: int
    limit: int
    need: int
    is_shared: bool = False

    @property
    def message(self) -> str:
        limit = f"{in_units(self.resource, self.limit)} {words(self.resource)}"
        used = f"uses {in_units(self.resource, self.used)} of"
        have = f"{self.node} has too little free of its" if self.is_shared else f"{self.node} {used}"
        return f"waiting: {have} {limit}, and this needs {in_units(self.resource, self.need)}"

    @property
    def message_behind(self) -> str:
        """What those are told who wait for the same, further back. Changes with the limit only."""
        most = f"{in_units(self.resource, self.limit)} {words(self.resource)}"
        return f"waiting behind earlier work: {self.node} may use {most}, and what comes first does not fit yet"


def platform_node() -> QuotaNode:
    return ensure_node(NodeKind.PLATFORM, "platform", name="platform")


def ensure_node(
    kind: NodeKind, key: str, *, name: str, parent: QuotaNode | None = None, limits: Amounts | None = None
) -> QuotaNode:
    """Return the node `key`, creating it with the given limits, or with the defaults of its kind. Idempotent."""
    known = QuotaNode.objects.filter(key=key).first()
    return known or _create_node(kind, key, name, parent, limits)


@transaction.atomic
def _create_node(kind: NodeKind, key: str, name: str, parent: QuotaNode | None, limits: Amounts | None) -> QuotaNode:
    node, created = QuotaNode.objects.get_or_create(
        key=key, defaults={"kind": kind, "name": name[:150], "parent": parent, "depth": DEPTH[kind], "path": []}
    )
    if created:
        node.path = [*(parent.path if parent else []), node.pk]
        node.save(update_fields=["path"])
        chosen = settings.QUOTA_DEFAULTS.get(kind, {}) if limits is None else limits
        rows = [
            QuotaLimit(node=node, resource=resource, limit=chosen.get(resource))
            for resource in settings.QUOTA_RESOURCES
        ]
        QuotaLimit.objects.bulk_create(rows)
    return node


@transaction.atomic
def set_limit(node: QuotaNode, resource: str, limit: int | None, *, by: Any, reason: str = "") -> QuotaLimit:
    """Change a limit, in base units; None removes it. Lowering one below its use stops nothing, it only admits no more.

    Audited. Raises: NotAllowed, Invalid for a negative limit.
    """
    policy.require(by, "manage", node)
    if limit is not None and limit < 0:
        raise Invalid(errors={"limit": ["Must not be negative."]})
    row, _ = QuotaLimit.objects.get_or_create(node=node, resource=resource)
    before = row.limit
    QuotaLimit.objects.filter(pk=row.pk).update(limit=limit)
    row.limit = limit
    audit.record("set_limit", node, by=by, reason=reason, resource=resource, before=before, after=limit)
    return row


@transaction.atomic
def set_limits(changes: Sequence[tuple[QuotaNode, str, int | None]], *, by: Any, reason: str) -> int:
    """Change many limits, all or none; returns how many. Each is audited with the reason.

    Raises: NotAllowed unless `by` is an admin, Invalid without a reason or for a negative limit.
    """
    policy.require_admin(by)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    for node, resource, limit in changes:
        set_limit(node, resource, limit, by=by, reason=reason)
    return len(changes)


def set_capacity(node: QuotaNode, amounts: Amounts) -> None:
    """Write what a cluster reported as its capacity."""
    for resource, limit in amounts.items():
        QuotaLimit.objects.filter(node=node, resource=resource).exclude(limit=limit).update(limit=limit)


def reserve(key: str, node: QuotaNode, also: Sequence[int], amounts: Amounts) -> Reservation | Full:
    """Hold `amounts` at `node`, all its ancestors and the nodes `also`, or say what is full. Idempotent per `key`.

    Runs in the caller's transaction, which must be READ COMMITTED and touch no other rows before.
    Raises: Conflict for a key that was released.
    """
    need = {resource: amount for resource, amount in amounts.items() if amount > 0}
    made = Reservation(key=key, node=node, node_ids=[*node.path, *also], amounts=need)
    given: dict[str, Any] = {
        "id": made.pk,
        "key": key,
        "node": node.pk,
        "nodes": made.node_ids,
        "amounts": orjson.dumps(need).decode(),
    }
    with connection.cursor() as cursor:
        cursor.execute(statements.RESERVE, given)
        held, *full = cursor.fetchone() or (None, None)
    failpoints.hit("quota.after_lock")
    if held is None:
        known = Reservation.objects.filter(key=key).first()
        if known is not None and known.released_at is None:
            return known
        if full[0] is not None:
            return _full(*full)
        msg = f"What {key} held was released; it cannot be reserved again."
        raise Conflict(msg)
    failpoints.hit("quota.before_commit")
    return made


def _full(node_id: int, resource: str, used: int, limit: int, need: int) -> Full:
    node = QuotaNode.objects.get(pk=node_id)
    return Full(node_id, str(node), resource, used, limit, need, node.is_shared)


def release(key: str) -> bool:
    """Give back what `key` holds; a second call finds nothing to give. Runs in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(statements.RELEASE, {"key": key})
        row = cursor.fetchone()
    failpoints.hit("release.before_commit")
    return bool(row and row[0])


def require_possible(node: QuotaNode, also: str, amounts: Amounts) -> None:
    """Refuse what is larger than a whole limit on the path of `node` or of the node with the key `also`.

    Raises: NeverFits, with the numbers.
    """
    there = Q(node_id__in=node.path) | Q(node__key=also)
    limits = QuotaLimit.objects.filter(there, resource__in=amounts, limit__isnull=False)
    rows = limits.values_list("pk", "resource", "limit")
    if not any(amounts[resource] > (limit or 0) for _, resource, limit in rows):
        return
    for row in limits.select_related("node").order_by("node__depth", "resource"):
        need, limit = amounts[row.resource], row.limit or 0
        if need > limit:
            most, unit = in_units(row.resource, limit), words(row.resource)
            msg = f"{row.node} may use at most {most} {unit}; this needs {in_units(row.resource, need)}."
            raise NeverFits(msg, resource=row.resource, limit=limit, need=need)


def drift() -> list[str]:
    """Recompute every `used` from the live reservations and name each row that differs. Empty when all is well."""
    expected: dict[tuple[int, str], int] = {}
    with transaction.atomic():
        rows = lock_rows(QuotaLimit.objects.all(), order=("node__depth", "node_id", "resource"))
        for reservation in Reservation.objects.filter(released_at=None):
            for node_id in reservation.node_ids:
                for resource, amount in reservation.amounts.items():
                    expected[node_id, resource] = expected.get((node_id, resource), 0) + amount
    found = [(row, expected.get((row.node_id, row.resource), 0)) for row in rows]
    return [f"node {row.node_id} {row.resource}: {row.used}, live {live}" for row, live in found if row.used != live]
