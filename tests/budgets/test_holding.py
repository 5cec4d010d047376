"""Before the start: what fits is held on the whole path, what does not is told why."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.principal import SYSTEM
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Hold, HoldPart, LedgerTx, Period
from apps.budgets.services import Short
from apps.core.errors import Conflict
from tests.budgets.money import (
    Tree,
    age_period,
    assert_books_balance,
    hold,
    hold_one,
    make_tree,
    now,
    numbers,
    period_of,
    short_of,
)


def queries(ask_count: int, tree: Tree) -> int:
    asks = [tree.ask(number % 2, timeout=60) for number in range(ask_count)]
    with CaptureQueriesContext(connection) as captured:
        services.hold(asks)
    return len(captured)


def test_without_a_price_it_costs_one_query_and_writes_nothing(db: None) -> None:
    tree = make_tree()
    tree.budget(tree.team, 0)
    assert queries(50, tree) == 1
    assert not Hold.objects.exists()


def test_a_batch_costs_what_one_costs(tree: Tree) -> None:
    tree.budget(tree.team, 100 * MICROS)
    tree.budget(tree.organization, 100 * MICROS)
    assert queries(1, tree) == queries(50, tree) == 4
    assert_books_balance()


def test_the_worst_case_is_held_on_the_whole_path(tree: Tree) -> None:
    made = [tree.budget(node, 10 * MICROS) for node in (tree.platform, tree.organization, tree.team, tree.users[0])]
    held = hold_one(tree.ask(timeout=7200, cpu=1500, subject="run:1"))
    assert held.rate_micros_per_hour == 1_500_000
    assert [numbers(budget) for budget in made] == [(3 * MICROS, 0)] * 4
    row = Hold.objects.get(key=held.key)
    assert (row.subject, row.worst_ms, row.node_ids) == ("run:1", 7_200_000, tree.users[0].path)
    assert row.prices["cpu"][0] == MICROS
    assert_books_balance()


def test_what_does_not_fit_says_so_with_numbers(tree: Tree) -> None:
    budget = tree.budget(tree.team, 50 * MICROS)
    hold_one(tree.ask(timeout=3600 * 46 + 2880))
    short = short_of(tree.ask(timeout=3600 * 8))
    end = period_of(budget).ends_at
    assert short.message == (
        f"team vision has 3.20 left of its 50.00 until {end.day} {end:%B}, and this may cost up to 8.00"
    )
    assert (short.budget_id, short.node_name, short.policy) == (budget.pk, "team vision", "reserve")
    assert (short.available_micros, short.need_micros, short.is_final) == (3_200_000, 8_000_000, False)
    assert short_of(tree.ask(timeout=3600 * 51)).is_final
    hold_one(tree.ask(timeout=3600 * 3 + 720))
    assert numbers(budget) == (50 * MICROS, 0)
    assert_books_balance()


@pytest.mark.parametrize("place", ["platform", "organization"])
def test_what_tenants_share_is_told_without_its_numbers(place: str, tree: Tree) -> None:
    tree.budget(getattr(tree, place), 7 * MICROS)
    hold_one(tree.ask(timeout=3600 * 6))
    message = short_of(tree.ask(timeout=3600 * 2)).message
    assert "too little left" in message
    assert "may cost up to 2.00" in message
    assert not any(number in message for number in ("7.00", "6.00", "1.00"))


def test_a_batch_is_served_in_its_order_and_small_ones_go_on(tree: Tree) -> None:
    budget = tree.budget(tree.team, 3 * MICROS)
    found = hold(*(tree.ask(timeout=3600 * hours) for hours in (2, 2, 1, 1)))
    assert [isinstance(one, Short) for one in found] == [False, True, False, True]
    assert numbers(budget) == (3 * MICROS, 0)
    assert_books_balance()


def test_on_the_path_all_or_nothing(tree: Tree) -> None:
    wide, narrow = tree.budget(tree.team, 10 * MICROS), tree.budget(tree.users[0], MICROS)
    assert short_of(tree.ask(0, timeout=7200)).budget_id == narrow.pk
    assert numbers(wide) == (0, 0)
    hold_one(tree.ask(1, timeout=7200))
    assert (numbers(wide), numbers(narrow)) == ((2 * MICROS, 0), (0, 0))


def test_the_same_key_holds_once(tree: Tree) -> None:
    budget = tree.budget(tree.team, 10 * MICROS)
    ask = tree.ask()
    first, second = hold_one(ask), hold_one(ask)
    assert first.pk == second.pk
    twice = hold(tree.ask(key="twice"), tree.ask(key="twice"))
    assert twice[0].pk == twice[1].pk  # type: ignore[union-attr]
    assert numbers(budget) == (2 * MICROS, 0)
    services.close(ask.key, 0)
    with pytest.raises(Conflict, match="returned"):
        hold(ask)
    assert_books_balance()


def test_the_price_is_that_of_the_admission(tree: Tree) -> None:
    before = hold_one(tree.ask())
    tree.price(micros=3 * MICROS)
    after = hold_one(tree.ask())
    tree.price(micros=9 * MICROS, effective_from=now() + timedelta(hours=1))
    later = hold_one(tree.ask())
    assert [row.rate_micros_per_hour for row in (before, after, later)] == [MICROS, 3 * MICROS, 3 * MICROS]
    services.close(before.key, 3_600_000)
    assert Hold.objects.get(pk=before.pk).posted_micros == MICROS


def test_open_ended_work_holds_a_lease(tree: Tree, settings: object) -> None:
    settings.BUDGET_LEASE_SECONDS = 600  # type: ignore[attr-defined]
    budget = tree.budget(tree.team, 10 * MICROS)
    hold_one(tree.ask(timeout=None, cpu=6000))
    assert numbers(budget) == (MICROS, 0)


def test_observe_lets_everything_pass_and_accrue_what_comes_before_the_end(tree: Tree) -> None:
    tree.budget(tree.team, MICROS, "observe")
    accrue = tree.budget(tree.users[0], MICROS, "accrue")
    held = hold_one(tree.ask(0, timeout=36_000))
    services.settle(held.key, 999_999 * 3600 // 1000)
    hold_one(tree.ask(0))
    services.settle(held.key, 3_600_000)
    short = short_of(tree.ask(0))
    assert (short.budget_id, short.policy, short.is_final) == (accrue.pk, "accrue", False)
    assert "has spent 1.00 of its 1.00" in short.message
    hold_one(tree.ask(1))
    assert_books_balance()


def test_an_estimate_tells_and_writes_nothing(tree: Tree) -> None:
    tree.budget(tree.team, MICROS)
    path = tree.users[0].path
    fits = services.estimate(path, tree.cluster, {"cpu": 2000}, 1800)
    assert (fits.rate_micros_per_hour, fits.worst_micros, fits.short) == (2 * MICROS, MICROS, None)
    short = services.estimate(path, tree.cluster, {"cpu": 2000}, 1801).short
    assert short is not None
    assert short.is_final
    open_ended = services.estimate(path, tree.cluster, {"cpu": 2000}, None)
    assert (open_ended.worst_micros, open_ended.lease_micros) == (None, 333_334)
    free = services.estimate(path, tree.cluster, {"gpu": 1000}, 60)
    assert (free.rate_micros_per_hour, free.worst_micros, free.short) == (0, 0, None)
    assert not HoldPart.objects.exists()


def test_a_new_month_is_opened_by_whoever_comes_first(tree: Tree) -> None:
    budget = tree.budget(tree.team, 2 * MICROS)
    old = hold_one(tree.ask(timeout=7200))
    age_period(budget)
    hold_one(tree.ask(timeout=7200))
    first, second = Period.objects.filter(budget=budget).order_by("starts_at")
    assert (first.held_micros, second.held_micros) == (2 * MICROS, 2 * MICROS)
    assert LedgerTx.objects.filter(kind="allot").count() == 2
    services.close(old.key, 3_600_000)  # it stays with the month that it was admitted in
    first.refresh_from_db()
    assert (first.held_micros, first.spent_micros) == (0, MICROS)
    assert_books_balance()
    assert services.roll_periods() == 1  # what the old month left lapses, by a posting
    first.refresh_from_db()
    assert first.lapsed_micros == MICROS
    assert services.roll_periods() == 0
    assert_books_balance()


def test_the_loop_opens_the_new_month_too(tree: Tree) -> None:
    budget = tree.budget(tree.team, 2 * MICROS, "observe")
    age_period(budget)
    assert services.roll_periods() == 2  # one begins, one lapses
    assert Period.objects.filter(budget=budget).count() == 2


def test_after_its_end_a_fixed_budget_lets_nothing_start(tree: Tree) -> None:
    dates = {"cadence": "fixed", "starts_at": now() - timedelta(days=2), "ends_at": now() - timedelta(days=1)}
    budget = tree.budget(tree.team, 100 * MICROS, **dates)
    assert "ended on" in short_of(tree.ask()).message
    services.end_budget(budget, by=SYSTEM, reason="over")
    hold_one(tree.ask())
    tree.budget(tree.team, 0, cadence="fixed", starts_at=now() + timedelta(days=1), ends_at=now() + timedelta(days=2))
    hold_one(tree.ask())  # one that has not begun limits nothing yet
