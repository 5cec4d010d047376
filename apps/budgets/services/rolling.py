"""One period ends and the next begins: both are postings."""

from django.db import transaction

from apps.budgets.choices import Account, Cadence, TxKind
from apps.budgets.models import Budget, Period
from apps.budgets.services import books
from apps.budgets.services.books import Line, Locked, Plan, Postings
from apps.core.ids import new_id


def roll_periods() -> int:
    """Begin the periods that are due, and let lapse what ended ones have left and nothing holds. Returns how many."""
    return _begin() + sum(_lapse(pk) for pk in _ended())


@transaction.atomic
def _begin() -> int:
    rows = Budget.objects.live().exclude(cadence=Cadence.FIXED)
    running = Period.objects.running().values("budget")
    names = ("pk", "node_id", "cadence", "policy", "amount_micros")
    plans = [Plan(*row) for row in rows.exclude(pk__in=running).order_by("pk").values_list(*names)]
    return books.open_missing(plans, [], books.look([], []).now) if plans else 0


def _ended() -> list[int]:
    rows = Period.objects.unsettled().ended().filter(held_micros=0)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:500])


@transaction.atomic
def _lapse(pk: int) -> int:
    """Post what is left of an ended period to its own end; what is returned to it later lapses again."""
    found = books.lock(periods=[pk])
    rest = [period for period in found if period.is_over and not period.held and period.available > 0]
    postings = Postings()
    for period in rest:
        postings.post(TxKind.LAPSE, f"lapse:{pk}:{new_id()}", _lines(period))
        period.move(lapsed=period.available)
    postings.write(rest)
    return len(rest)


def _lines(period: Locked) -> list[Line]:
    left = period.available
    return [Line(Account.AVAILABLE, -left, period.id), Line(Account.LAPSED, left, period.id)]
