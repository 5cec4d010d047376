from typing import Self, TypeVar

from django.db.models import Model

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class ExperimentQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted."""
        return self.filter(archived_at=None)

    def with_details(self) -> Self:
        """Fetch with each row what a list shows of it; the number of queries does not grow with the rows."""
        rows = self.select_related("run__project", "run__owner", "run__team", "workload__cluster", "source")
        return rows.defer("source__log", "source__credential")


class CodeUploadQuerySet(GuardedQuerySet[M_co]):
    pass
