from typing import Any, ClassVar

from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.compute.choices import ClusterState
from apps.core.ids import new_id


class Cluster(models.Model):
    """A registered compute backend: its kind, its settings, and what it last said of itself."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=20)
    settings = models.JSONField(default=dict, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    is_enabled = models.BooleanField(default=True)
    is_drained = models.BooleanField(default=False, help_text="Runs what it has, takes nothing new.")
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    state = models.CharField(max_length=8, choices=ClusterState, default=ClusterState.UNKNOWN, editable=False)
    message = models.TextField(blank=True, editable=False)
    warnings = models.JSONField(default=list, editable=False)
    capabilities = models.JSONField(default=list, editable=False)
    capacity = models.JSONField(default=dict, editable=False)
    checked_at = models.DateTimeField(null=True, editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(state__in=ClusterState.values), name="cluster_state_known")
        ]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether new work may be placed here."""
        return self.is_enabled and not self.is_drained

    @property
    def isolates_tenants(self) -> bool:
        return "isolates_tenants" in self.capabilities
