from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.budgets.choices import BudgetPolicy, Cadence
from apps.budgets.models import Alert, Budget, LedgerEntry, LedgerTx, Period, Price

_LARGEST = 1 << 53


class PeriodSerializer(serializers.ModelSerializer[Period]):
    available_micros = serializers.IntegerField()

    class Meta:
        model = Period
        fields = (
            "starts_at",
            "ends_at",
            "amount_micros",
            "held_micros",
            "spent_micros",
            "lapsed_micros",
            "available_micros",
        )


class AlertSerializer(serializers.ModelSerializer[Alert]):
    class Meta:
        model = Alert
        fields = ("level", "made_at", "message")


class BudgetSerializer(serializers.ModelSerializer[Budget]):
    node = serializers.CharField(help_text="Whose it is, in words.")
    node_id = serializers.IntegerField()
    cadence = serializers.ChoiceField(Cadence.choices)
    policy = serializers.ChoiceField(BudgetPolicy.choices)
    currency = serializers.SerializerMethodField()
    period = serializers.SerializerMethodField(help_text="The newest one.")

    class Meta:
        model = Budget
        fields = (
            "id",
            "node",
            "node_id",
            "cadence",
            "policy",
            "amount_micros",
            "currency",
            "starts_at",
            "ends_at",
            "ended_at",
            "period",
        )

    @extend_schema_field(str)
    def get_currency(self, _budget: Budget) -> str:
        return str(settings.CURRENCY)

    @extend_schema_field(PeriodSerializer(allow_null=True))
    def get_period(self, budget: Budget) -> Any:
        newest = max(budget.periods.all(), key=lambda period: period.starts_at, default=None)
        return None if newest is None else PeriodSerializer(newest).data


class BudgetDetailSerializer(BudgetSerializer):
    periods = PeriodSerializer(many=True)
    alerts = serializers.SerializerMethodField()

    class Meta(BudgetSerializer.Meta):
        fields: Any = (*BudgetSerializer.Meta.fields, "periods", "alerts")

    @extend_schema_field(AlertSerializer(many=True))
    def get_alerts(self, budget: Budget) -> Any:
        rows = [alert for period in budget.periods.all() for alert in period.alerts.all()]
        return AlertSerializer(sorted(rows, key=lambda alert: alert.pk, reverse=True), many=True).data


class NewBudgetSerializer(serializers.Serializer[Any]):
    place = serializers.CharField(
        max_length=200, help_text="platform, org:<slug>, team:<slug>, user:<name> or team:<slug>/user:<name>."
    )
    cadence = serializers.ChoiceField(Cadence.choices)
    policy = serializers.ChoiceField(BudgetPolicy.choices)
    amount_micros = serializers.IntegerField(min_value=0, max_value=_LARGEST)
    starts_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Of a fixed budget.")
    ends_at = serializers.DateTimeField(required=False, allow_null=True)
    webhook_url = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class BudgetChangesSerializer(serializers.Serializer[Any]):
    amount_micros = serializers.IntegerField(min_value=0, max_value=_LARGEST, required=False)
    policy = serializers.ChoiceField(BudgetPolicy.choices, required=False)
    webhook_url = serializers.CharField(max_length=500, required=False, allow_blank=True)
    reason = serializers.CharField(max_length=500)


class WhySerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)


class PriceSerializer(serializers.ModelSerializer[Price]):
    cluster = serializers.CharField(source="cluster_name")

    class Meta:
        model = Price
        fields = ("id", "cluster", "resource", "version", "micros_per_hour", "effective_from", "made_at")


class NewPriceSerializer(serializers.Serializer[Any]):
    cluster = serializers.CharField(max_length=150)
    resource = serializers.CharField(max_length=40)
    micros_per_hour = serializers.IntegerField(min_value=0, max_value=_LARGEST)
    effective_from = serializers.DateTimeField(required=False, allow_null=True, help_text="Now, if none is given.")
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class EntrySerializer(serializers.ModelSerializer[LedgerEntry]):
    budget = serializers.IntegerField(source="period.budget_id", default=None)

    class Meta:
        model = LedgerEntry
        fields = ("account", "amount_micros", "budget", "node_id", "cluster_id")


class PostingSerializer(serializers.ModelSerializer[LedgerTx]):
    key = serializers.CharField(source="hold.key", default="", help_text="The attempt that was charged.")
    subject = serializers.CharField(source="hold.subject", default="")
    entries = EntrySerializer(many=True)

    class Meta:
        model = LedgerTx
        fields = ("id", "kind", "at", "key", "subject", "billable_ms", "reverses", "by", "reason", "entries")


class CostLineSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field's own label is not meant
    cost_micros = serializers.IntegerField()
    run_ms = serializers.IntegerField()
    cpu_hours = serializers.FloatField()
    gpu_hours = serializers.FloatField()
    reserved_ms = serializers.IntegerField(
        help_text="From admission to release, of what was admitted in that time and has ended."
    )
    idle_percent = serializers.IntegerField(allow_null=True, help_text="Of the reserved time; null when there is none.")
    idle_cpu_percent = serializers.IntegerField(
        allow_null=True, help_text="Of the CPUs that were held while it ran; null when nobody measured."
    )


class CostsSerializer(serializers.Serializer[Any]):
    group_by = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    currency = serializers.CharField()
    total = CostLineSerializer()
    lines = CostLineSerializer(many=True)


class StatementLineSerializer(serializers.Serializer[Any]):
    day = serializers.DateField()
    team = serializers.CharField()
    user = serializers.CharField()
    project = serializers.CharField()
    cluster = serializers.CharField()
    run_seconds = serializers.IntegerField()
    cost_micros = serializers.IntegerField()
    cost = serializers.CharField()


class StatementSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    currency = serializers.CharField()
    lines = StatementLineSerializer(many=True)
    total_micros = serializers.IntegerField()
    total = serializers.CharField(help_text="The exact sum, rounded once.")
    rounding = serializers.CharField(help_text="By how much the rounded lines differ from it.")
