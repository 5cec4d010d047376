from typing import ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.compute.models import Workload
from apps.core.ids import new_id
from apps.environments.models import EnvironmentVersion
from apps.experiments.querysets import CodeUploadQuerySet, ExperimentQuerySet
from apps.sources.models import Fetch
from apps.tracking.models import Run


class Experiment(models.Model):
    """One submitted offline task. Shares its id with its run, through which it is owned and judged."""

    run = models.OneToOneField(Run, on_delete=models.PROTECT, primary_key=True, related_name="experiment")
    workload = models.OneToOneField(Workload, on_delete=models.PROTECT, related_name="experiment")
    kind = models.CharField(max_length=20)
    spec = models.JSONField()
    environment = models.ForeignKey(EnvironmentVersion, on_delete=models.PROTECT, null=True, related_name="+")
    source = models.ForeignKey(
        Fetch, on_delete=models.PROTECT, null=True, related_name="experiments", help_text="The fetch of its code."
    )
    cloned_from = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    archived_at = models.DateTimeField(null=True, editable=False)

    objects = ExperimentQuerySet["Experiment"].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-run"], name="experiment_live", condition=models.Q(archived_at=None))
        ]

    @override
    def __str__(self) -> str:
        return self.run.name


class CodeUpload(models.Model):
    """Code somebody uploaded: the right to refer to a blob by its hash is his who sent its bytes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=8)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects = CodeUploadQuerySet["CodeUpload"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["owner", "sha256"], name="one_upload_per_owner")
        ]

    @override
    def __str__(self) -> str:
        return f"sha256:{self.sha256}"
