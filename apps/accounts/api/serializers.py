from datetime import timedelta
from typing import Any, ClassVar

from rest_framework import serializers
from typing_extensions import override

from apps.accounts.choices import Assets, Belonging, Jobs, PlatformRole
from apps.accounts.models import ApiToken, Registration, User, UserSession

LONGEST_LIFE_DAYS = 3650
PRIVATE = ("email", "platform_role", "is_active", "last_login", "date_joined")  # of a person, not for colleagues


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    user = serializers.CharField(source="user.username", help_text="Whose it is: mine, or a service account's.")
    addresses = serializers.ListField(
        child=serializers.CharField(), help_text="Networks it may be used from; none: from everywhere."
    )
    replaces = serializers.UUIDField(source="replaces_id", allow_null=True, help_text="The token it was made from.")

    class Meta:
        model = ApiToken
        fields: ClassVar = [
            "id",
            "name",
            "kind",
            "user",
            "prefix",
            "scopes",
            "addresses",
            "replaces",
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
    addresses = serializers.ListField(child=serializers.CharField(max_length=50), max_length=50, default=list)

    def facts(self) -> dict[str, Any]:
        """Return what the service asks for."""
        data = self.validated_data
        life = timedelta(days=data["expires_in_days"])
        return {"name": data["name"], "scopes": data["scopes"], "addresses": data["addresses"], "expires_in": life}


class TokenChangeSerializer(serializers.Serializer[Any]):
    """What of a token is changed after it was made."""

    addresses = serializers.ListField(
        child=serializers.CharField(max_length=50),
        max_length=50,
        help_text="Networks it may be used from; an empty list: from everywhere.",
    )
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class RotationSerializer(serializers.Serializer[Any]):
    overlap_hours = serializers.IntegerField(
        min_value=0, max_value=168, default=24, help_text="How long the old token still works."
    )

    def overlap(self) -> timedelta:
        return timedelta(hours=self.validated_data["overlap_hours"])


class LoginSerializer(NewTokenSerializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, write_only=True)


class IssuedTokenSerializer(TokenSerializer):
    token = serializers.CharField(help_text="The token itself; it cannot be read again.")

    class Meta(TokenSerializer.Meta):
        fields: ClassVar = [*TokenSerializer.Meta.fields, "token"]


class UserSerializer(serializers.ModelSerializer[User]):
    """A person or service account. What is null is shown to himself, to admins and to auditors only."""

    service_of = serializers.CharField(
        source="service_of.slug", allow_null=True, default=None, help_text="The team of a service account."
    )

    class Meta:
        model = User
        fields: ClassVar = ["username", "first_name", "last_name", "service_of", *PRIVATE]
        read_only_fields = fields
        extra_kwargs: ClassVar = {name: {"allow_null": True} for name in PRIVATE}

    @override
    def to_representation(self, instance: User) -> dict[str, Any]:
        shown = super().to_representation(instance)
        reader: Any = self.context["request"].user
        if reader.pk == instance.pk or reader.is_superuser or reader.is_auditor:
            return shown
        return {name: None if name in PRIVATE else value for name, value in shown.items()}


class UserChangeSerializer(serializers.Serializer[Any]):
    """What of a person an admin changes; what is left out stays."""

    username = serializers.CharField(max_length=150, required=False)
    email = serializers.CharField(max_length=254, allow_blank=True, required=False)
    first_name = serializers.CharField(max_length=150, allow_blank=True, required=False)
    last_name = serializers.CharField(max_length=150, allow_blank=True, required=False)
    platform_role = serializers.ChoiceField(choices=PlatformRole.choices, allow_blank=True, required=False)
    reason = serializers.CharField(max_length=500, default="")


class NewUserSerializer(serializers.Serializer[Any]):
    """A person to be. Without a password he has none yet: an invitation `for_user` lets him choose it."""

    username = serializers.CharField(max_length=150)
    email = serializers.CharField(max_length=254, allow_blank=True, default="")
    first_name = serializers.CharField(max_length=150, allow_blank=True, default="")
    last_name = serializers.CharField(max_length=150, allow_blank=True, default="")
    platform_role = serializers.ChoiceField(choices=PlatformRole.choices, allow_blank=True, default="")
    password = serializers.CharField(
        max_length=4096, trim_whitespace=False, write_only=True, allow_null=True, default=None
    )


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)


class DepartureSerializer(ReasonSerializer):
    """By which policy somebody leaves."""

    assets = serializers.ChoiceField(choices=Assets.choices, default=Assets.KEEP)
    transfer_to = serializers.CharField(
        max_length=150, allow_blank=True, default="", help_text="A person; empty: each team's go to a member of it."
    )
    jobs = serializers.ChoiceField(choices=Jobs.choices, default=Jobs.STOP)
    memberships = serializers.ChoiceField(choices=Belonging.choices, default=Belonging.KEEP)


class EffectSerializer(serializers.Serializer[Any]):
    what = serializers.CharField()
    count = serializers.IntegerField()
    examples = serializers.ListField(child=serializers.CharField())
    is_warning = serializers.BooleanField()


class OffboardingSerializer(serializers.Serializer[Any]):
    """What was done, or would be."""

    username = serializers.CharField()
    dry_run = serializers.BooleanField()
    effects = EffectSerializer(many=True)


class RegistrationSerializer(serializers.ModelSerializer[Registration]):
    state = serializers.CharField()

    class Meta:
        model = Registration
        fields: ClassVar = [
            "id", "username", "email", "first_name", "last_name", "note", "state", "created_at", "decided_at", "reason",
        ]  # fmt: skip
        read_only_fields = fields


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
