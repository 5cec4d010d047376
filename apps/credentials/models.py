from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from typing_extensions import override

from apps.access.models import GroupGrant, Owned, UserGrant
from apps.core.ids import new_id
from apps.credentials.choices import Kind
from apps.credentials.querysets import CredentialQuerySet, CredentialUseQuerySet


class DataKey(models.Model):
    """The key of one tenant's values, itself sealed under the key ring. At most one per scope takes new values."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scope = models.CharField(max_length=80, help_text='Whose values: "org:<id>" or "user:<id>".')
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(db_default=models.functions.Now())
    retired_at = models.DateTimeField(null=True, help_text="From then on it opens values and takes no new ones.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["scope"], name="one_data_key_per_scope", condition=models.Q(retired_at=None)
            )
        ]

    @override
    def __str__(self) -> str:
        return f"data key of {self.scope}"


class Credential(Owned):
    """A secret that may be used and never be read: its name and public fields. The values are in `SecretValue`."""

    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=12, choices=Kind)
    description = models.CharField(max_length=500, blank=True)
    public = models.JSONField(default=dict, blank=True, editable=False, help_text="The fields that are no secret.")
    version = models.PositiveIntegerField(default=1, editable=False)
    fingerprint = models.CharField(max_length=8, editable=False)
    created_by: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, blank=True, related_name="+"
    )
    replaced_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[Any] = CredentialQuerySet["Credential"].as_manager()

    class Meta(Owned.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="credential_name_personal",
                condition=models.Q(team=None, archived_at=None),
            ),
            models.UniqueConstraint(
                fields=["team", "name"], name="credential_name_in_team", condition=models.Q(archived_at=None)
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class CredentialUserGrant(UserGrant):
    """Shares one credential with one user."""

    content_object = models.ForeignKey(Credential, on_delete=models.CASCADE)


class CredentialGroupGrant(GroupGrant):
    """Shares one credential with one group."""

    content_object = models.ForeignKey(Credential, on_delete=models.CASCADE)


class SecretValue(models.Model):
    """One secret field of the present version, encrypted and bound to this place; gone when it is replaced."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="values")
    version = models.PositiveIntegerField()
    field = models.CharField(max_length=64)
    data_key = models.ForeignKey(DataKey, on_delete=models.PROTECT, related_name="values")
    ciphertext = models.BinaryField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["credential", "version", "field"], name="one_value_per_field")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.credential_id} {self.version} {self.field}"


class CredentialUse(models.Model):
    """One delivery to a job: which version, to which attempt of what, for whom."""

    id = models.BigAutoField(primary_key=True)
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, related_name="uses")
    version = models.PositiveIntegerField()
    alias = models.CharField(max_length=64)
    subject = models.CharField(max_length=80, help_text='What the work belongs to, as "run:id".')
    attempt = models.UUIDField()
    attempt_no = models.PositiveIntegerField()
    user: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = CredentialUseQuerySet["CredentialUse"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["attempt", "alias"], name="one_use_per_attempt")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["credential", "-id"], name="use_of_credential"),
            models.Index(fields=["subject"], name="use_by_subject"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.credential_id} for {self.subject}"

    @property
    def run_id(self) -> str:
        return self.subject.partition(":")[2]
