"""Dying between any two steps of money: what is repeated is done once, what was not committed was not done."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Delivery, Hold, LedgerTx
from apps.compute.reconcile import charge
from tests.budgets.money import HOUR, Tree, assert_books_balance, hold_one, make_tree, numbers
from tests.budgets.test_alerts import hook, make, node, spend
from tests.budgets.test_loop import Shop, shop
from tests.compute.test_crash import Arm, Killed, killer
from tests.factories import fresh

__all__ = ["hook", "killer", "node", "shop"]


@pytest.fixture
def many(committed: None) -> Tree:
    tree = make_tree()
    tree.price()
    return tree


def dies(work: Callable[[], Any]) -> None:
    with pytest.raises(Killed), transaction.atomic():
        work()


def test_every_step_is_done_once_or_not_at_all(many: Tree, killer: Arm) -> None:
    budget = many.budget(many.team, 10 * MICROS)
    ask = many.ask(timeout=7200)
    killer("ledger.before_commit")
    dies(lambda: services.hold([ask]))
    assert numbers(budget) == (0, 0)
    assert not Hold.objects.exists()
    held = hold_one(ask)
    for work in (
        lambda: services.settle(held.key, HOUR),
        lambda: services.renew(held.key, HOUR),
        lambda: services.close(held.key, HOUR * 3 // 2),
    ):
        before, postings = numbers(budget), LedgerTx.objects.count()
        killer("ledger.before_commit")
        dies(work)
        assert (numbers(budget), LedgerTx.objects.count()) == (before, postings)
        work()
        work()
    assert numbers(budget) == (0, 1_500_000)
    assert_books_balance()


def test_what_was_charged_and_not_stopped_is_stopped_by_the_next(shop: Shop, killer: Arm) -> None:
    budget = shop.budget(MICROS, "accrue")
    experiment = shop.run(timeout="10h")
    shop.hold(experiment)
    shop.ran(experiment, 4000)
    killer("charge.after_commit")
    with pytest.raises(Killed):
        charge.charge_running()
    assert fresh(experiment).desired_state == "run"
    spent = numbers(budget)
    assert charge.charge_running() == "stopped 1"
    assert numbers(budget) == spent


def test_an_alert_whose_delivery_was_not_noted_is_delivered_again(node: Any, hook: Any, killer: Arm) -> None:
    spend(make(node, webhook_url=hook.url), 80)
    services.raise_alerts()
    killer("alert.after_send")
    with pytest.raises(Killed):
        services.deliver_alerts()
    assert services.deliver_alerts() == ""  # it is claimed for two minutes
    Delivery.objects.update(next_at=timezone.now())
    assert services.deliver_alerts() == "1 sent"
    first, second = (headers["Fathom-Event-Id"] for _, headers, _ in hook.taken)
    assert first == second
