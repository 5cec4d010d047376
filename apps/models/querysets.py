from typing import Any, Self, TypeVar

from django.db.models import Model, Q

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class RegisteredModelQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted."""
        return self.filter(archived_at=None)

    def with_details(self) -> Self:
        """Fetch what one line of a list shows; the number of queries does not grow with the rows."""
        return self.select_related("owner", "team").prefetch_related("aliases__version", "tags")


class ModelVersionQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted, nor its model."""
        return self.filter(archived_at=None, model__archived_at=None)

    def with_details(self) -> Self:
        return self.select_related("model__owner", "model__team", "created_by", "run").prefetch_related(
            "tags", "aliases"
        )

    def newest_first(self) -> Self:
        return self.order_by("-number")


class VersionFileQuerySet(GuardedQuerySet[M_co]):
    pass


class MoveRequestQuerySet(GuardedQuerySet[M_co]):
    def open(self) -> Self:
        return self.filter(state="open")

    def with_people(self) -> Self:
        return self.select_related(
            "model__owner", "model__team", "version__created_by", "version__model", "requested_by"
        ).prefetch_related("decisions__by")

    def of_others(self, user: Any) -> Self:
        """Keep what `user` could answer: what he asked for himself he cannot."""
        return self.filter(~Q(requested_by=user))
