from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models.functions import Upper
from django.utils import timezone
from typing_extensions import override

from apps.access.choices import ADMIN_SCOPE
from apps.access.querysets import GuardedQuerySet
from apps.accounts.choices import IdentitySource, PlatformRole, TokenKind
from apps.accounts.querysets import ApiTokenQuerySet, RegistrationQuerySet, UserQuerySet, UserSessionQuerySet
from apps.core.ids import new_id

_Manager: Any = UserManager.from_queryset(UserQuerySet)


class PeopleManager(_Manager):  # type: ignore[misc, type-arg]  # made by Django at run time
    """Django's user manager, guarded like every other."""


class User(AbstractUser):
    """A person, or a team's service account.

    What he acts through is set for one request: `token` narrows what he may do; `session` is the browser's;
    `elevated_until` says how long an admin acts as one; `seen_by` is the admin who looks at the platform through his
    eyes.
    """

    platform_role = models.CharField(max_length=8, choices=PlatformRole, default=PlatformRole.NONE, blank=True)
    service_of = models.ForeignKey(
        "teams.Team", on_delete=models.PROTECT, null=True, editable=False, related_name="service_accounts"
    )

    identity_source = models.CharField(
        max_length=5, choices=IdentitySource, default=IdentitySource.LOCAL, editable=False
    )
    external_id = models.CharField(
        max_length=500, blank=True, editable=False, help_text="What the source calls the person: never given anew."
    )
    left_directory_at = models.DateTimeField(
        null=True, editable=False, help_text="Set while the account is disabled because the directory lost the person."
    )

    token: "ApiToken | None" = None
    session: "UserSession | None" = None
    elevated_until: datetime | None = None
    seen_by: "User | None" = None
    seen_until: datetime | None = None

    objects: ClassVar[Any] = PeopleManager()

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["identity_source", "external_id"],
                condition=~models.Q(external_id=""),
                name="one_account_per_identity",
            ),
            # SECURITY: no local password may ever open an account that a directory vouches for.
            models.CheckConstraint(
                condition=models.Q(identity_source=IdentitySource.LOCAL) | models.Q(password__startswith="!"),  # noqa: S106 -- marks "none"
                name="outside_accounts_have_no_password",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(Upper("username"), name="user_by_name_in_any_case")]

    @override
    def __str__(self) -> str:
        return self.username

    @property
    def is_superuser(self) -> bool:  # type: ignore[override]  # a column in Django
        """Whether he acts as an admin now. SECURITY: the role alone is not enough, it has to be taken up."""
        return self.platform_role == PlatformRole.ADMIN and self._is_elevated and self.seen_by is None

    @property
    def is_auditor(self) -> bool:
        return self.platform_role == PlatformRole.AUDITOR

    @property
    def is_staff(self) -> bool:  # type: ignore[override]  # a column in Django
        """Whether the operators' admin opens: to change or, for auditors, to read."""
        return self.is_superuser or self.is_auditor

    @property
    def changes_nothing(self) -> str:
        """Why nothing may be changed, in a sentence, or ""."""
        if self.seen_by is not None:
            return f"You see the platform as {self.username} does; nothing can be changed."
        return "Auditors change nothing." if self.is_auditor else ""

    @property
    def _is_elevated(self) -> bool:
        if self.token is not None:
            return ADMIN_SCOPE in self.token.scopes and not self.token.bound_to
        return self.elevated_until is not None and self.elevated_until > timezone.now()


class ApiToken(models.Model):
    """A bearer token, kept as the SHA-256 of 256 random bits: shown once, never readable again."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=3, choices=TokenKind, default=TokenKind.PERSONAL)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    scopes = models.JSONField(default=list)
    bound_to = models.CharField(max_length=80, blank=True, help_text='The one object a token reaches, as "model:id".')
    addresses = models.JSONField(default=list, help_text="Networks it may be used from; none: from everywhere.")
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, editable=False, related_name="replacements"
    )
    outlives_user = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_ip = models.GenericIPAddressField(null=True, blank=True)

    objects = ApiTokenQuerySet["ApiToken"].as_manager()

    class Meta:
        verbose_name = "API token"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "-created_at"], name="token_of_user"),
            models.Index(fields=["bound_to"], name="token_bound", condition=~models.Q(bound_to="")),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


class Registration(models.Model):
    """Somebody who asked for an account by himself. There is no account before an admin says yes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(max_length=150)
    email = models.EmailField(blank=True)
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    note = models.CharField(max_length=500, blank=True)
    password = models.CharField(max_length=128, blank=True, help_text="Its hash, until it was decided.")
    ip = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=500, blank=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    objects = RegistrationQuerySet["Registration"].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-id"], name="registration_waits", condition=models.Q(decided_at=None)),
            models.Index(fields=["ip", "created_at"], name="registrations_of_address"),
        ]

    @override
    def __str__(self) -> str:
        return self.username

    @property
    def state(self) -> str:
        if self.decided_at is None:
            return "waiting"
        return "rejected" if self.user_id is None else "approved"


class UserSession(models.Model):
    """A browser in which somebody is logged in. The row is deleted when it ends; its id outlives changes of the key."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # SECURITY: the key in the cookie is kept as its SHA-256 only: who reads the database takes over nobody's session.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="sessions")
    session_data = models.TextField()
    created_at = models.DateTimeField(db_default=models.functions.Now())
    expires_at = models.DateTimeField(db_index=True)
    last_seen_at = models.DateTimeField(db_default=models.functions.Now())
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    elevated_until = models.DateTimeField(null=True)

    objects = UserSessionQuerySet["UserSession"].as_manager()

    class Meta:
        verbose_name = "session"

    @override
    def __str__(self) -> str:
        return f"session from {self.ip or 'somewhere'}"

    @property
    def is_elevated(self) -> bool:
        return self.elevated_until is not None and self.elevated_until > timezone.now()


class SecondFactor(models.Model):
    """The seed of a person's code generator (TOTP); in force once a first code has confirmed it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="second_factor"
    )
    seed = models.BinaryField(editable=False)
    last_step = models.BigIntegerField(default=0, help_text="Of the last code that was accepted: none is taken twice.")
    created_at = models.DateTimeField(db_default=models.functions.Now())
    confirmed_at = models.DateTimeField(null=True)

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return f"second factor of {self.user}"


class RecoveryCode(models.Model):
    """Stands in for a code once, when the generator is lost; kept as a digest of 80 random bits."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_of_user"),
        ]

    @override
    def __str__(self) -> str:
        return f"recovery code {self.pk}"


class ResetLink(models.Model):
    """A one-time link by which a person sets a new password; kept as a digest."""

    digest = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reset_links")
    created_at = models.DateTimeField(db_default=models.functions.Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return f"reset link of {self.created_at:%Y-%m-%d %H:%M}"


class SetupLink(models.Model):
    """A one-time link by which the first admin sets a password; kept as a digest."""

    digest = models.CharField(max_length=64, primary_key=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return f"set-up link of {self.created_at:%Y-%m-%d %H:%M}"


class LoginFailure(models.Model):
    """A guess at a password or a code that was wrong, or is being judged: counted per account and per address."""

    id = models.BigAutoField(primary_key=True)
    username = models.CharField(max_length=150)
    ip = models.GenericIPAddressField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["username", "at"], name="failures_of_account"),
            models.Index(fields=["ip", "at"], name="failures_of_address"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.username} from {self.ip}"
