"""Sixteen at once on one tree of budgets: never over, to the micro; without the lock, over."""

import random
import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from apps.access.principal import SYSTEM
from apps.budgets import services, statements
from apps.budgets.choices import MICROS
from apps.budgets.models import Hold, Period
from apps.budgets.services import Short, Tick, books
from tests.budgets.money import HOUR, Tree, age_period, assert_books_balance, make_tree, numbers
from tests.concurrency.test_quota_race import deadlocks
from tests.factories import in_threads

pytestmark = pytest.mark.usefixtures("committed")
THREADS, FITS = 16, 10


@pytest.fixture
def many(committed: None) -> Tree:
    tree = make_tree()
    tree.price()
    return tree


def meet_after_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever has read the periods wait a moment for a second one: only a lock keeps them apart."""
    meeting, real = threading.Barrier(2), books._select

    def select(*given: Any) -> Any:
        found = real(*given)
        try:
            meeting.wait(0.02)
        except threading.BrokenBarrierError:
            meeting.reset()
        return found

    monkeypatch.setattr(books, "_select", select)


def hold_one_each(tree: Tree) -> list[Any]:
    def work(index: int) -> Any:
        with transaction.atomic():
            return services.hold([tree.ask(index % 2, key=f"k{index}")])[0]

    return in_threads(THREADS, work)


def test_as_many_as_the_money_carries_and_not_one_more(many: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = many.budget(many.team, FITS * MICROS)
    meet_after_the_lock(monkeypatch)
    results = hold_one_each(many)
    assert sum(isinstance(result, Hold) for result in results) == FITS
    assert sum(isinstance(result, Short) for result in results) == THREADS - FITS
    assert numbers(budget) == (FITS * MICROS, 0)
    assert_books_balance()


def test_without_the_lock_too_many_are_held(many: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: if this passes by luck of the lock being there, the test above shows nothing."""
    many.budget(many.team, FITS * MICROS)
    meet_after_the_lock(monkeypatch)
    monkeypatch.setattr(statements, "LOCK", statements.PEEK)
    results = hold_one_each(many)
    assert sum(isinstance(result, Hold) for result in results) > FITS
    assert services.drift() != []


def test_with_neither_lock_nor_care_the_database_refuses(many: Tree) -> None:
    budget = many.budget(many.team, MICROS)
    with pytest.raises(DatabaseError, match="period_within_its_ceiling"), connection.cursor() as cursor:
        cursor.execute("UPDATE budgets_period SET held_micros = 1000001 WHERE budget_id = %s", [budget.pk])


class Client:
    """Holds, settles, renews, closes, closes again, at random; an admin changes prices and amounts meanwhile."""

    def __init__(self, index: int, tree: Tree) -> None:
        self.random = random.Random(index)
        self.index, self.tree = index, tree
        self.open: list[str] = []
        self.count = self.held = self.refused = 0
        self.over: list[str] = []

    def step(self) -> None:
        choice = self.random.random()
        if self.index == 0 and choice < 0.3:
            self.tree.price(micros=self.random.randint(1, 3 * MICROS))
        elif self.open and choice < 0.7:
            self.tick()
        else:
            self.hold()
        self.over += [
            str(row.pk) for row in Period.objects.all() if row.held_micros + row.spent_micros > row.amount_micros
        ]

    def hold(self) -> None:
        asks = []
        for _ in range(self.random.randint(1, 3)):
            self.count += 1
            timeout = self.random.choice([None, 600, 3600])
            asks.append(self.tree.ask(self.random.randint(0, 1), key=f"{self.index}-{self.count}", timeout=timeout))
        with transaction.atomic():
            results = services.hold(asks)
        for ask, result in zip(asks, results, strict=True):
            if isinstance(result, Hold):
                self.open.append(ask.key)
                self.held += 1
            else:
                self.refused += 1

    def tick(self) -> None:
        chosen = self.random.sample(self.open, min(3, len(self.open)))
        final = self.random.random() < 0.5
        ticks = [Tick(key, self.random.randint(0, HOUR), renews=not final, is_final=final) for key in chosen]
        services.charge(ticks)
        if final:
            services.charge(ticks)
            self.open = [key for key in self.open if key not in chosen]


@pytest.mark.slow
def test_mixed_work_is_exact_and_never_deadlocks(many: Tree) -> None:
    for node, amount in ((many.organization, 30), (many.team, 20), (many.users[0], 10)):
        many.budget(node, amount * MICROS)
    before = deadlocks()
    clients = [Client(index, many) for index in range(8)]

    def work(index: int) -> None:
        for _ in range(15):
            clients[index].step()

    errors = [error for error in in_threads(8, work, seconds=100) if error is not None]
    assert errors == []
    assert [client.over for client in clients if client.over] == []
    assert sum(client.refused for client in clients) > 0
    assert Hold.objects.filter(closed_at=None).count() == sum(len(client.open) for client in clients)
    assert_books_balance()
    assert deadlocks() == before


def test_the_new_month_begins_once(many: Tree) -> None:
    budget = many.budget(many.team, 100 * MICROS)
    age_period(budget)
    results = hold_one_each(many)
    assert all(isinstance(result, Hold) for result in results), results
    assert Period.objects.filter(budget=budget).count() == 2
    assert numbers(budget) == (THREADS * MICROS, 0)


def test_one_end_in_many_threads_returns_once(many: Tree) -> None:
    budget = many.budget(many.team, 10 * MICROS)
    with transaction.atomic():
        services.hold([many.ask(key="k")])
    assert in_threads(8, lambda _index: services.close("k", HOUR // 2)) == [None] * 8
    assert numbers(budget) == (0, MICROS // 2)
    assert_books_balance()


def test_an_admin_lowers_while_others_hold(many: Tree) -> None:
    budget = many.budget(many.team, 100 * MICROS)

    def work(index: int) -> Any:
        if index % 2:
            return services.change_budget(budget, amount_micros=index * MICROS, by=SYSTEM, reason="x")
        with transaction.atomic():
            return services.hold([many.ask(key=f"k{index}")])[0]

    results = in_threads(10, work)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert_books_balance()
