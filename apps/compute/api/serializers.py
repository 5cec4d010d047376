from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.compute.models import Attempt, Cluster, WorkloadEvent


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
        )
