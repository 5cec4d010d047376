from typing import Any, ClassVar

from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.compute.models.workload import Attempt


class LogChunk(models.Model):
    """A piece of an attempt's log: `data` begins at byte `offset` of the stream. Appended, later merged, never changed."""

    id = models.BigAutoField(primary_key=True)
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="log_chunks")
    offset = models.BigIntegerField()
    data = models.BinaryField()

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["attempt", "offset"], name="one_chunk_per_offset")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.attempt_id} @{self.offset}"
