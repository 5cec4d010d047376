from typing import Any, ClassVar

from rest_framework import serializers

from apps.access.choices import Visibility
from apps.environments.choices import BuildState
from apps.environments.models import Environment
from apps.environments.recipes import MOST_TEXT

_LONGEST_TEXT = 20_000
_TEXTS = serializers.ListField(child=serializers.CharField())


class EnvironmentSerializer(serializers.ModelSerializer[Environment]):
    """An environment: a name under which versions are kept."""

    owner = serializers.CharField(source="owner.username")
    team = serializers.CharField(source="team.slug", default=None, allow_null=True)
    newest_number = serializers.IntegerField(source="newest", help_text="The number given last.")

    class Meta:
        model = Environment
        fields: ClassVar = [
            "id", "name", "description", "owner", "team", "visibility", "newest_number", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class EnvironmentRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class BuildSerializer(serializers.Serializer[Any]):
    """A version on a cluster. `lines` are those of its packages that broke it, counted from 1."""

    cluster = serializers.CharField(source="cluster.name")
    state = serializers.ChoiceField(choices=BuildState.choices)
    key = serializers.CharField(help_text="What names its content: the same packages have the same.")
    message = serializers.CharField(help_text="Why it failed, or waits.")
    lines = serializers.ListField(child=serializers.IntegerField())
    size_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    used_at = serializers.DateTimeField(allow_null=True)


class BuildLogSerializer(BuildSerializer):
    """A build with what its tools said, and the lock it was made from."""

    log = serializers.CharField()
    lock = serializers.CharField(source="lock.text", default="", help_text="Every package with its hashes.")


class EnvironmentVersionSerializer(serializers.Serializer[Any]):
    """A version, which never changes, and where it has been built."""

    id = serializers.UUIDField()
    environment = EnvironmentRefSerializer()
    number = serializers.IntegerField()
    python = serializers.CharField(help_text='"3.11"; empty: the cluster\'s own.')
    packages = serializers.ListField(child=serializers.CharField())
    r_packages = serializers.ListField(child=serializers.CharField())
    image = serializers.CharField()
    variables = serializers.DictField(child=serializers.CharField(allow_blank=True))
    created_by = serializers.CharField(source="created_by.username")
    created_at = serializers.DateTimeField()
    builds = BuildSerializer(many=True)


class NewEnvironmentVersionSerializer(serializers.Serializer[Any]):
    """What a version is made of. Options, addresses and paths among the packages are refused."""

    packages = serializers.CharField(
        max_length=MOST_TEXT,
        required=False,
        allow_blank=True,
        default="",
        trim_whitespace=False,
        help_text="The text of a requirements file, or of a conda environment.yml.",
    )
    python = serializers.CharField(
        max_length=10, required=False, allow_blank=True, default="", help_text='"3.11"; empty: the cluster\'s own.'
    )
    r_packages = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=500)
    image = serializers.CharField(
        max_length=500, required=False, allow_blank=True, default="", help_text="For clusters that run containers."
    )
    variables = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        required=False,
        help_text="Set for the job, below its own. Not secret.",
    )


class NewEnvironmentSerializer(NewEnvironmentVersionSerializer):
    """An environment with its first version. Without a team it is one's own."""

    name = serializers.CharField(max_length=100)
    description = serializers.CharField(max_length=_LONGEST_TEXT, required=False, allow_blank=True, default="")
    team = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False, default="")


class EnvironmentChangesSerializer(serializers.Serializer[Any]):
    """What of an environment can be changed; its versions cannot."""

    name = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=_LONGEST_TEXT, required=False, allow_blank=True)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)


class NewBuildSerializer(serializers.Serializer[Any]):
    cluster = serializers.CharField(
        max_length=60, required=False, allow_blank=True, default="", help_text="Empty: where work would go."
    )
