"""While it runs and when it ends: cumulative, capped by what is held, settled once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.principal import SYSTEM
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Hold, LedgerEntry, LedgerTx, Period
from apps.budgets.services import Tick
from tests.budgets.money import (
    HOUR,
    Tree,
    age_period,
    assert_books_balance,
    cost_of,
    hold,
    hold_one,
    numbers,
    period_of,
)


def row(held: Hold) -> Hold:
    return Hold.objects.get(pk=held.pk)


def absorbed() -> int:
    return sum(LedgerEntry.objects.filter(account="absorbed").values_list("amount_micros", flat=True))


def test_settled_while_it_runs_and_the_rest_returned(tree: Tree) -> None:
    budgets = [tree.budget(node, 10 * MICROS) for node in (tree.organization, tree.team)]
    held = hold_one(tree.ask(timeout=7200))
    for part in (0, 1, 20, 60):
        services.settle(held.key, HOUR * part // 60)
    assert [numbers(budget) for budget in budgets] == [(MICROS, MICROS)] * 2
    services.close(held.key, HOUR * 3 // 2)
    assert [numbers(budget) for budget in budgets] == [(0, 1_500_000)] * 2
    assert cost_of(tree.users[0]) == row(held).posted_micros == 1_500_000
    assert_books_balance()


def test_a_clock_that_steps_back_changes_nothing(tree: Tree) -> None:
    held = hold_one(tree.ask(timeout=7200))
    for ms in (HOUR, HOUR // 2, 0, -5, HOUR):
        services.settle(held.key, ms)
    assert (row(held).posted_micros, row(held).billable_ms) == (MICROS, HOUR)
    services.close(held.key, HOUR // 4)
    assert row(held).posted_micros == cost_of(tree.users[0]) == MICROS
    assert LedgerTx.objects.filter(kind="charge").count() == 1


def test_closing_twice_and_what_is_unknown_do_nothing(tree: Tree) -> None:
    tree.budget(tree.team, 10 * MICROS)
    held = hold_one(tree.ask())
    for _ in range(2):
        services.close(held.key, HOUR)
    services.settle(held.key, 5 * HOUR)
    services.settle("nobody", 5)
    assert services.renew("nobody", 5) is True
    services.close("nobody", 5)
    assert cost_of(tree.users[0]) == MICROS
    assert_books_balance()


def test_each_posting_has_a_key_of_its_own(tree: Tree) -> None:
    tree.budget(tree.team, 10 * MICROS)
    held = hold_one(tree.ask(key="k"))
    services.settle("k", HOUR // 3)
    services.close("k", HOUR // 2)
    keys = list(LedgerTx.objects.filter(hold=held).order_by("id").values_list("idem", flat=True))
    assert keys == ["hold:k:0", "charge:k:1", "charge:k:2", "return:k:3"]


def test_a_charge_never_exceeds_what_is_held_when_the_budget_has_no_more(tree: Tree) -> None:
    budget = tree.budget(tree.team, MICROS)
    held = hold_one(tree.ask(timeout=3600))
    (outcome,) = services.charge([Tick(held.key, 2 * HOUR)]).values()
    assert numbers(budget) == (0, MICROS)
    assert outcome.short is not None
    assert outcome.carried_ms == HOUR
    services.close(held.key, 3 * HOUR)
    assert (cost_of(tree.users[0]), absorbed()) == (MICROS, 2 * MICROS)
    assert row(held).absorbed_micros == 2 * MICROS
    assert_books_balance()


def test_what_ran_too_long_is_held_first_if_there_is_money(tree: Tree) -> None:
    wide, narrow = tree.budget(tree.organization, 10 * MICROS), tree.budget(tree.team, 2 * MICROS)
    held = hold_one(tree.ask(timeout=3600))
    services.settle(held.key, 3 * HOUR)
    assert (numbers(wide), numbers(narrow)) == ((0, 2 * MICROS), (0, 2 * MICROS))
    tx = LedgerTx.objects.filter(hold=held, kind="hold").order_by("id").last()
    assert tx is not None
    assert tx.idem.endswith(":1")
    assert_books_balance()


def test_leases_are_renewed_while_money_lasts(tree: Tree, settings: object) -> None:
    settings.BUDGET_LEASE_SECONDS = 600  # type: ignore[attr-defined]
    budget = tree.budget(tree.team, MICROS)  # an hour of one CPU
    held = hold_one(tree.ask(timeout=None))
    ran = 0
    while (answer := services.renew(held.key, ran)) is True:
        ran += 300_000
    assert not isinstance(answer, bool)
    assert "left of its 1.00" in answer.message
    assert ran == 3_300_000  # the lease that reaches beyond the hour is not given
    (outcome,) = services.charge([Tick(held.key, ran)]).values()
    assert outcome.carried_ms is not None
    assert 3_595_000 < outcome.carried_ms <= HOUR
    services.close(held.key, outcome.carried_ms + 60_000)
    assert numbers(budget)[0] == 0
    assert MICROS - 200 < numbers(budget)[1] <= MICROS
    assert_books_balance()


def test_a_renewal_repeated_holds_nothing_more(tree: Tree) -> None:
    budget = tree.budget(tree.team, 10 * MICROS)
    held = hold_one(tree.ask(timeout=None))
    before = numbers(budget)
    for _ in range(3):
        assert services.renew(held.key, 0) is True
    assert numbers(budget) == before


def test_a_lease_after_midnight_is_held_in_the_new_month(tree: Tree) -> None:
    budget = tree.budget(tree.team, 10 * MICROS)
    held = hold_one(tree.ask(timeout=None, cpu=6000))
    age_period(budget)
    assert services.renew(held.key, 300_000) is True
    services.close(held.key, 900_000)
    old, new = Period.objects.filter(budget=budget).order_by("starts_at")
    assert (old.spent_micros, new.spent_micros) == (MICROS, MICROS // 2)
    assert_books_balance()


def test_accrue_says_when_it_is_spent_and_observe_never_does(tree: Tree) -> None:
    accrue, observe = tree.budget(tree.team, MICROS, "accrue"), tree.budget(tree.organization, MICROS, "observe")
    held = hold_one(tree.ask(timeout=36_000))
    (first,) = services.charge([Tick(held.key, HOUR - 4)]).values()
    (second,) = services.charge([Tick(held.key, HOUR + HOUR // 60)]).values()
    assert first.short is None
    assert second.short is not None
    assert second.short.budget_id == accrue.pk
    assert "budget is spent" in services.told(second.short)
    services.close(held.key, 2 * HOUR)
    assert numbers(observe) == numbers(accrue) == (0, 2 * MICROS)  # what has run is charged, all of it
    assert absorbed() == 0
    assert_books_balance()


def test_many_are_charged_in_as_few_queries_as_one(tree: Tree) -> None:
    tree.budget(tree.team, 1000 * MICROS)
    one, *many = (hold_one(tree.ask(number % 2)) for number in range(21))
    with CaptureQueriesContext(connection) as few:
        services.charge([Tick(one.key, 1000)])
    with CaptureQueriesContext(connection) as lots:
        services.charge([Tick(held.key, 1000) for held in many])
    assert len(few) == len(lots) <= 6
    assert_books_balance()


def test_lowering_stops_nothing_and_holds_nothing_more(tree: Tree) -> None:
    budget = tree.budget(tree.team, 10 * MICROS)
    held = hold_one(tree.ask(timeout=3600 * 6))
    services.change_budget(budget, amount_micros=2 * MICROS, by=SYSTEM, reason="less")
    assert period_of(budget).ceiling_micros == 6 * MICROS
    assert hold(tree.ask(timeout=1))[0].available_micros == 0  # type: ignore[union-attr]
    services.close(held.key, 5 * HOUR)
    assert numbers(budget) == (0, 5 * MICROS)
    services.change_budget(budget, amount_micros=7 * MICROS, by=SYSTEM, reason="more")
    hold_one(tree.ask(timeout=7200))
    assert_books_balance()


@pytest.mark.parametrize("policy", ["observe", "accrue"])
def test_a_budget_that_begins_to_reserve_charges_no_more_than_it_has(policy: str, tree: Tree) -> None:
    budget = tree.budget(tree.team, 2 * MICROS, policy)
    held = hold_one(tree.ask(timeout=36_000))
    services.settle(held.key, HOUR)
    services.change_budget(budget, policy_name="reserve", by=SYSTEM, reason="x")
    (outcome,) = services.charge([Tick(held.key, 5 * HOUR)]).values()
    assert numbers(budget) == (0, 2 * MICROS)
    assert outcome.short is not None
    assert_books_balance()


def test_a_budget_that_no_longer_reserves_or_was_ended_charges_all(tree: Tree) -> None:
    first, second = tree.budget(tree.team, MICROS), tree.budget(tree.users[0], MICROS)
    held = hold_one(tree.ask(timeout=3600))
    services.change_budget(first, policy_name="observe", by=SYSTEM, reason="x")
    services.end_budget(second, by=SYSTEM, reason="x")
    services.close(held.key, 3 * HOUR)
    assert numbers(first) == numbers(second) == (0, 3 * MICROS)
    assert_books_balance()
