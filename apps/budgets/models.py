from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.budgets.choices import (
    Account,
    AlertLevel,
    BudgetPolicy,
    Cadence,
    Channel,
    TxKind,
    in_money,
)
from apps.budgets.querysets import BudgetQuerySet, HoldQuerySet, PeriodQuerySet
from apps.core.ids import new_id

_NODE = "quotas.QuotaNode"


class Price(models.Model):
    """What one unit of a resource costs for an hour on one cluster from a date on. Append-only: a new price is a new row.

    `cluster_id` points to compute, which is above this app; the name is that of the cluster's quota node.
    """

    cluster_id = models.UUIDField(db_index=True)
    cluster_name = models.CharField(max_length=150)
    resource = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    micros_per_hour = models.BigIntegerField(help_text="For one CPU, one GPU, one GiB, or one of what is counted.")
    effective_from = models.DateTimeField(db_default=models.functions.Now())
    made_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    made_by = models.CharField(max_length=150, editable=False)
    reason = models.CharField(max_length=500, blank=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["cluster_id", "resource", "version"], name="one_price_per_version"),
            models.CheckConstraint(condition=Q(micros_per_hour__gte=0), name="price_not_negative"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["cluster_id", "resource", "-effective_from", "-version"], name="price_in_force")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.resource} on {self.cluster_name}: {in_money(self.micros_per_hour, exact=True)} per hour"


class Budget(models.Model):
    """How much a node of the quota tree may spend in each of its periods, and what follows when it is spent."""

    node = models.ForeignKey(_NODE, on_delete=models.PROTECT, related_name="budgets")
    cadence = models.CharField(max_length=8, choices=Cadence)
    policy = models.CharField(max_length=8, choices=BudgetPolicy)
    amount_micros = models.BigIntegerField(help_text="For each period that begins from now on.")
    starts_at = models.DateTimeField(null=True, blank=True, help_text="Of a budget between two dates.")
    ends_at = models.DateTimeField(null=True, blank=True)
    webhook_url = models.CharField(max_length=500, blank=True, help_text="Alerts are posted there, signed.")
    made_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    objects = BudgetQuerySet["Budget"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["node", "cadence"],
                name="one_budget_per_cadence",
                condition=Q(ended_at=None) & ~Q(cadence="fixed"),
            ),
            models.CheckConstraint(condition=Q(amount_micros__gte=0), name="budget_not_negative"),
            models.CheckConstraint(
                condition=Q(cadence="fixed", starts_at__isnull=False, ends_at__gt=F("starts_at"))
                | (~Q(cadence="fixed") & Q(starts_at=None, ends_at=None)),
                name="fixed_budget_has_dates",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.get_cadence_display().lower()} of {self.node}"


class Period(models.Model):
    """One period of a budget, with what is held and spent in it now.

    Both are counters, changed in the transaction that posts to the ledger; `books.drift` compares the two. `ceiling_micros`
    is set while the policy is `reserve`: the database itself refuses to let held and spent exceed it. It is the amount,
    or what was held and spent already when the amount was lowered.
    """

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="periods")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    amount_micros = models.BigIntegerField()
    ceiling_micros = models.BigIntegerField(null=True)
    held_micros = models.BigIntegerField(default=0, db_default=0)
    spent_micros = models.BigIntegerField(default=0, db_default=0)
    lapsed_micros = models.BigIntegerField(default=0, db_default=0)
    version = models.PositiveIntegerField(default=0, db_default=0, help_text="Counts what was posted to its amount.")

    objects = PeriodQuerySet["Period"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["budget", "starts_at"], name="one_period_per_start"),
            models.CheckConstraint(
                condition=Q(ceiling_micros=None) | Q(ceiling_micros__gte=F("held_micros") + F("spent_micros")),
                name="period_within_its_ceiling",
            ),
            models.CheckConstraint(condition=Q(held_micros__gte=0, spent_micros__gte=0), name="period_not_negative"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="period_ends_after_start"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}"

    @property
    def available_micros(self) -> int:
        return self.amount_micros - self.held_micros - self.spent_micros - self.lapsed_micros

    @property
    def percent(self) -> int:
        """Say how much is spent, in whole percent, rounded down."""
        if self.amount_micros > 0:
            return self.spent_micros * 100 // self.amount_micros
        return 100 if self.spent_micros else 0


class Hold(models.Model):
    """One attempt's account: what it costs per hour, by the prices at its admission, and what was charged so far."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key = models.CharField(max_length=100, unique=True)
    node = models.ForeignKey(_NODE, on_delete=models.PROTECT, related_name="+")
    node_ids = ArrayField(models.BigIntegerField())
    cluster_id = models.UUIDField()
    subject = models.CharField(max_length=80, blank=True)
    amounts = models.JSONField()
    prices = models.JSONField(help_text="Resource -> micros per hour of one unit, and the price's id.")
    rate_micros_per_hour = models.BigIntegerField()
    worst_ms = models.BigIntegerField(null=True, help_text="Longest time it can take; none for open-ended work.")
    made_at = models.DateTimeField(db_default=models.functions.Now())
    seq = models.PositiveIntegerField(default=0, db_default=0)
    billable_ms = models.BigIntegerField(default=0, db_default=0)
    posted_micros = models.BigIntegerField(default=0, db_default=0)
    absorbed_micros = models.BigIntegerField(default=0, db_default=0)
    cpu_ms = models.BigIntegerField(null=True, help_text="One CPU's milliseconds that it used; none: nobody knows.")
    closed_at = models.DateTimeField(null=True)

    objects = HoldQuerySet["Hold"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(rate_micros_per_hour__gte=0, posted_micros__gte=0, billable_ms__gte=0),
                name="hold_not_negative",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["key"], name="hold_open", condition=Q(closed_at=None)),
            models.Index(fields=["node", "made_at"], name="hold_of_node"),
        ]

    @override
    def __str__(self) -> str:
        return self.key


class HoldPart(models.Model):
    """What a hold has in one period of one budget: held now, and charged in all."""

    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="parts")
    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="parts")
    held_micros = models.BigIntegerField(default=0, db_default=0)
    spent_micros = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["hold", "period"], name="one_part_per_period"),
            models.CheckConstraint(condition=Q(held_micros__gte=0, spent_micros__gte=0), name="part_not_negative"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.hold} in {self.period}"


class LedgerTx(models.Model):
    """One posting: its entries add up to zero. Append-only; what was wrong is reversed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=8, choices=TxKind)
    idem = models.CharField(max_length=140, unique=True, help_text="What makes a repeat of it the same.")
    at = models.DateTimeField(db_default=models.functions.Now())
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, null=True, related_name="postings")
    billable_ms = models.BigIntegerField(default=0, db_default=0, help_text="Time that a charge is for.")
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by")
    by = models.CharField(max_length=150, default="system", db_default="system")
    reason = models.CharField(max_length=500, blank=True, default="", db_default="")

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["hold"], name="ledger_of_hold")]
        verbose_name = "posting"

    @override
    def __str__(self) -> str:
        return self.idem


class LedgerEntry(models.Model):
    """One line of a posting: how much, on which account."""

    id = models.BigAutoField(primary_key=True)
    tx = models.ForeignKey(LedgerTx, on_delete=models.PROTECT, related_name="entries")
    account = models.CharField(max_length=9, choices=Account)
    amount_micros = models.BigIntegerField()
    period = models.ForeignKey(Period, on_delete=models.PROTECT, null=True, related_name="entries")
    node = models.ForeignKey(_NODE, on_delete=models.PROTECT, null=True, related_name="+")
    cluster_id = models.UUIDField(null=True)
    at = models.DateTimeField(db_default=models.functions.Now())

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["period", "account"], name="entry_of_period", condition=Q(period__isnull=False)),
            models.Index(fields=["node", "at"], name="entry_of_cost", condition=Q(account="cost")),
        ]
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"

    @override
    def __str__(self) -> str:
        return f"{self.account} {in_money(self.amount_micros, exact=True)}"


class Alert(models.Model):
    """A level that a period has reached: once."""

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="alerts")
    level = models.CharField(max_length=8, choices=AlertLevel)
    made_at = models.DateTimeField(db_default=models.functions.Now())
    spent_micros = models.BigIntegerField()
    amount_micros = models.BigIntegerField()
    message = models.TextField()

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["period", "level"], name="one_alert_per_level")
        ]

    @override
    def __str__(self) -> str:
        return self.message


class Delivery(models.Model):
    """One alert on its way to one address: sent until it is taken, at least once."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=7, choices=Channel)
    target = models.CharField(max_length=500)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True, db_default=models.functions.Now())
    done_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["alert", "channel", "target"], name="one_delivery_per_target")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["next_at"], name="delivery_due", condition=Q(next_at__isnull=False))
        ]
        verbose_name_plural = "deliveries"

    @override
    def __str__(self) -> str:
        return f"{self.channel} to {self.target}"
