from typing import Self, TypeVar

from django.db.models import F, Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class BudgetQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep the budgets that nobody has ended."""
        return self.filter(ended_at=None)

    def past(self, percent: int) -> Self:
        """Keep the budgets of which at least `percent` are spent in the period that is running."""
        spent = Q(periods__spent_micros__gte=F("periods__amount_micros") * percent / 100)
        running = Q(periods__starts_at__lte=Now(), periods__ends_at__gt=Now(), periods__spent_micros__gt=0)
        return self.live().filter(spent & running).distinct()


class PeriodQuerySet(GuardedQuerySet[M_co]):
    def running(self) -> Self:
        """Keep the periods of live budgets that have begun and not ended, by the database's clock."""
        return self.filter(budget__ended_at=None, starts_at__lte=Now(), ends_at__gt=Now())

    def ended(self) -> Self:
        return self.filter(ends_at__lte=Now())

    def unsettled(self) -> Self:
        """Keep the periods in whose books something may still change."""
        left = Q(lapsed_micros__lt=F("amount_micros") - F("spent_micros"))
        return self.filter(Q(ends_at__gt=Now()) | Q(held_micros__gt=0) | left)


class HoldQuerySet(GuardedQuerySet[M_co]):
    def open(self) -> Self:
        return self.filter(closed_at=None)
