"""The price book."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from apps.access import policy
from apps.audit import services as audit
from apps.budgets.choices import LARGEST, MICROS
from apps.budgets.models import Price
from apps.core.errors import Conflict, Invalid
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode, Resource

_DEAREST = 1_000_000 * MICROS  # for one unit and hour


@transaction.atomic
def set_price(
    cluster_id: UUID,
    resource: str,
    micros_per_hour: int,
    *,
    by: Any,
    effective_from: datetime | None = None,
    reason: str = "",
) -> Price:
    """Add a version to the price book: from `effective_from` on (now, if none is given), for what is admitted then.

    What runs already keeps the price of its admission. Admins only. Audited. Raises: NotAllowed, Invalid, Conflict.
    """
    policy.require_admin(by)
    node = QuotaNode.objects.filter(key=f"cluster:{cluster_id}").first()
    errors = _errors(node, resource, micros_per_hour, effective_from)
    if errors:
        raise Invalid(errors=errors)
    rows = Price.objects.filter(cluster_id=cluster_id, resource=resource)
    before = rows.order_by("-version").values_list("micros_per_hour", flat=True).first()
    version = (rows.aggregate(newest=Max("version"))["newest"] or 0) + 1
    dates = {} if effective_from is None else {"effective_from": effective_from}
    facts = {"micros_per_hour": micros_per_hour, "made_by": str(by)[:150], "reason": reason[:500], **dates}
    try:
        with transaction.atomic():
            made = Price.objects.create(
                cluster_id=cluster_id, cluster_name=str(node and node.name), resource=resource, version=version, **facts
            )
    except IntegrityError as error:
        msg = "Somebody set this price at the same moment. Look at it and try again."
        raise Conflict(msg) from error
    audit.record("set_price", made, by=by, reason=reason, before=before, after=micros_per_hour)
    made.refresh_from_db()
    return made


def set_price_of(cluster: str, *, by: Any, resource: str, micros_per_hour: int, **more: Any) -> Price:
    """Set a price on the cluster of that name, or of that node's key. Raises: as `set_price`."""
    policy.require_admin(by)
    nodes = QuotaNode.objects.filter(Q(name=cluster) | Q(key=cluster), kind=NodeKind.CLUSTER)
    key = nodes.values_list("key", flat=True).first()
    if key is None:
        raise Invalid(errors={"cluster": ["There is no such cluster."]})
    return set_price(UUID(key.partition(":")[2]), resource, micros_per_hour, by=by, **more)


def require_keeper(by: Any) -> None:
    """Let pass who may keep the price book and make budgets: admins who act as such. Raises: NotAllowed."""
    policy.require_active(by)
    policy.require_admin(by)


def _errors(
    node: QuotaNode | None, resource: str, micros: int, effective_from: datetime | None
) -> dict[str, list[str]]:
    errors = {}
    if node is None:
        errors["cluster"] = ["There is no such cluster."]
    if resource not in (names := Resource.objects.names()):
        errors["resource"] = [f"One of {', '.join(names)}."]
    if not 0 <= micros <= min(_DEAREST, LARGEST):
        errors["micros_per_hour"] = ["From 0 to a million per hour."]
    if effective_from is not None and effective_from < timezone.now() - timedelta(minutes=1):
        errors["effective_from"] = ["Must not be in the past: what was admitted has its price."]
    return errors
