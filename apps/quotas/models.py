from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.core.ids import new_id
from apps.quotas.choices import NodeKind, in_units, words


class QuotaNode(models.Model):
    """One place in the quota tree: platform > organization > team > user; a cluster's capacity is a node of its own.

    `key` says whose it is ("team:7", "team:7/user:3", "cluster:…"); this app reads no more into it.
    """

    kind = models.CharField(max_length=12, choices=NodeKind)
    key = models.CharField(max_length=120, unique=True)
    name = models.CharField(max_length=150)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    depth = models.PositiveSmallIntegerField()
    path = ArrayField(models.BigIntegerField(), help_text="Ids from the root to this node.")

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.kind != NodeKind.PLATFORM else "the platform"

    @property
    def is_shared(self) -> bool:
        """Whether tenants that must not perceive each other count on it."""
        return self.kind in {NodeKind.PLATFORM, NodeKind.CLUSTER}


class QuotaLimit(models.Model):
    """How much of a resource the subtree of a node may hold at once, and how much it holds now.

    `used` is kept in the transaction of each reservation (docs/adr/0005); no limit means that only use is counted.
    """

    node = models.ForeignKey(QuotaNode, on_delete=models.CASCADE, related_name="limits")
    resource = models.CharField(max_length=40)
    limit = models.BigIntegerField(
        null=True, blank=True, help_text="In base units: milli-CPU, milli-GPU, bytes, counts."
    )
    used = models.BigIntegerField(default=0, editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["node", "resource"], name="one_limit_per_resource"),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="quota_used_not_negative"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="quota_limit_not_negative"),
        ]

    @override
    def __str__(self) -> str:
        limit = "any number of" if self.limit is None else in_units(self.resource, self.limit)
        return f"{self.node}: {in_units(self.resource, self.used)} of {limit} {words(self.resource)}"


class Reservation(models.Model):
    """What one attempt holds along the path of its node, from admission to its confirmed end."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key = models.CharField(max_length=100, unique=True)
    node = models.ForeignKey(QuotaNode, on_delete=models.PROTECT, related_name="reservations")
    node_ids = ArrayField(models.BigIntegerField())
    amounts = models.JSONField()
    held_at = models.DateTimeField(db_default=models.functions.Now())
    released_at = models.DateTimeField(null=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["node"], name="reservation_live", condition=models.Q(released_at=None))
        ]

    @override
    def __str__(self) -> str:
        return self.key
