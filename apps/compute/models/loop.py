from django.db import models
from typing_extensions import override


class Loop(models.Model):
    """One periodic loop: who runs it now, and when it last got through. Several workers, one at a time."""

    name = models.CharField(max_length=40, primary_key=True)
    owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)
    ran_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)

    @override
    def __str__(self) -> str:
        return self.name
