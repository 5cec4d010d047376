from typing import Any

from rest_framework import serializers

from apps.access.choices import Visibility
from apps.access.explain import Explanation
from apps.sharing.choices import HELD_ROLES, ShareRole
from apps.sharing.models import AccessRequest


class AccessLineSerializer(serializers.Serializer[Any]):
    """Who has access, as what, through what."""

    kind = serializers.CharField(help_text='"user", "team", "organization", "everyone", "admins" or "auditors".')
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=HELD_ROLES, source="role.word")
    through = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)
    granted_by = serializers.CharField(allow_blank=True)
    is_share = serializers.BooleanField(help_text="Whether it is a share, which can be changed and ended.")


class AccessSerializer(serializers.Serializer[Any]):
    """Who has access to one object."""

    kind = serializers.CharField()
    id = serializers.UUIDField()
    owner = serializers.CharField()
    team = serializers.CharField(allow_null=True)
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    role = serializers.ChoiceField(choices=HELD_ROLES, help_text="Mine.")
    results = AccessLineSerializer(many=True)
    more = serializers.BooleanField(help_text="There are others; ask with a larger offset.")


class PathSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=HELD_ROLES, source="role.word")
    through = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)


class WhySerializer(serializers.Serializer[Explanation]):
    """Every path that gives a person a role, and what is missing for the action."""

    user = serializers.CharField(source="subject")
    action = serializers.CharField(source="explanation.action")
    needs = serializers.ChoiceField(choices=HELD_ROLES, source="explanation.needs.word")
    allowed = serializers.BooleanField(source="explanation.decision.allowed")
    role = serializers.ChoiceField(choices=HELD_ROLES, source="explanation.role.word")
    paths = PathSerializer(many=True, source="explanation.paths")
    missing = serializers.ListField(child=serializers.CharField(), source="explanation.missing")
    scopes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, source="explanation.scopes", help_text="Of the token in use."
    )


class NewShareSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=ShareRole.choices)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AccessChangesSerializer(serializers.Serializer[Any]):
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    team = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)


class TransferSerializer(serializers.Serializer[Any]):
    to = serializers.CharField(max_length=150)
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class NewRequestSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=ShareRole.choices, default=ShareRole.VIEWER)
    message = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AskedSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


class DecisionSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=ShareRole.choices, required=False, default="")
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    note = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class RefusalSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AccessRequestSerializer(serializers.ModelSerializer[AccessRequest]):
    by = serializers.CharField(source="by.username")
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True)

    class Meta:
        model = AccessRequest
        fields = (
            "id", "kind", "object_id", "by", "role", "message", "state", "note", "decided_by", "decided_at",
            "created_at",
        )  # fmt: skip
        read_only_fields = fields
