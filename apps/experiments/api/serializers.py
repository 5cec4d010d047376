from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from typing_extensions import override

from apps.compute.choices import ACTIVE, State
from apps.experiments.models import CodeUpload, Experiment
from apps.quotas.choices import CPU, DISK, GPU, MEMORY
from apps.sources.choices import FetchState, SourceKind

_BUILT_IN = (CPU, MEMORY, GPU, DISK)


class ExperimentProjectSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class AskedResourcesSerializer(serializers.Serializer[Any]):
    """What an experiment asks for: thousandths of CPUs and GPUs, bytes, and counts of what else is limited."""

    cpu = serializers.IntegerField()
    memory = serializers.IntegerField()
    gpu = serializers.IntegerField()
    disk = serializers.IntegerField()
    gpu_model = serializers.CharField()
    other = serializers.DictField(child=serializers.IntegerField())


class SourceSerializer(serializers.Serializer[Any]):
    """Code that the platform fetches: how far it is, and, once it is ready, which commit and archive it turned out to be."""

    kind = serializers.ChoiceField(choices=SourceKind.choices)
    url = serializers.CharField()
    ref = serializers.CharField(help_text="As it was asked for.")
    subfolder = serializers.CharField()
    submodules = serializers.BooleanField()
    state = serializers.ChoiceField(choices=FetchState.choices)
    message = serializers.CharField(help_text="Why it waits or failed.")
    commit = serializers.CharField(help_text="Empty for an archive.")
    branch = serializers.CharField()
    is_dirty = serializers.BooleanField(help_text="Whether changes lie on top of the commit.")
    sha256 = serializers.CharField(help_text="Of the archive that the job gets.")
    size_bytes = serializers.IntegerField()


class ExperimentSerializer(serializers.Serializer[Experiment]):
    """An experiment as every door shows it. `message` is the sentence for people, `reason` the machine word."""

    # A plain serializer: a model serializer looks the model over for each request, a twentieth of a submission's cost.

    id = serializers.UUIDField(source="pk", read_only=True)
    name = serializers.CharField(source="run.name")
    kind = serializers.CharField(max_length=20)
    state = serializers.ChoiceField(choices=State.choices, source="workload.state")
    reason = serializers.CharField(source="workload.reason")
    message = serializers.CharField(source="workload.message")
    desired_state = serializers.ChoiceField(choices=[("run", "Run"), ("stop", "Stop")], source="workload.desired_state")
    project = ExperimentProjectSerializer(source="run.project")
    owner = serializers.CharField(source="run.owner.username")
    team = serializers.CharField(source="run.team.slug", default=None, allow_null=True)
    visibility = serializers.CharField(source="run.visibility")
    spec = serializers.JSONField()
    source = SourceSerializer(allow_null=True, help_text="Null unless its code is fetched.")  # type: ignore[assignment]  # a field of that name
    resources = serializers.SerializerMethodField(help_text="What it asks for, in base units.")
    priority = serializers.IntegerField(source="workload.priority", help_text="Among its owner's own work.")
    priority_class = serializers.CharField(source="workload.priority_class", help_text="Among everybody's; or empty.")
    cluster = serializers.CharField(source="workload.cluster.name")
    attempt = serializers.IntegerField(source="workload.attempt_no")
    exit_code = serializers.IntegerField(source="workload.exit_code", allow_null=True)
    created_at = serializers.DateTimeField(source="workload.created_at")
    started_at = serializers.DateTimeField(source="workload.started_at", allow_null=True)
    finished_at = serializers.DateTimeField(source="workload.finished_at", allow_null=True)
    duration_seconds = serializers.SerializerMethodField(help_text="From start to end; null until it has ended.")
    tags = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField(help_text="Its page in the portal.")
    actions = serializers.SerializerMethodField(help_text="What its state permits now.")

    @extend_schema_field(AskedResourcesSerializer())
    def get_resources(self, experiment: Experiment) -> dict[str, Any]:
        amounts, asked = experiment.workload.amounts, experiment.spec.get("resources", {})
        other = {name: amounts.get(name, 0) for name in asked.get("other", {})}
        model = asked.get("gpu_model", "")
        return {**{name: amounts.get(name, 0) for name in _BUILT_IN}, "gpu_model": model, "other": other}

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_duration_seconds(self, experiment: Experiment) -> float | None:
        workload = experiment.workload
        if workload.started_at is None or workload.finished_at is None:
            return None
        seconds: float = (workload.finished_at - workload.started_at).total_seconds()
        return seconds

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_tags(self, experiment: Experiment) -> dict[str, str]:
        return {tag.key: tag.value for tag in experiment.run.tags.all()}

    @extend_schema_field(str)
    def get_url(self, experiment: Experiment) -> str:
        return f"{settings.FATHOM_URL}/experiments/{experiment.pk}/"

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_actions(self, experiment: Experiment) -> list[str]:
        return possible_actions(experiment.workload.state)


class SubmittedSerializer(ExperimentSerializer):
    """An experiment of this moment: its tags are those of its specification."""

    @override
    def get_tags(self, experiment: Experiment) -> dict[str, str]:
        tags: dict[str, str] = experiment.spec.get("tags", {})
        return tags


def possible_actions(state: str) -> list[str]:
    """List what a state permits; whether the caller may is the policy's business."""
    if state in ACTIVE:
        return ["stop", "clone"]
    return ["clone", "delete"] if state == State.SUCCEEDED else ["retry", "clone", "delete"]


class SpecSerializer(serializers.Serializer[Any]):
    """The specification (see /api/v2/spec-schema/); validated as a whole by its JSON Schema."""


class StopSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class CloneSerializer(serializers.Serializer[Any]):
    overrides = serializers.DictField(required=False, default=dict, help_text="Fields of the specification to replace.")


class LogSerializer(serializers.Serializer[Any]):
    """A piece of the log: bytes `offset` to `next_offset`, as UTF-8 with replacement characters."""

    offset = serializers.IntegerField()
    next_offset = serializers.IntegerField()
    data = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    eof = serializers.BooleanField()
    attempt = serializers.IntegerField()
    total_bytes = serializers.IntegerField()


class CodeSerializer(serializers.ModelSerializer[CodeUpload]):
    ref = serializers.CharField(source="__str__")

    class Meta:
        model = CodeUpload
        fields = ("ref", "size_bytes", "format")


class ResourceUsageSerializer(serializers.Serializer[Any]):
    used = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)


class NodeUsageSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    name = serializers.CharField()
    resources = serializers.DictField(child=ResourceUsageSerializer())


class WaitingSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    position = serializers.IntegerField()
    reason = serializers.CharField()


class UsageSerializer(serializers.Serializer[Any]):
    """Limits and use in base units (milli-CPU, milli-GPU, bytes, counts), and my place in the queue."""

    nodes = NodeUsageSerializer(many=True)
    queue = WaitingSerializer(many=True)
