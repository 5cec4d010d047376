from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.teams.models import Membership, Team


class MemberSerializer(serializers.ModelSerializer[Membership]):
    username = serializers.CharField(source="user.username")

    class Meta:
        model = Membership
        fields = ("username", "role")


class TeamSerializer(serializers.ModelSerializer[Team]):
    organization = serializers.CharField(source="organization.slug")
    role = serializers.SerializerMethodField(help_text="Mine in this team; empty for an admin who is not a member.")
    members = MemberSerializer(source="memberships", many=True)

    class Meta:
        model = Team
        fields = ("slug", "name", "organization", "role", "members")

    @extend_schema_field(str)
    def get_role(self, team: Team) -> str:
        user: Any = self.context["request"].user
        return next((str(row.role) for row in team.memberships.all() if row.user_id == user.pk), "")
