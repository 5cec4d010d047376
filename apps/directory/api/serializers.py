from typing import Any, ClassVar

from rest_framework import serializers

from apps.accounts.choices import PlatformRole
from apps.directory.choices import DIRECTORIES
from apps.directory.models import DirectoryRule, DirectorySync
from apps.directory.planning import Kind
from apps.teams.choices import TeamRole
from apps.teams.models import Team


class RuleSerializer(serializers.ModelSerializer[DirectoryRule]):
    team = serializers.SerializerMethodField()

    class Meta:
        model = DirectoryRule
        fields: ClassVar = ["id", "source", "group", "team", "role", "platform_role", "order", "enabled"]
        read_only_fields = fields

    def get_team(self, rule: DirectoryRule) -> str:
        return rule.team.slug if rule.team else ""


class RuleChangesSerializer(serializers.Serializer[Any]):
    """What a rule is made from, or changed to. Either `team` and `role`, or `platform_role`."""

    source = serializers.ChoiceField(choices=DIRECTORIES, required=False)  # type: ignore[assignment]  # DRF's own name
    group = serializers.CharField(max_length=500, required=False)
    team = serializers.SlugField(required=False, allow_blank=True)
    role = serializers.ChoiceField(choices=TeamRole.choices, required=False, allow_blank=True)
    platform_role = serializers.ChoiceField(choices=PlatformRole.choices, required=False, allow_blank=True)
    order = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    enabled = serializers.BooleanField(required=False)

    def validate_team(self, slug: str) -> Team | None:
        if not slug:
            return None
        team: Team | None = Team.objects.visible_to(self.context["request"].user, "view").filter(slug=slug).first()
        if team is None:
            msg = "There is no such team."
            raise serializers.ValidationError(msg)
        return team

    def apply(self, rule: DirectoryRule) -> DirectoryRule:
        """Put what was given onto `rule`."""
        for name, value in self.validated_data.items():
            setattr(rule, name, value)
        return rule


class PlannedChangeSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text=f"One of {', '.join(Kind)}.")
    username = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # DRF's own name
    external_id = serializers.CharField()
    team = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    text = serializers.CharField(source="__str__", help_text="The change in words.")


class PlanSerializer(serializers.Serializer[Any]):
    """What a sync would change now."""

    digest = serializers.CharField(help_text="Give it to the sync, which then does exactly this or nothing.")
    seen = serializers.IntegerField(help_text="How many people were read.")
    held = serializers.CharField(help_text="Why a sync would do nothing, unless forced; empty when it would.")
    changes = PlannedChangeSerializer(many=True)
    refusals = PlannedChangeSerializer(many=True)


class SyncOptionsSerializer(serializers.Serializer[Any]):
    digest = serializers.CharField(max_length=64, required=False, default="")
    force = serializers.BooleanField(required=False, default=False)


class SyncSerializer(serializers.ModelSerializer[DirectorySync]):
    class Meta:
        model = DirectorySync
        fields: ClassVar = ["id", "started_at", "ended_at", "outcome", "asked_by", "counts", "message", "changes"]
        read_only_fields = fields
