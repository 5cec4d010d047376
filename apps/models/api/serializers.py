from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.access.choices import Visibility
from apps.models.choices import Operator, RequestState, Stage, Target
from apps.models.models import Move, MoveRequest, Protection, RegisteredModel

_LONGEST_CARD = 200_000
_TEXTS = serializers.DictField(child=serializers.CharField(allow_blank=True))


class TagsField(serializers.DictField):
    """Tags to set; null takes one off."""

    def __init__(self, **kwargs: Any) -> None:
        child = serializers.CharField(allow_blank=True, allow_null=True, trim_whitespace=False, max_length=5000)
        super().__init__(child=child, required=False, **kwargs)


class ModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """A registered model. `aliases` maps each to the version it points to."""

    owner = serializers.CharField(source="owner.username")
    team = serializers.CharField(source="team.slug", default=None, allow_null=True)
    tags = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    newest_number = serializers.IntegerField(source="newest", help_text="The number given last; 0: there is none yet.")

    class Meta:
        model = RegisteredModel
        fields: ClassVar = [
            "id", "name", "description", "owner", "team", "visibility", "tags", "aliases", "newest_number", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(_TEXTS)
    def get_tags(self, model: Any) -> dict[str, str]:
        return {row.key: row.value for row in model.tags.all()}

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_aliases(self, model: Any) -> dict[str, int]:
        return {row.name: row.version.number for row in model.aliases.all()}


class ModelChangesSerializer(serializers.Serializer[Any]):
    """What of a registered model can be changed."""

    name = serializers.CharField(max_length=250, required=False)
    description = serializers.CharField(
        max_length=_LONGEST_CARD, required=False, allow_blank=True, help_text="The card."
    )
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)
    tags = TagsField()


class NewModelSerializer(serializers.Serializer[Any]):
    """What a registered model is made from. Without a team it is one's own."""

    name = serializers.CharField(max_length=250)
    description = serializers.CharField(max_length=_LONGEST_CARD, required=False, allow_blank=True, default="")
    team = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False, default="")
    tags = serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False), required=False)


class ModelRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class DatasetSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=500)
    digest = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class VersionSerializer(serializers.Serializer[Any]):
    """A version. All but stage, aliases, description and tags is as it was when it was made."""

    id = serializers.UUIDField()
    model = ModelRefSerializer()
    number = serializers.IntegerField()
    stage = serializers.ChoiceField(choices=Stage.choices)
    aliases = serializers.SerializerMethodField()
    description = serializers.CharField()
    tags = serializers.SerializerMethodField()
    run = serializers.UUIDField(source="run_id", allow_null=True)
    run_path = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the attribute
    signature = serializers.DictField(allow_null=True)
    metrics = serializers.DictField(help_text="Those of the run when it was registered.")
    params = serializers.DictField()
    environment = serializers.CharField()
    datasets = DatasetSerializer(many=True)
    scan = serializers.DictField(help_text="What the pickles in it would import: advice, no gate.")
    files_count = serializers.IntegerField()
    size_bytes = serializers.IntegerField()
    created_by = serializers.CharField(source="created_by.username")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_aliases(self, version: Any) -> list[str]:
        return [row.name for row in version.aliases.all()]

    @extend_schema_field(_TEXTS)
    def get_tags(self, version: Any) -> dict[str, str]:
        return {row.key: row.value for row in version.tags.all()}


class DetailsSerializer(serializers.Serializer[Any]):
    """What is said of a new version. What is left out is read from the files, where they say it."""

    description = serializers.CharField(max_length=_LONGEST_CARD, required=False, allow_blank=True)
    environment = serializers.CharField(max_length=100_000, required=False, allow_blank=True, trim_whitespace=False)
    signature = serializers.DictField(required=False, allow_null=True)
    datasets = DatasetSerializer(many=True, required=False)
    tags = serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False), required=False)
    metrics = serializers.DictField(child=serializers.FloatField(), required=False)


class NewVersionSerializer(DetailsSerializer):
    """A version made from what a run kept. Its files are referred to, not copied."""

    run = serializers.UUIDField()
    path = serializers.CharField(
        max_length=500, required=False, allow_blank=True, default="", help_text="A folder or a file; empty: everything."
    )


class VersionChangesSerializer(serializers.Serializer[Any]):
    description = serializers.CharField(max_length=_LONGEST_CARD, required=False, allow_blank=True)
    tags = TagsField()


class FileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    content_type = serializers.CharField()
    url = serializers.CharField(help_text="A signed link, for me alone, good for five minutes.")


class FilesSerializer(serializers.Serializer[Any]):
    """The files of a version by path."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = FileSerializer(many=True)


class MoveReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")


class SetAliasSerializer(MoveReasonSerializer):
    version = serializers.CharField(max_length=250, help_text="A number, another alias, or latest.")


class StageSerializer(MoveReasonSerializer):
    stage = serializers.ChoiceField(choices=Stage.choices)
    archive_others = serializers.BooleanField(required=False, default=False, help_text="Those in the stage leave it.")


class AliasSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = serializers.IntegerField(source="version.number")
    moved_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="ModelMove")
class MoveSerializer(serializers.ModelSerializer[Move]):
    """One move. Of an alias `before` and `after` are versions, of a stage they are stages; empty is nothing."""

    version = serializers.IntegerField(source="version.number")
    by = serializers.CharField(source="by.username", default=None, allow_null=True)
    request = serializers.UUIDField(source="request_id", allow_null=True)

    class Meta:
        model = Move
        fields: ClassVar = ["id", "target", "name", "version", "before", "after", "by", "reason", "request", "at"]
        read_only_fields = fields


class ThresholdSerializer(serializers.Serializer[Any]):
    metric = serializers.CharField(max_length=250)
    operator = serializers.ChoiceField(choices=Operator.choices)
    value = serializers.FloatField()


class NewProtectionSerializer(MoveReasonSerializer):
    """A rule. Without a name it is for every alias (or stage) that has none of its own."""

    target = serializers.ChoiceField(choices=Target.choices, required=False, default=Target.ALIAS)
    name = serializers.CharField(max_length=250, required=False, allow_blank=True, default="")
    approvals = serializers.IntegerField(min_value=0, max_value=10, required=False, default=1)
    separate_duties = serializers.BooleanField(
        required=False, default=True, help_text="Who made a version neither approves nor moves it."
    )
    thresholds = ThresholdSerializer(many=True, required=False, default=list)


class ProtectionSerializer(serializers.ModelSerializer[Protection]):
    thresholds = ThresholdSerializer(many=True)

    class Meta:
        model = Protection
        fields: ClassVar = ["id", "target", "name", "approvals", "separate_duties", "thresholds", "created_at"]
        read_only_fields = fields


class DecisionSerializer(serializers.Serializer[Any]):
    by = serializers.CharField(source="by.username")
    approved = serializers.BooleanField(source="is_approval")
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()


class MoveRequestSerializer(serializers.ModelSerializer[MoveRequest]):
    """A wish to move something protected, and the answers so far."""

    model = ModelRefSerializer()
    version = serializers.IntegerField(source="version.number")
    state = serializers.ChoiceField(choices=RequestState.choices)
    requested_by = serializers.CharField(source="requested_by.username")
    decisions = DecisionSerializer(many=True)

    class Meta:
        model = MoveRequest
        fields: ClassVar = [
            "id", "model", "version", "target", "name", "removes", "reason", "state", "requested_by", "decisions",
            "created_at", "decided_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewMoveRequestSerializer(serializers.Serializer[Any]):
    """What is asked for. `name` is the alias, or the stage."""

    target = serializers.ChoiceField(choices=Target.choices, required=False, default=Target.ALIAS)
    name = serializers.CharField(max_length=250)
    version = serializers.CharField(max_length=250, help_text="A number, an alias, or latest.")
    removes = serializers.BooleanField(required=False, default=False, help_text="The alias is to be taken away.")
    reason = serializers.CharField(max_length=1000)


class ComparedLineSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    values = serializers.ListField(help_text="One for each version; null: it has none.")
    differs = serializers.BooleanField()


class ComparisonSerializer(serializers.Serializer[Any]):
    """Versions side by side; `files` holds hashes."""

    versions = serializers.ListField(child=serializers.IntegerField())
    metrics = ComparedLineSerializer(many=True)
    params = ComparedLineSerializer(many=True)
    signature = ComparedLineSerializer(many=True)
    facts = ComparedLineSerializer(many=True)
    files = ComparedLineSerializer(many=True)
