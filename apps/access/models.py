from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from apps.access.choices import Visibility
from apps.access.grants import permissions
from apps.access.querysets import GuardedQuerySet
from apps.core.ids import new_id


class Owned(models.Model):
    """Base of every asset: its public id, and the columns by which the policy judges it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    visibility = models.CharField(max_length=12, choices=Visibility, default=Visibility.TEAM)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        abstract = True
        permissions: ClassVar[Any] = permissions()


class Grant(models.Model):
    """What every grant tells beside its subject, object and role."""

    granted_by: "models.ForeignKey[AbstractBaseUser | None, AbstractBaseUser | None]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class UserGrant(UserObjectPermissionBase, Grant):
    """Base of an asset's grants to users; the concrete class adds `content_object`. One row per user and object."""

    class Meta(UserObjectPermissionBase.Meta):
        abstract = True
        unique_together: ClassVar[Any] = ("user", "content_object")


class GroupGrant(GroupObjectPermissionBase, Grant):
    """Base of an asset's grants to groups (a team or an organization has one); as `UserGrant`."""

    class Meta(GroupObjectPermissionBase.Meta):
        abstract = True
        unique_together: ClassVar[Any] = ("group", "content_object")


class SavedFilter(models.Model):
    """A list of the operators' admin, filtered, under a name: one's own, or shown to every operator."""

    NAME_LENGTH: ClassVar[int] = 60

    id = models.BigAutoField(primary_key=True)
    owner: "models.ForeignKey[AbstractBaseUser, AbstractBaseUser]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    label = models.CharField(max_length=64, help_text='The model that is listed, as "app.model".')
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, help_text="The query string of the list.")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["owner", "label", "name"], name="one_filter_per_name")
        ]

    def __str__(self) -> str:
        return self.name


class IdempotencyRecord(models.Model):
    """The answer given to an unsafe request, kept so that a repeat of the request gets it again."""

    id = models.BigAutoField(primary_key=True)
    user: "models.ForeignKey[AbstractBaseUser, AbstractBaseUser]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    key = models.CharField(max_length=255)
    request_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    response = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "key"], name="one_record_per_key")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["created_at"], name="idempotency_age")]

    def __str__(self) -> str:
        return self.key
