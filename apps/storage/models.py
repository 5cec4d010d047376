from typing import Any, ClassVar

from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.core.ids import new_id
from apps.storage.querysets import BlobQuerySet


class Blob(models.Model):
    """Bytes that lie in the store. The row is there before they are, and goes when they have gone.

    `touched_at` is when somebody last began to keep them; `doomed_at` when a collection found that no row refers to them.
    """

    sha256 = models.CharField(max_length=64, primary_key=True)
    size_bytes = models.BigIntegerField()
    touched_at = models.DateTimeField(db_default=models.functions.Now())
    doomed_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = BlobQuerySet["Blob"].as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["doomed_at"], name="blob_doomed", condition=models.Q(doomed_at__isnull=False)),
            models.Index(fields=["touched_at"], name="blob_touched"),
        ]

    @override
    def __str__(self) -> str:
        return self.sha256[:12]


class Collection(models.Model):
    """One collection of garbage: what went, and by whose wish."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    started_at = models.DateTimeField(db_default=models.functions.Now())
    asked_by = models.CharField(max_length=150)
    expired = models.IntegerField(default=0)
    expired_bytes = models.BigIntegerField(default=0)
    marked = models.IntegerField(default=0)
    swept = models.IntegerField(default=0)
    swept_bytes = models.BigIntegerField(default=0)

    objects: ClassVar[Any] = GuardedQuerySet["Collection"].as_manager()

    @override
    def __str__(self) -> str:
        return f"{self.expired} expired, {self.marked} marked, {self.swept} swept"
