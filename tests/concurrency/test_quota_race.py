"""Sixteen at once on one quota tree: exact with the lock, over the limit without it."""

import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.access.principal import SYSTEM
from apps.core import failpoints
from apps.quotas import services as quotas
from apps.quotas import statements
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation
from apps.quotas.services import Full
from tests.factories import assert_books_balance, in_threads

pytestmark = pytest.mark.usefixtures("committed")

THREADS, LIMIT = 16, 10


def make_tree(limit: int) -> list[QuotaNode]:
    """Two teams of two users each below a platform with a limit; returns the users."""
    root = quotas.ensure_node(NodeKind.PLATFORM, "platform", name="platform", limits={"cpu": limit, "gpu": limit})
    users = []
    for team in range(2):
        top = quotas.ensure_node(NodeKind.ORGANIZATION, f"org:{team}", name="o", parent=root, limits={"cpu": limit - 2})
        users += [
            quotas.ensure_node(NodeKind.USER, f"user:{team}{user}", name="u", parent=top, limits={"cpu": limit - 3})
            for user in range(2)
        ]
    return users


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        row = cursor.fetchone()
    return int(row[0])


def meet_at_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever has just read what is used wait a moment for a second one: only a lock keeps them apart."""
    meeting = threading.Barrier(2)

    def hit(name: str) -> None:
        if name == "quota.after_lock":
            try:
                meeting.wait(0.02)
            except threading.BrokenBarrierError:
                meeting.reset()

    monkeypatch.setattr(failpoints, "hit", hit)


def reserve_one(users: list[QuotaNode]) -> Callable[[int], Any]:
    def work(index: int) -> Any:
        with transaction.atomic():
            return quotas.reserve(f"k{index}", users[0], [], {"gpu": 1})

    return work


def test_as_many_as_fit_and_not_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    users = make_tree(LIMIT)
    meet_at_the_check(monkeypatch)
    results = in_threads(THREADS, reserve_one(users))
    assert sum(isinstance(result, Reservation) for result in results) == LIMIT
    assert sum(isinstance(result, Full) for result in results) == THREADS - LIMIT
    assert QuotaLimit.objects.get(node__key="platform", resource="gpu").used == LIMIT
    assert_books_balance(live=LIMIT)


def test_without_the_lock_the_database_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: were the lock not needed, the test above would show nothing. What the code admits too much is an error."""
    users = make_tree(LIMIT)
    meet_at_the_check(monkeypatch)
    monkeypatch.setattr(statements, "LOCK", statements.LOOK)
    results = in_threads(THREADS, reserve_one(users))
    refused = [result for result in results if isinstance(result, IntegrityError)]
    assert refused
    assert all("quota_not_exceeded" in str(error) for error in refused)
    assert QuotaLimit.objects.get(node__key="platform", resource="gpu").used <= LIMIT
    assert_books_balance(live=sum(isinstance(result, Reservation) for result in results))


def test_without_the_lock_and_the_check_too_many_are_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the control."""
    users = make_tree(LIMIT)
    meet_at_the_check(monkeypatch)
    monkeypatch.setattr(statements, "LOCK", statements.LOOK)
    with without_check():
        results = in_threads(THREADS, reserve_one(users))
        assert sum(isinstance(result, Reservation) for result in results) > LIMIT
        assert QuotaLimit.objects.get(node__key="platform", resource="gpu").used > LIMIT
        QuotaLimit.objects.update(used=0)


@contextmanager
def without_check() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE quotas_quotalimit DROP CONSTRAINT quota_not_exceeded")
        try:
            yield
        finally:
            cursor.execute(
                "ALTER TABLE quotas_quotalimit ADD CONSTRAINT quota_not_exceeded CHECK (ceiling IS NULL OR used <= ceiling)"
            )


class Client:
    """Reserves one or some at once, gives back, gives back twice, changes limits, at random; notes what is over a ceiling."""

    def __init__(self, index: int, users: list[QuotaNode]) -> None:
        self.random = random.Random(index)
        self.users = users
        self.held: list[str] = []
        self.admitted = self.refused = self.released = self.changed = 0
        self.over: list[str] = []

    def step(self) -> None:
        choice = self.random.random()
        if self.held and choice < 0.4:
            self.release()
        elif choice < 0.5:
            self.change_limit()
        else:
            self.reserve()
        rows = QuotaLimit.objects.exclude(ceiling=None)
        self.over += [str(row) for row in rows if row.used > (row.ceiling or 0)]

    def reserve(self) -> None:
        asks = [self.ask() for _ in range(self.random.choice([1, 1, 3]))]
        with transaction.atomic():
            results = quotas.reserve_all(asks)
        for ask, result in zip(asks, results, strict=True):
            if isinstance(result, Full):
                self.refused += 1
            else:
                self.admitted += 1
                self.held.append(ask.key)

    def ask(self) -> quotas.Ask:
        user = self.random.choice(self.users)
        amounts = {"cpu": self.random.randint(1, 4), "gpu": self.random.randint(0, 3)}
        return quotas.Ask(str(uuid.uuid4()), user.pk, tuple(user.path), amounts)

    def release(self) -> None:
        key = self.held.pop(self.random.randrange(len(self.held)))
        for _ in range(2):  # the second gives back nothing
            with transaction.atomic():
                self.released += quotas.release(key)

    def change_limit(self) -> None:
        user = self.random.choice(self.users)
        node = QuotaNode.objects.get(pk=self.random.choice(user.path))
        limit = self.random.choice([None, 3, 9, 14])
        quotas.set_limit(node, self.random.choice(["cpu", "gpu"]), limit, by=SYSTEM, borrow=self.random.choice([0, 2]))
        self.changed += 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mixed_work_is_exact_and_never_deadlocks() -> None:
    """Sixteen clients over three levels: never over what the limits were, no deadlock, no drift, and nothing is left."""
    users, before = make_tree(14), deadlocks()
    clients = [Client(index, users) for index in range(THREADS)]
    steps = 200 if os.environ.get("FATHOM_LONG_TESTS") else 20

    def work(index: int) -> None:
        for _ in range(steps):
            clients[index].step()

    errors = [error for error in in_threads(THREADS, work, seconds=500) if error is not None]
    assert errors == []
    assert [client.over for client in clients if client.over] == []
    assert sum(client.refused for client in clients) > 0
    assert sum(client.changed for client in clients) > 0
    held = sum(len(client.held) for client in clients)
    assert sum(client.admitted - client.released for client in clients) == held
    assert_books_balance(live=held)
    assert deadlocks() == before
    for client in clients:
        while client.held:
            client.release()
    assert_books_balance(live=0)


def test_one_key_in_many_threads_reserves_once() -> None:
    users = make_tree(LIMIT)

    def work(_index: int) -> Any:
        with transaction.atomic():
            return quotas.reserve("same", users[0], [], {"cpu": 2})

    results = in_threads(THREADS, work)
    assert len({result.pk for result in results}) == 1
    assert_books_balance(live=1)


def test_one_release_in_many_threads_gives_back_once() -> None:
    users = make_tree(LIMIT)
    with transaction.atomic():
        quotas.reserve("same", users[0], [], {"cpu": 2})

    def work(_index: int) -> Any:
        with transaction.atomic():
            return quotas.release("same")

    assert sorted(in_threads(THREADS, work)) == [False] * (THREADS - 1) + [True]
    assert_books_balance(live=0)


def test_a_node_meant_by_many_threads_is_made_once() -> None:
    results = in_threads(8, lambda _index: quotas.platform_node().pk)
    assert len(set(results)) == 1
    assert QuotaNode.objects.get().path == [results[0]]
