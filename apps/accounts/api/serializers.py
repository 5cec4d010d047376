from datetime import timedelta
from typing import Any, ClassVar

from rest_framework import serializers

from apps.accounts.models import ApiToken, UserSession

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


class ElevationSerializer(serializers.Serializer[Any]):
    """Who it is, again, and why. `minutes` is as long as an elevation in the browser unless given."""

    password = serializers.CharField(max_length=4096, trim_whitespace=False, write_only=True, default="")
    code = serializers.CharField(max_length=64, write_only=True, default="", allow_blank=True)
    reason = serializers.CharField(max_length=500)
    minutes = serializers.IntegerField(min_value=1, max_value=60 * 24 * 30, required=False)


class PasswordSerializer(serializers.Serializer[Any]):
    current_password = serializers.CharField(max_length=4096, trim_whitespace=False, write_only=True)
    new_password = serializers.CharField(max_length=4096, trim_whitespace=False, write_only=True)
    end_tokens = serializers.BooleanField(default=False, help_text="Revoke every personal token as well.")


class SessionSerializer(serializers.ModelSerializer[UserSession]):
    """A browser in which somebody is logged in."""

    user = serializers.CharField(source="user.username")
    is_current = serializers.SerializerMethodField()

    class Meta:
        model = UserSession
        fields: ClassVar = [
            "id",
            "user",
            "created_at",
            "last_seen_at",
            "expires_at",
            "ip",
            "user_agent",
            "elevated_until",
            "is_current",
        ]
        read_only_fields = fields

    def get_is_current(self, session: UserSession) -> bool:
        mine = self.context["request"].user.session
        return mine is not None and mine.pk == session.pk
