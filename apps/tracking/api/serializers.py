from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.access.choices import Visibility
from apps.tracking import summaries
from apps.tracking.choices import RunStatus
from apps.tracking.models import Project, Run, SavedView

NUMBER = {
    "oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}],
    "description": "JSON has no non-finite numbers: they travel by name.",
}
NUMBER_OR_NULL = {"oneOf": [*NUMBER["oneOf"], {"type": "null"}]}


class ProjectSerializer(serializers.ModelSerializer[Project]):
    owner = serializers.CharField(source="owner.username")
    team = serializers.CharField(source="team.slug", default=None, allow_null=True)

    class Meta:
        model = Project
        fields: ClassVar = ["id", "name", "description", "owner", "team", "visibility", "created_at"]
        read_only_fields = fields


class ProjectChangesSerializer(serializers.Serializer[Any]):
    """What of a project can be changed."""

    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)


class NewProjectSerializer(ProjectChangesSerializer):
    """What a project is made from. Without a team it is one's own."""

    name = serializers.CharField(max_length=120)
    team = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)


class ProjectRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


@extend_schema_field(NUMBER_OR_NULL)
class FloatField(serializers.Field[Any, Any, Any, Any]):
    def to_representation(self, value: Any) -> Any:
        return summaries.wire(value)


class MetricSummarySerializer(serializers.Serializer[Any]):
    """A metric's last point, by step and then time, and the extremes of all points, which ignore NaN."""

    value = FloatField()
    step = serializers.IntegerField(allow_null=True)
    time = serializers.DateTimeField(allow_null=True)
    min = FloatField()
    max = FloatField()
    count = serializers.IntegerField()


class RunSerializer(serializers.ModelSerializer[Run]):
    """A tracked run. Of params, tags and metrics the first 1,000 by name are shown."""

    project = ProjectRefSerializer()
    owner = serializers.CharField(source="owner.username")
    team = serializers.CharField(source="team.slug", default=None, allow_null=True)
    params = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()
    metrics = serializers.SerializerMethodField()
    experiment = serializers.UUIDField(
        source="experiment_pk", allow_null=True, help_text="Null: no job stands behind it."
    )

    class Meta:
        model = Run
        fields: ClassVar = [
            "id",
            "name",
            "project",
            "status",
            "owner",
            "team",
            "visibility",
            "params",
            "tags",
            "metrics",
            "created_at",
            "finished_at",
            "experiment",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_params(self, run: Any) -> dict[str, str]:
        return {row.key: row.value for row in run.shown_params}

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_tags(self, run: Any) -> dict[str, str]:
        return {row.key: row.value for row in run.shown_tags}

    @extend_schema_field(serializers.DictField(child=MetricSummarySerializer()))
    def get_metrics(self, run: Run) -> dict[str, Any]:
        return {one.key: MetricSummarySerializer(one).data for one in summaries.latest_metrics(run)}


class NewRunSerializer(serializers.Serializer[Any]):
    """What a run is made from. `project` is an id or a name; left out, a job's own, or "default", which comes into being
    when it is first meant.
    """

    project = serializers.CharField(max_length=120, required=False)
    name = serializers.CharField(max_length=200, required=False)
    team = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False, default="")
    tags = serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False), required=False)


class FinishSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=[pair for pair in RunStatus.choices if pair[0] != RunStatus.RUNNING])


class BatchResultSerializer(serializers.Serializer[Any]):
    """How much the batch held; `duplicate`: it had been accepted before, and nothing was added."""

    metrics = serializers.IntegerField()
    params = serializers.IntegerField()
    tags = serializers.IntegerField()
    duplicate = serializers.BooleanField()


class CurveSerializer(serializers.Serializer[Any]):
    """`points` are [step, milliseconds since the epoch, value, min, max], by x."""

    key = serializers.CharField()
    points = serializers.ListField(child=serializers.ListField())
    count = serializers.IntegerField(help_text="How many points there are.")
    downsampled = serializers.BooleanField(help_text="True: a row stands for several points.")
    sampled = serializers.BooleanField(
        help_text="True: there are so many points that some stand for all; a spike between them is not seen."
    )


class CurvesSerializer(serializers.Serializer[Any]):
    series = CurveSerializer(many=True)


class EventProblemSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    problem = serializers.CharField()


class EventCurvesSerializer(CurvesSerializer):
    """A folder's path stands before the tags of the files in it."""

    problems = EventProblemSerializer(many=True)
    left_out = serializers.IntegerField(help_text="How many files were not read: there are too many.")


class RunCurvesSerializer(CurvesSerializer):
    id = serializers.UUIDField()


class CurvesOfRunsSerializer(serializers.Serializer[Any]):
    """In the order in which the runs were named."""

    runs = RunCurvesSerializer(many=True)
    left_out = serializers.IntegerField(help_text="How many were named that there are not, or that I may not see.")


class ArtifactSerializer(serializers.Serializer[Any]):
    """A file, or a folder with the sum of what is below it."""

    path = serializers.CharField()
    is_dir = serializers.BooleanField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField(allow_null=True)
    content_type = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    is_pinned = serializers.BooleanField(
        help_text="Kept whatever the rule of its project says; of a folder: all of it."
    )
    url = serializers.CharField(allow_null=True, help_text="A signed link, for me alone, good for five minutes.")


class ArtifactChangesSerializer(serializers.Serializer[Any]):
    """What of a file can be changed without sending it again."""

    is_pinned = serializers.BooleanField()


class FolderSerializer(serializers.Serializer[Any]):
    """One folder's entries by name."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = ArtifactSerializer(many=True)


class SavedViewSerializer(serializers.ModelSerializer[SavedView]):
    """What a project's run table was asked for, under a name. `query` is the query string of the table's page."""

    project = serializers.UUIDField(source="project_id")
    owner = serializers.CharField(source="owner.username")

    class Meta:
        model = SavedView
        fields: ClassVar = ["id", "project", "name", "query", "is_shared", "owner", "created_at", "updated_at"]
        read_only_fields = fields


class SavedViewChangesSerializer(serializers.Serializer[Any]):
    """What of a view can be changed. To share it needs the right to edit the project."""

    name = serializers.CharField(max_length=60, required=False)
    query = serializers.CharField(max_length=4000, required=False, allow_blank=True)
    is_shared = serializers.BooleanField(required=False)


class NewSavedViewSerializer(SavedViewChangesSerializer):
    """What a view is made from."""

    project = serializers.UUIDField()
    name = serializers.CharField(max_length=60)
    query = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    is_shared = serializers.BooleanField(required=False, default=False)
