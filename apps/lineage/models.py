from typing import ClassVar

from django.db import models
from typing_extensions import override

from apps.lineage.choices import Relation, ThingKind


class LineageThing(models.Model):
    """A node that is known by name and digest: a dataset version, code, an environment. Its id is made of the three.

    It belongs to nobody, and who names the same one means the same one: it is shown to who may see something beside it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=12, choices=ThingKind)
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=200, blank=True)

    @override
    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else self.name


class LineageEdge(models.Model):
    """What came from what. A node is named by its kind and id: a run and a model version are rows of other apps.

    Written in the transaction that makes the target, and never changed: a trigger refuses it.
    """

    id = models.BigAutoField(primary_key=True)
    source_kind = models.CharField(max_length=20)
    source_id = models.UUIDField()
    target_kind = models.CharField(max_length=20)
    target_id = models.UUIDField()
    relation = models.CharField(max_length=12, choices=Relation)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["target_id", "source_id", "relation"], name="one_edge_per_relation")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["source_id"], name="edge_source")]

    @override
    def __str__(self) -> str:
        return f"{self.source_kind} {self.relation} {self.target_kind}"
