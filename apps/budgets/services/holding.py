"""Money before the start: the worst case is held on every budget of the path, or the work waits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError

from apps.budgets.choices import Account, BudgetPolicy, TxKind, rate_of, worst_micros
from apps.budgets.models import Hold
from apps.budgets.services import books
from apps.budgets.services.asking import Ask, Estimate, Short, too_little
from apps.budgets.services.books import Known, Line, Locked, Postings
from apps.core.errors import Conflict, Stale
from apps.core.ids import new_id


def hold(asks: Sequence[Ask]) -> list[Hold | Short]:
    """Hold for each ask, in their order, or say what keeps it waiting. Idempotent per key.

    Runs in the caller's transaction, after he has locked his limit rows. One query when nothing has a price; else four,
    however many are asked for. What costs nothing is not written down: its `Hold` has no row, and charging it does
    nothing. Raises: Conflict for a key that was closed, Stale when somebody else is holding the same key at this moment.
    """
    known = books.look({pk for ask in asks for pk in ask.node_ids}, {ask.cluster_id for ask in asks})
    if not known.prices:
        return [_free(ask) for ask in asks]
    rates = [(ask, *_priced(known, ask)) for ask in asks]
    if not any(rate for _, rate, _ in rates):
        return [_free(ask) for ask in asks]
    wanted = {pk for ask, rate, _ in rates if rate for pk in ask.node_ids}
    plans = [plan for plan in known.plans if plan.node_id in wanted]
    periods = books.lock(plans=plans, now=known.now) if plans else []
    there = {row.key: row for row in Hold.objects.filter(key__in=[ask.key for ask in asks])}
    postings = Postings()
    results = [_one(ask, rate, prices, periods, there, postings) for ask, rate, prices in rates]
    _write(postings, periods)
    return results


def _write(postings: Postings, periods: Iterable[Locked]) -> None:
    try:
        postings.write(periods)
    except IntegrityError as error:
        if "budgets_hold_key" not in str(error):
            raise
        msg = "Somebody else holds for the same attempt at this moment."
        raise Stale(msg) from error


def _one(
    ask: Ask,
    rate: int,
    prices: Mapping[str, tuple[int, int]],
    periods: Sequence[Locked],
    there: dict[str, Hold],
    postings: Postings,
) -> Hold | Short:
    if (known := there.get(ask.key)) is not None:
        if known.closed_at is not None:
            msg = f"What {ask.key} held was returned; it cannot be held again."
            raise Conflict(msg)
        return known
    if not rate:
        return _free(ask)
    need = worst_micros(rate, _first_ms(ask.timeout_seconds))
    mine = on_path(periods, ask.node_ids)
    if (short := first_short(mine, need)) is not None:
        return short
    made = _make(ask, rate, prices)
    there[ask.key] = made
    postings.made.append(_row(made))
    lines = []
    for period in mine:
        held = need if period.reserves else 0
        period.move(held=held)
        postings.parts.append({"hold_id": made.pk, "period_id": period.id, "held_micros": held, "spent_micros": 0})
        lines += [Line(Account.HELD, held, period.id), Line(Account.AVAILABLE, -held, period.id)]
    postings.post(TxKind.HOLD, f"hold:{ask.key}:0", lines, hold=made.pk)
    return made


def on_path(periods: Sequence[Locked], node_ids: Iterable[int]) -> list[Locked]:
    """Return the periods of the nodes of a path, from the root."""
    order = {pk: place for place, pk in enumerate(node_ids)}
    return sorted((period for period in periods if period.node_id in order), key=lambda p: (order[p.node_id], p.id))


def first_short(periods: Iterable[Locked], need: int) -> Short | None:
    """Return what the first of `periods` that cannot carry it says."""
    for period in periods:
        closed = period.is_over and period.policy != BudgetPolicy.OBSERVE
        if closed or period.is_spent or (period.reserves and need > period.available):
            return too_little(period, need)
    return None


def estimate(
    node_ids: Sequence[int], cluster_id: UUID, amounts: Mapping[str, int], timeout_seconds: int | None
) -> Estimate:
    """Say what it would cost per hour and at worst, and which budget would be short. Locks and writes nothing."""
    known = books.look(node_ids, [cluster_id])
    ask = Ask("", tuple(node_ids), cluster_id, amounts, timeout_seconds)
    rate, _ = _priced(known, ask)
    need = worst_micros(rate, _first_ms(timeout_seconds))
    periods = on_path(books.peek(known.plans, known.now), node_ids) if rate and known.plans else []
    worst = None if timeout_seconds is None and rate else need
    return Estimate(rate, worst, need, first_short(periods, need))


def _first_ms(timeout_seconds: int | None) -> int:
    return int(settings.BUDGET_LEASE_SECONDS if timeout_seconds is None else timeout_seconds) * 1000


def _priced(known: Known, ask: Ask) -> tuple[int, dict[str, tuple[int, int]]]:
    cluster = str(ask.cluster_id)
    prices = {name: known.prices[cluster, name] for name in ask.amounts if (cluster, name) in known.prices}
    return rate_of(ask.amounts, {name: micros for name, (micros, _) in prices.items()}), prices


def _free(ask: Ask) -> Hold:
    return _make(ask, 0, {})


def _make(ask: Ask, rate: int, prices: Mapping[str, tuple[int, int]]) -> Hold:
    return Hold(
        id=new_id(),
        key=ask.key,
        node_id=ask.node_ids[-1],
        node_ids=list(ask.node_ids),
        cluster_id=ask.cluster_id,
        subject=ask.subject[:80],
        amounts=dict(ask.amounts),
        prices={name: list(pair) for name, pair in prices.items()},
        rate_micros_per_hour=rate,
        worst_ms=None if ask.timeout_seconds is None else ask.timeout_seconds * 1000,
        seq=1,
    )


def _row(made: Hold) -> dict[str, Any]:
    names = (
        "id", "key", "node_id", "node_ids", "cluster_id", "subject", "amounts", "prices", "rate_micros_per_hour", "worst_ms",
        "seq",
    )  # fmt: skip
    return {name: getattr(made, name) for name in names}
