from typing import ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.access.models import GroupGrant, Owned, UserGrant
from apps.compute.models import Cluster
from apps.core.ids import new_id
from apps.environments.choices import BuildState
from apps.environments.querysets import EnvironmentBuildQuerySet, EnvironmentQuerySet, EnvironmentVersionQuerySet


class Environment(Owned):
    """A name under which versions of an environment are kept. `newest` is the number given last."""

    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    newest = models.IntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = EnvironmentQuerySet["Environment"].as_manager()

    class Meta(Owned.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="environment_name_personal",
                condition=models.Q(team=None, archived_at=None),
            ),
            models.UniqueConstraint(
                fields=["team", "name"], name="environment_name_in_team", condition=models.Q(archived_at=None)
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["name"], name="environment_by_name")]

    @override
    def __str__(self) -> str:
        return self.name


class EnvironmentUserGrant(UserGrant):
    """Shares one environment with one user."""

    content_object = models.ForeignKey(Environment, on_delete=models.CASCADE)


class EnvironmentGroupGrant(GroupGrant):
    """Shares one environment with one group."""

    content_object = models.ForeignKey(Environment, on_delete=models.CASCADE)


class EnvironmentVersion(models.Model):
    """What an environment is made of, from then on for ever: a trigger refuses any change."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="versions")
    number = models.IntegerField()
    image = models.CharField(max_length=500, blank=True, help_text="Base image, for clusters that run containers.")
    python = models.CharField(max_length=10, blank=True, help_text='"3.11"; empty: the cluster\'s own.')
    packages = models.JSONField(default=list, help_text="Lines of a requirements file.")
    r_packages = models.JSONField(default=list)
    variables = models.JSONField(default=dict, help_text="Not secret: who sees the environment sees them.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects: ClassVar = EnvironmentVersionQuerySet["EnvironmentVersion"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["environment", "number"], name="one_environment_version_per_number")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.environment.name}@{self.number}"


class EnvironmentLock(models.Model):
    """Every package of a version with its hashes, for one platform: made by its first build there, never changed."""

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(EnvironmentVersion, on_delete=models.PROTECT, related_name="locks")
    platform = models.CharField(max_length=100)
    text = models.TextField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["version", "platform"], name="one_lock_per_platform")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.version} for {self.platform}"


class EnvironmentBuild(models.Model):
    """One version on one cluster: how far it is, what the tools said, why it failed.

    `key` names what was built by its content: versions with the same lock are one on a cluster, which builds it once.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(EnvironmentVersion, on_delete=models.PROTECT, related_name="builds")
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=BuildState, default=BuildState.QUEUED)
    lock = models.ForeignKey(EnvironmentLock, on_delete=models.PROTECT, null=True, related_name="+")
    key = models.CharField(max_length=64, blank=True)
    message = models.TextField(blank=True, help_text="Why it failed or waits.")
    lines = models.JSONField(default=list, help_text="Which of the packages broke it, from 1 on.")
    log = models.TextField(blank=True)
    size_bytes = models.BigIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0, help_text="In a row that were cut off or found no index.")
    next_try_at = models.DateTimeField(db_default=models.functions.Now())
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=models.functions.Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True, help_text="When work last began in it.")

    objects: ClassVar = EnvironmentBuildQuerySet["EnvironmentBuild"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["version", "cluster"], name="one_build_per_cluster"),
            models.UniqueConstraint(
                fields=["cluster", "key"],
                name="one_at_work_per_key",
                condition=models.Q(state__in=[BuildState.BUILDING, BuildState.REMOVING]) & ~models.Q(key=""),
            ),
            models.CheckConstraint(condition=models.Q(state__in=BuildState.values), name="build_state_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["next_try_at"],
                name="build_due",
                condition=models.Q(state__in=["queued", "building", "removing"]),
            ),
            models.Index(fields=["cluster", "key"], name="build_of_key"),
            models.Index(fields=["used_at"], name="build_unused", condition=models.Q(state="ready")),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.version} on {self.cluster}"
