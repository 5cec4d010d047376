from datetime import timedelta
from typing import Any, ClassVar

from rest_framework import serializers

from apps.accounts.models import ApiToken

LONGEST_LIFE_DAYS = 3650


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    class Meta:
        model = ApiToken
        fields: ClassVar = [
            "id",
            "name",
            "kind",
            "prefix",
            "scopes",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = fields


class NewTokenSerializer(serializers.Serializer[Any]):
    """What a token is made from."""

    name = serializers.CharField(max_length=100, default="api")
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=80), min_length=1, max_length=100, default=["all"]
    )
    expires_in_days = serializers.IntegerField(min_value=1, max_value=LONGEST_LIFE_DAYS, default=90)

    def lifetime(self) -> timedelta:
        return timedelta(days=self.validated_data["expires_in_days"])


class LoginSerializer(NewTokenSerializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, write_only=True)


class IssuedTokenSerializer(TokenSerializer):
    token = serializers.CharField(help_text="The token itself; it cannot be read again.")

    class Meta(TokenSerializer.Meta):
        fields: ClassVar = [*TokenSerializer.Meta.fields, "token"]


class MyTeamSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    """Who is asking, and through what."""

    username = serializers.CharField()
    email = serializers.CharField()
    is_admin = serializers.BooleanField()
    teams = MyTeamSerializer(many=True)
    token = TokenSerializer(allow_null=True)
