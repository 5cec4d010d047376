from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import RegexValidator
from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.core.ids import new_id
from apps.quotas.choices import NodeKind, RequestState, in_units, words
from apps.quotas.querysets import ResourceQuerySet


class Resource(models.Model):
    """A resource beside those that are built in, or another title, place or weight for one of those.

    A new name is a new row: work may ask for it and nodes may limit it from then on.
    """

    name = models.CharField(
        max_length=40,
        primary_key=True,
        validators=[RegexValidator(r"\A[a-z][a-z0-9]*([:._-][a-z0-9]+)*\Z", "Small letters and digits: gpu:a100.")],
        help_text='"gpu:a100" is counted like "gpu", in thousandths; "disk:ssd" in bytes; any other name is a count.',
    )
    title = models.CharField(max_length=60)
    position = models.PositiveSmallIntegerField(default=100)
    weight = models.PositiveIntegerField(
        default=0,
        help_text="What one unit (a CPU, a GiB, a GPU) counts in fair share, in hundredths of a CPU. 0: nothing.",
    )

    objects = ResourceQuerySet["Resource"].as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["position", "name"]

    @override
    def __str__(self) -> str:
        return self.title


class QuotaDefault(models.Model):
    """The limit with which a node of a kind comes into being, instead of the one in the settings (QUOTA_DEFAULTS)."""

    kind = models.CharField(max_length=12, choices=NodeKind)
    resource = models.CharField(max_length=40)
    limit = models.BigIntegerField(null=True, blank=True, help_text="In base units; empty: no limit.")

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["kind", "resource"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "resource"], name="one_default_per_kind"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="quota_default_not_negative"),
        ]

    @override
    def __str__(self) -> str:
        limit = "any number of" if self.limit is None else in_units(self.resource, self.limit)
        return f"{self.kind}: {limit} {words(self.resource)}"


class QuotaNode(models.Model):
    """One place in the quota tree: platform > organization > team > user, with groups between as an admin likes.

    A cluster's capacity is a node of its own. `key` says whose it is ("team:7", "team:7/user:3", "cluster:…"); this app
    reads no more into it.
    """

    kind = models.CharField(max_length=12, choices=NodeKind)
    key = models.CharField(max_length=120, unique=True)
    name = models.CharField(max_length=150)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    depth = models.PositiveSmallIntegerField(help_text="How many nodes are above it.")
    path = ArrayField(models.BigIntegerField(), help_text="Ids from the root to this node.")
    weight = models.PositiveIntegerField(default=1, help_text="Its share among its siblings, in fair share.")

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="quota_weight_positive"),
        ]

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
    `borrow` is how much more it may hold of what its siblings leave unused below the limit of their parent, until they
    want it back. `ceiling` is what `used` may never exceed, checked by the database: limit and borrow, or what was used
    when they were lowered.
    """

    node = models.ForeignKey(QuotaNode, on_delete=models.CASCADE, related_name="limits")
    resource = models.CharField(max_length=40)
    limit = models.BigIntegerField(
        null=True, blank=True, help_text="In base units: milli-CPU, milli-GPU, bytes, counts."
    )
    borrow = models.BigIntegerField(default=0)
    used = models.BigIntegerField(default=0, editable=False)
    ceiling = models.BigIntegerField(null=True, editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["node", "resource"], name="one_limit_per_resource"),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="quota_used_not_negative"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="quota_limit_not_negative"),
            models.CheckConstraint(condition=models.Q(borrow__gte=0), name="quota_borrow_not_negative"),
            models.CheckConstraint(
                condition=models.Q(ceiling=None) | models.Q(used__lte=models.F("ceiling")), name="quota_not_exceeded"
            ),
            models.CheckConstraint(
                condition=models.Q(limit=None, ceiling=None) | models.Q(limit__isnull=False, ceiling__isnull=False),
                name="quota_limit_has_ceiling",
            ),
        ]

    @override
    def __str__(self) -> str:
        limit = "any number of" if self.limit is None else in_units(self.resource, self.limit)
        return f"{self.node}: {in_units(self.resource, self.used)} of {limit} {words(self.resource)}"

    @property
    def most(self) -> int | None:
        """What may be held in all, with what is borrowed."""
        return None if self.limit is None else self.limit + self.borrow

    @property
    def borrowed(self) -> int:
        """How much is held beyond the limit of its own."""
        return 0 if self.limit is None else max(0, self.used - self.limit)


class Reservation(models.Model):
    """What one attempt holds along the path of its node, from admission to its confirmed end."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key = models.CharField(max_length=100, unique=True)
    node = models.ForeignKey(QuotaNode, on_delete=models.PROTECT, related_name="reservations")
    node_ids = ArrayField(models.BigIntegerField())
    amounts = models.JSONField()
    held_at = models.DateTimeField(db_default=models.functions.Now())
    ends_by = models.DateTimeField(null=True, help_text="When its time limit will have ended it at the latest.")
    counted_until = models.DateTimeField(
        db_default=models.functions.Now(), help_text="Up to when its use counts in fair share."
    )
    released_at = models.DateTimeField(null=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["node"], name="reservation_live", condition=models.Q(released_at=None)),
            GinIndex(fields=["node_ids"], name="reservation_live_below", condition=models.Q(released_at=None)),
        ]

    @override
    def __str__(self) -> str:
        return self.key


class ShareUse(models.Model):
    """What the subtree of a node has used, in hundredths of CPU seconds, halved with every half-life since `at`."""

    node = models.OneToOneField(QuotaNode, on_delete=models.CASCADE, primary_key=True, related_name="share_use")
    amount = models.FloatField(default=0.0)
    at = models.DateTimeField(db_default=models.functions.Now())

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return f"{self.node}: {self.amount:.0f}"


class AllocationRequest(models.Model):
    """A person's request that a node may hold more, the answer, and until when what was given holds."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    node = models.ForeignKey(QuotaNode, on_delete=models.PROTECT, related_name="requests")
    resource = models.CharField(max_length=40)
    amount = models.BigIntegerField(help_text="What it may hold in all, in base units.")
    before = models.BigIntegerField(help_text="What it might hold when this was asked for, or given.")
    given = models.BigIntegerField(null=True)
    reason = models.TextField()
    until = models.DateTimeField(null=True, blank=True)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=models.functions.Now())
    state = models.CharField(max_length=10, choices=RequestState, default=RequestState.OPEN)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["node", "resource"],
                condition=models.Q(state=RequestState.OPEN),
                name="one_open_request_per_limit",
            ),
            models.CheckConstraint(condition=models.Q(state__in=RequestState.values), name="request_state_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["until"], name="request_expires", condition=models.Q(state=RequestState.APPROVED)),
        ]

    @override
    def __str__(self) -> str:
        return f"{in_units(self.resource, self.amount)} {words(self.resource)} for {self.node}"
