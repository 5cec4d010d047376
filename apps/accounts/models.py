from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.utils import timezone
from typing_extensions import override

from apps.access.choices import ADMIN_SCOPE
from apps.access.querysets import GuardedQuerySet
from apps.accounts.choices import PlatformRole, TokenKind
from apps.accounts.querysets import ApiTokenQuerySet
from apps.core.ids import new_id

_Manager: Any = UserManager.from_queryset(GuardedQuerySet)


class PeopleManager(_Manager):  # type: ignore[misc, type-arg]  # made by Django at run time
    """Django's user manager, guarded like every other."""


class User(AbstractUser):
    """A person, or a team's service account.

    What he acts through is set for one request: `token` narrows what he may do; `elevated_until` says how long an
    admin acts as one; `seen_by` is the admin who looks at the platform through his eyes.
    """

    platform_role = models.CharField(max_length=8, choices=PlatformRole, default=PlatformRole.NONE, blank=True)
    service_of = models.ForeignKey(
        "teams.Team", on_delete=models.PROTECT, null=True, editable=False, related_name="service_accounts"
    )

    token: "ApiToken | None" = None
    elevated_until: datetime | None = None
    seen_by: "User | None" = None
    seen_until: datetime | None = None

    objects: ClassVar[Any] = PeopleManager()

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"

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
    def on_behalf_of(self) -> str:
        """As whom `seen_by` looks on, for the audit trail."""
        return "" if self.seen_by is None else f"seen as {self.username}"

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
    """A failed password, counted per account and per address to slow guessing down."""

    id = models.BigAutoField(primary_key=True)
    username = models.CharField(max_length=150)
    ip = models.GenericIPAddressField(null=True)
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["username", "at"], name="failures_of_account"),
            models.Index(fields=["ip", "at"], name="failures_of_address"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.username} from {self.ip}"
