from rest_framework import serializers

from apps.compute.models import Attempt, Cluster, WorkloadEvent


class ClusterSerializer(serializers.ModelSerializer[Cluster]):
    is_isolated = serializers.BooleanField(source="isolates_tenants", help_text="False: its jobs are not kept apart.")

    class Meta:
        model = Cluster
        fields = (
            "name",
            "kind",
            "state",
            "message",
            "warnings",
            "is_isolated",
            "is_drained",
            "labels",
            "capacity",
            "checked_at",
        )


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
