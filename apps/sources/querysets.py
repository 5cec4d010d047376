from datetime import timedelta
from typing import Any, Self, TypeVar

from django.db.models import Count, Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet
from apps.sources.choices import FetchState

MOST_AT_ONCE = 2  # fetches of one person
M_co = TypeVar("M_co", bound=Model, covariant=True)


class FetchQuerySet(GuardedQuerySet[M_co]):
    def due(self) -> Self:
        """Keep what a worker should take up: what waits, and what its worker left."""
        left = Q(state=FetchState.FETCHING) & (Q(lease_until=None) | Q(lease_until__lt=Now()))
        return self.filter(left | Q(state=FetchState.QUEUED, next_try_at__lte=Now())).exclude(owner__in=self._busy())

    def _busy(self) -> Any:
        """Return whose fetches keep so many workers that others must not wait behind them: slow servers are theirs."""
        at_work = self.model._default_manager.filter(state=FetchState.FETCHING, lease_until__gt=Now())  # noqa: SLF001 -- documented Django API
        counted = at_work.values("owner").annotate(count=Count("pk")).filter(count__gte=MOST_AT_ONCE)
        return counted.values("owner")

    def ready(self) -> Self:
        """Keep what was fetched: each has a blob."""
        return self.filter(state=FetchState.READY)

    def stuck(self, longer_than: timedelta) -> Self:
        """Keep what has been on its way for longer than `longer_than`."""
        on_its_way = Q(state__in=[FetchState.QUEUED, FetchState.FETCHING])
        return self.filter(on_its_way, asked_at__lt=Now() - longer_than)
