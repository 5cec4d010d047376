from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.teams.choices import SERVICE_ROLES, TeamRole
from apps.teams.models import Invitation, InvitedTo, Membership, Organization, Team


class MemberSerializer(serializers.ModelSerializer[Membership]):
    username = serializers.CharField(source="user.username")
    is_service = serializers.SerializerMethodField(help_text="Whether it is a service account.")

    class Meta:
        model = Membership
        fields = ("username", "role", "is_service")

    def get_is_service(self, row: Membership) -> bool:
        return row.user.service_of_id is not None


class TeamSerializer(serializers.ModelSerializer[Team]):
    organization = serializers.CharField(source="organization.slug")
    role = serializers.SerializerMethodField(help_text="Mine in this team; empty for an admin who is not a member.")
    members = MemberSerializer(source="memberships", many=True)
    archived = serializers.SerializerMethodField(help_text="It takes no new work and no new members.")

    class Meta:
        model = Team
        fields = ("slug", "name", "organization", "archived", "role", "members")

    @extend_schema_field(str)
    def get_role(self, team: Team) -> str:
        user: Any = self.context["request"].user
        return next((str(row.role) for row in team.memberships.all() if row.user_id == user.pk), "")

    def get_archived(self, team: Team) -> bool:
        return team.archived_at is not None


class NewTeamSerializer(serializers.Serializer[Any]):
    organization = serializers.CharField(max_length=60, help_text="Its slug.")
    slug = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=120)


class NewOrganizationSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=120)


class RenameSerializer(serializers.Serializer[Any]):
    """Another name, or closing and opening again, which needs a reason."""

    name = serializers.CharField(max_length=120, required=False)
    archived = serializers.BooleanField(required=False)
    reason = serializers.CharField(max_length=500, default="")


class OrganizationSerializer(serializers.ModelSerializer[Organization]):
    archived = serializers.SerializerMethodField()

    class Meta:
        model = Organization
        fields = ("slug", "name", "archived")

    def get_archived(self, organization: Organization) -> bool:
        return organization.archived_at is not None


class RoleSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=TeamRole.choices)


class ServiceAccountSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    role = serializers.CharField()
    is_active = serializers.BooleanField()


class NewServiceAccountSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=60, help_text="The account is called svc.<team>.<name>.")
    role = serializers.ChoiceField(choices=SERVICE_ROLES, default=TeamRole.MEMBER)


class ServiceAccountChangeSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=SERVICE_ROLES, required=False)
    is_active = serializers.BooleanField(required=False)
    reason = serializers.CharField(max_length=500, default="")


class InvitedToSerializer(serializers.ModelSerializer[InvitedTo]):
    team = serializers.CharField(source="team.slug", max_length=60)

    class Meta:
        model = InvitedTo
        fields = ("team", "role")


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    made_by = serializers.CharField(source="made_by.username", allow_null=True, default=None)
    for_user = serializers.CharField(source="for_user.username", allow_null=True, default=None)
    redeemed_by = serializers.CharField(source="redeemed_by.username", allow_null=True, default=None)
    state = serializers.CharField()
    teams = InvitedToSerializer(many=True)

    class Meta:
        model = Invitation
        fields: Any = (
            "id", "state", "email", "teams", "made_by", "for_user", "created_at", "expires_at", "redeemed_at",
            "redeemed_by",
        )  # fmt: skip
        read_only_fields = fields


class IssuedInvitationSerializer(InvitationSerializer):
    url = serializers.CharField(help_text="The link itself; it cannot be read again.")

    class Meta(InvitationSerializer.Meta):
        fields: Any = (*InvitationSerializer.Meta.fields, "url")


class NewInvitationSerializer(serializers.Serializer[Any]):
    teams = InvitedToSerializer(many=True, default=list)
    for_user = serializers.CharField(
        max_length=150, allow_blank=True, default="", help_text="An account that has no password yet. Admins only."
    )
    email = serializers.CharField(max_length=254, allow_blank=True, default="")
    expires_in_days = serializers.IntegerField(min_value=1, max_value=90, required=False)

    def lifetime(self) -> timedelta | None:
        days = self.validated_data.get("expires_in_days")
        return None if days is None else timedelta(days=days)


class ImportSerializer(serializers.Serializer[Any]):
    csv = serializers.CharField(
        trim_whitespace=False, help_text="username,email,first_name,last_name,team,role,platform_role"
    )


class ImportLineSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    username = serializers.CharField()
    does = serializers.CharField()
    errors = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]  # a field, not the base's


class ImportLinkSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    url = serializers.CharField(help_text="By which the person chooses a password; it cannot be read again.")


class ImportReportSerializer(serializers.Serializer[Any]):
    """What the file does, line by line. `links` is empty in a dry run, and in a repeated answer."""

    applied = serializers.BooleanField()
    changes = serializers.IntegerField()
    new_people = serializers.ListField(child=serializers.CharField())
    lines = ImportLineSerializer(many=True)
    links = ImportLinkSerializer(many=True)
