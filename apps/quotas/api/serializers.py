from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.quotas.api.amounts import AmountField, written
from apps.quotas.choices import RequestState
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode

_RESOURCE = "A name of `/resources/`: cpu, memory, gpu:a100, …"


class WrittenSerializer(serializers.Serializer[Any]):
    """The same amounts as people write them: CPUs and GPUs in ones, memory and disk with their unit."""

    limit = serializers.CharField(allow_null=True)
    borrow = serializers.CharField()
    used = serializers.CharField()
    free = serializers.CharField(allow_null=True)


class LimitSerializer(serializers.Serializer[Any]):
    """One limit, in base units: thousandths of CPUs and GPUs, bytes, counts. Null: no limit."""

    limit = serializers.IntegerField(allow_null=True)
    borrow = serializers.IntegerField(help_text="How much more, of what siblings leave unused.")
    used = serializers.IntegerField()
    free = serializers.IntegerField(allow_null=True, help_text="How much more fits at this place; others may be full.")
    written = WrittenSerializer()


class QuotaNodeSerializer(serializers.Serializer[QuotaNode]):
    """One place of the quota tree, with what it may hold and holds."""

    id = serializers.IntegerField(source="pk")
    key = serializers.CharField()
    kind = serializers.CharField()
    name = serializers.CharField()
    parent = serializers.IntegerField(source="parent_id", allow_null=True)  # type: ignore[assignment]  # a field of that name
    path = serializers.SerializerMethodField(help_text="Names, from the top to this place.")
    weight = serializers.IntegerField(help_text="Its share among its siblings, in fair share.")
    limits = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_path(self, node: QuotaNode) -> list[str]:
        names = self.context["names"]
        return [names.get(pk, "") for pk in node.path]

    @extend_schema_field(serializers.DictField(child=LimitSerializer()))
    def get_limits(self, node: QuotaNode) -> dict[str, Any]:
        rows = {row.resource: row for row in node.limits.all()}
        return {name: _limit(name, rows.get(name)) for name in self.context["resources"]}


def _limit(resource: str, row: QuotaLimit | None) -> dict[str, Any]:
    amounts: dict[str, Any] = {"limit": None, "borrow": 0, "used": 0, "free": None}
    if row is not None:
        free = None if row.most is None else max(0, row.most - row.used)
        amounts = {"limit": row.limit, "borrow": row.borrow, "used": row.used, "free": free}
    return {**amounts, "written": {name: written(resource, amount) for name, amount in amounts.items()}}


class LimitChangesSerializer(serializers.Serializer[Any]):
    """What a place is to hold. All of it is done, or nothing."""

    limits = serializers.DictField(
        child=AmountField(allow_null=True), required=False, default=dict, help_text="By resource; null: no limit."
    )
    borrow = serializers.DictField(child=AmountField(), required=False, default=dict, help_text="By resource.")
    weight = serializers.IntegerField(required=False, min_value=1, max_value=1_000_000)
    reason = serializers.CharField(max_length=500, help_text="For the audit trail.")


class PlaceSerializer(serializers.Serializer[QuotaNode]):
    """Where in the tree."""

    id = serializers.IntegerField(source="pk")
    key = serializers.CharField()
    name = serializers.CharField(source="__str__")


class AllocationRequestSerializer(serializers.ModelSerializer[AllocationRequest]):
    """A request that a place may hold more. Amounts in base units, and as people write them."""

    node = PlaceSerializer()
    asked_by = serializers.CharField(source="asked_by.username")
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True)
    written = serializers.SerializerMethodField(help_text="`amount`, `before` and `given` as people write them.")

    class Meta:
        model = AllocationRequest
        fields = (
            "id", "node", "resource", "amount", "before", "given", "written", "reason", "until", "asked_by", "created_at",
            "state", "decided_by", "decided_at", "note",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.CharField(allow_null=True)))
    def get_written(self, row: AllocationRequest) -> dict[str, str | None]:
        return {name: written(row.resource, getattr(row, name)) for name in ("amount", "before", "given")}


class NewAllocationSerializer(serializers.Serializer[Any]):
    node = serializers.CharField(max_length=120, help_text="The key of the place (team:7), or its id.")
    resource = serializers.CharField(max_length=40, help_text=_RESOURCE)
    amount = AmountField(help_text="What it may hold in all.")
    reason = serializers.CharField(max_length=1000)
    until = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Null: for good.")


class AllocationApprovalSerializer(serializers.Serializer[Any]):
    amount = AmountField(required=False, allow_null=True, default=None, help_text="Instead of what was asked for.")
    until = serializers.DateTimeField(required=False, allow_null=True, default=None)
    note = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")


class AllocationRefusalSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")


class ResourceSerializer(serializers.Serializer[Any]):
    """What can be limited."""

    name = serializers.CharField()
    title = serializers.CharField()
    position = serializers.IntegerField()
    weight = serializers.IntegerField(help_text="What one unit counts in fair share, in hundredths of a CPU.")
    built_in = serializers.BooleanField()


class NewResourceSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=40)
    title = serializers.CharField(max_length=60)
    position = serializers.IntegerField(min_value=0, max_value=32_767, required=False, default=100)
    weight = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False, default=0)


class ResourceChangesSerializer(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=60, required=False)
    position = serializers.IntegerField(min_value=0, max_value=32_767, required=False)
    weight = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)


STATES = ", ".join(RequestState.values)
