from typing import Any, Self, TypeVar

from django.db.models import Exists, Model, OuterRef, Q

from apps.access.querysets import GuardedQuerySet
from apps.sharing import kinds

M_co = TypeVar("M_co", bound=Model, covariant=True)


class AccessRequestQuerySet(GuardedQuerySet[M_co]):
    def open(self) -> Self:
        return self.filter(state="open")

    def made_by(self, principal: Any) -> Self:
        return self.filter(by_id=principal.pk)

    def to_decide(self, principal: Any) -> Self:
        """Keep those about objects that exist and that `principal` may share."""
        return self.filter(decidable_by(principal))

    def of(self, obj: Model) -> Self:
        kind = kinds.owned_kind_of(obj)
        return self.filter(kind=kind.name, object_id=obj.pk)

    def with_people(self) -> Self:
        return self.select_related("by", "decided_by")


def decidable_by(principal: Any) -> Q:
    """Hold for requests about what `principal` may share: one probe per request, however many objects there are."""
    condition = Q(pk__in=[])
    for kind in kinds.owned_kinds():
        rows = kind.shareable_by(principal).filter(pk=OuterRef("object_id"))
        condition |= Q(kind=kind.name) & Q(Exists(rows))
    return condition
