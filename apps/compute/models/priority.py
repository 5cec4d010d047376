from typing import Any, ClassVar

from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.compute.choices import OpenTo


class PriorityClass(models.Model):
    """A rank among everybody's work, and who may give it to his. Work without one ranks 0."""

    name = models.SlugField(max_length=40, unique=True)
    rank = models.SmallIntegerField(help_text="-1000 to 1000; higher goes first.")
    open_to = models.CharField(max_length=12, choices=OpenTo, default=OpenTo.ADMINS)
    description = models.CharField(max_length=200, blank=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-rank", "name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(rank__range=(-1000, 1000)), name="priority_class_rank"),
        ]
        verbose_name_plural = "priority classes"

    @override
    def __str__(self) -> str:
        return self.name
