from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.compute.choices import OpenTo
from apps.compute.models import Attempt, Cluster, PriorityClass, WorkloadEvent


class ClusterSerializer(serializers.ModelSerializer[Cluster]):
    isolation = serializers.SerializerMethodField(
        help_text='"isolated", or "single-tenant": its jobs are not kept apart.'
    )

    class Meta:
        model = Cluster
        fields = (
            "name",
            "kind",
            "state",
            "message",
            "warnings",
            "isolation",
            "is_drained",
            "labels",
            "capacity",
            "checked_at",
        )

    @extend_schema_field(str)
    def get_isolation(self, cluster: Cluster) -> str:
        return "isolated" if cluster.isolates_tenants else "single-tenant"


class EventSerializer(serializers.ModelSerializer[WorkloadEvent]):
    attempt = serializers.IntegerField(source="attempt_no")

    class Meta:
        model = WorkloadEvent
        fields = ("seq", "at", "from_state", "to_state", "actor", "reason", "message", "attempt")


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    cluster = serializers.CharField(source="cluster.name")

    class Meta:
        model = Attempt
        fields = (
            "no",
            "cluster",
            "verdict",
            "reason",
            "message",
            "exit_code",
            "created_at",
            "started_at",
            "finished_at",
            "log_bytes",
            "cpu_seconds",
            "memory_bytes",
            "peak_memory_bytes",
            "measured_at",
        )


class PriorityClassSerializer(serializers.ModelSerializer[PriorityClass]):
    """A rank among everybody's work, and who may give it to his."""

    class Meta:
        model = PriorityClass
        fields = ("name", "rank", "open_to", "description")


class PriorityClassChangesSerializer(serializers.Serializer[Any]):
    rank = serializers.IntegerField(min_value=-1000, max_value=1000, required=False)
    open_to = serializers.ChoiceField(choices=OpenTo.choices, required=False)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
