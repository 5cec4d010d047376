from typing import Any, ClassVar

from rest_framework import serializers

from apps.access.choices import Visibility
from apps.credentials.choices import Kind
from apps.credentials.models import Credential, CredentialUse


class CredentialSerializer(serializers.ModelSerializer[Credential]):
    """All that anybody can read of a credential. The fingerprint tells one value from another, and nothing about it."""

    owner = serializers.CharField(source="owner.username")
    team = serializers.CharField(source="team.slug", default=None, allow_null=True)
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    public = serializers.DictField(child=serializers.CharField(), help_text="The fields that are no secret.")

    class Meta:
        model = Credential
        fields: ClassVar = [
            "id",
            "name",
            "kind",
            "description",
            "public",
            "version",
            "fingerprint",
            "owner",
            "team",
            "visibility",
            "created_by",
            "created_at",
            "replaced_at",
            "last_used_at",
            "expires_at",
        ]
        read_only_fields = fields


class CredentialChangesSerializer(serializers.Serializer[Any]):
    """What of a credential can be changed beside its value."""

    name = serializers.CharField(max_length=63, required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class NewValueSerializer(serializers.Serializer[Any]):
    """A new value in place of the old one. Public fields that are not given stay."""

    values = serializers.DictField(
        write_only=True,
        help_text="The fields of the kind, secret and public; a keytab in base64. Never to be read again.",
    )
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class NewCredentialSerializer(CredentialChangesSerializer):
    """What a credential is made from. Without a team it is one's own."""

    name = serializers.CharField(max_length=63)
    kind = serializers.ChoiceField(choices=Kind.choices)
    team = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)
    values = serializers.DictField(
        write_only=True,
        help_text="The fields of the kind, secret and public; a keytab in base64. Never to be read again.",
    )


class CredentialUseSerializer(serializers.ModelSerializer[CredentialUse]):
    """One delivery to a job."""

    user = serializers.CharField(source="user.username")
    run = serializers.UUIDField(source="run_id")

    class Meta:
        model = CredentialUse
        fields: ClassVar = ["run", "attempt_no", "alias", "version", "user", "at"]
        read_only_fields = fields
