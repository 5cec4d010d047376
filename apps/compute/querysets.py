from typing import Self, TypeVar

from django.db.models import Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet
from apps.compute.choices import ACTIVE, ON_BACKEND, State

M_co = TypeVar("M_co", bound=Model, covariant=True)


class WorkloadQuerySet(GuardedQuerySet[M_co]):
    def active(self) -> Self:
        return self.filter(state__in=ACTIVE)

    def on_backend(self) -> Self:
        return self.filter(state__in=ON_BACKEND)

    def due(self) -> Self:
        """Keep what a loop should look at now and nobody looks at, by the database's clock; longest waiting first."""
        free = Q(lease_until=None) | Q(lease_until__lt=Now())
        return self.filter(free, next_reconcile_at__lte=Now()).order_by("next_reconcile_at")

    def queue(self) -> Self:
        """Keep what waits for admission, in the order in which it will be tried."""
        return self.filter(state=State.QUEUED).order_by("-priority", "queued_at", "id")
