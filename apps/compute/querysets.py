from datetime import timedelta
from typing import Self, TypeVar

from django.db.models import Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet
from apps.compute.choices import ACTIVE, ON_BACKEND, TERMINAL, State

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
        """Keep what waits for admission, in an owner's own order; whose turn it is, `apps.compute.order` says."""
        return self.filter(state=State.QUEUED).order_by("-priority", "queued_at", "id")

    def stuck(self, longer_than: timedelta) -> Self:
        """Keep what should have moved on: starts, stops and clean-ups that last, runs of which nothing is heard.

        What waits in the queue is not stuck; it says what it waits for.
        """
        limit = Now() - longer_than
        moving = Q(state__in=[State.STARTING, State.STOPPING], state_changed_at__lt=limit)
        silent = Q(state=State.RUNNING, state_changed_at__lt=limit) & (Q(last_seen_at=None) | Q(last_seen_at__lt=limit))
        unfinalized = Q(state__in=TERMINAL, next_reconcile_at__lt=limit)
        return self.filter(moving | silent | unfinalized)

    def waiting_for(self, reason: str) -> Self:
        """Keep what is queued because of `reason` ("QuotaFull", "Drained")."""
        return self.filter(state=State.QUEUED, reason=reason)

    def running_for(self, longer_than: timedelta) -> Self:
        """Keep what has been running for longer than `longer_than`."""
        return self.filter(state=State.RUNNING, started_at__lt=Now() - longer_than)

    def ended_badly(self, within: timedelta) -> Self:
        """Keep what failed or was lost in the last `within`."""
        return self.filter(state__in=[State.FAILED, State.LOST], state_changed_at__gt=Now() - within)
