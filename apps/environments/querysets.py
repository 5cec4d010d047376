from typing import Self, TypeVar

from django.db.models import F, Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet
from apps.environments.choices import LEASED, BuildState

M_co = TypeVar("M_co", bound=Model, covariant=True)


class EnvironmentQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted."""
        return self.filter(archived_at=None)

    def with_details(self) -> Self:
        """Fetch what one line of a list shows; the number of queries does not grow with the rows."""
        return self.select_related("owner", "team")


class EnvironmentVersionQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep those whose environment has not been deleted."""
        return self.filter(environment__archived_at=None)

    def newest(self) -> Self:
        """Keep the newest of each environment."""
        return self.filter(number=F("environment__newest"))

    def with_details(self) -> Self:
        return self.select_related("environment__owner", "environment__team", "created_by").prefetch_related(
            "builds__cluster"
        )


class EnvironmentBuildQuerySet(GuardedQuerySet[M_co]):
    def due(self) -> Self:
        """Keep what a worker should take up: what waits, and what its worker left."""
        left = Q(state__in=LEASED) & (Q(lease_until=None) | Q(lease_until__lt=Now()))
        return self.filter(left | Q(state=BuildState.QUEUED, next_try_at__lte=Now()))

    def with_details(self) -> Self:
        return self.select_related("version__environment__owner", "version__environment__team", "cluster")
