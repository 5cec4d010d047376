"""Short ways to a known state: a fake cluster with a clock in hand, turns of the reconcile loop, waiting threads."""

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import TransactionTestCase

from apps.accounts.models import User
from apps.compute.backends.fake.world import FakePlan, FakeWorld
from apps.compute.models import Attempt, Workload
from apps.compute.reconcile import admit
from apps.compute.reconcile.turn import Turn, run_turn
from apps.experiments.models import Experiment
from apps.quotas import services as quotas
from apps.quotas.models import QuotaLimit, Reservation
from tests.people import Cast, fake_cluster, make_cast, submit

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
FOREVER = FakePlan(duration=None)


class Stage:
    """One fake cluster whose clock stands still, and the loop that looks at it when told to."""

    def __init__(self) -> None:
        admit._told.clear()  # or what an earlier test told would not be told again for some seconds
        self.name = f"test-{uuid.uuid4()}"
        self.world = FakeWorld.named(self.name)
        self.cluster = fake_cluster(world=self.name, live=False)

    def plan(self, **facts: Any) -> None:
        """Let everything that starts from now on behave so; "duration" in seconds, None for ever."""
        plan = FakePlan(**{key: _in_time(key, value) for key, value in facts.items()})
        self.world.plan = lambda _name, _spec: plan

    def submit(self, by: User, **spec: Any) -> Experiment:
        return submit(by, **spec)

    def turn(self, owner: str = "owner", times: int = 1) -> Turn:
        """Let everything be due, nobody hold a lease, and take turns."""
        for _ in range(times):
            Workload.objects.exclude(next_reconcile_at=None).update(next_reconcile_at=LONG_AGO, lease_until=None)
            admit._told.clear()  # what a worker believes for some seconds
            admit._short_until.clear()
            turn = run_turn(owner)
        return turn

    def pass_time(self, seconds: float) -> None:
        self.world.advance(timedelta(seconds=seconds))

    def finish(self, turns: int = 12) -> None:
        """Take turns until nothing is left to do."""
        for _ in range(turns):
            if not Workload.objects.exclude(next_reconcile_at=None).exists():
                return
            self.turn()
        left = list(Workload.objects.exclude(next_reconcile_at=None).values_list("state", "message"))
        pytest.fail(f"not at rest after {turns} turns: {left}")


def _in_time(key: str, value: Any) -> Any:
    is_time = key in {"duration", "start_after", "vanish_after"}
    return timedelta(seconds=value) if is_time and value is not None else value


def fresh(experiment: Experiment) -> Workload:
    """Read the workload of an experiment anew."""
    return Workload.objects.get(pk=experiment.workload_id)


def attempt_of(experiment: Experiment, number: int = 1) -> Attempt:
    return Attempt.objects.get(workload_id=experiment.workload_id, no=number)


def assert_books_balance(*, live: int) -> None:
    """Every counter equals the sum of its live reservations, of which there are `live`."""
    assert quotas.drift() == []
    assert Reservation.objects.filter(released_at=None).count() == live
    if not live:
        assert not QuotaLimit.objects.exclude(used=0).exists()


def in_threads(count: int, work: Callable[[int], Any], *, seconds: float = 60) -> list[Any]:
    """Run `work(0)` to `work(count - 1)` at the same time, each with a connection of its own; return the results."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def body(index: int) -> None:
        try:
            barrier.wait(seconds)
            results[index] = work(index)
        except Exception as error:  # noqa: BLE001 -- handed to the test, which judges it
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=body, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not any(thread.is_alive() for thread in threads), "a thread did not end"
    return results


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def stage(db: None) -> Iterator[Stage]:
    made = Stage()
    yield made
    FakeWorld._named.pop(made.name)


# Whatever refuses to be truncated, or would note it: triggers of the audit and the ledger.
_SWITCH = r"""
    DO $$ DECLARE found record; BEGIN
        FOR found IN SELECT tgrelid::regclass AS name, tgname FROM pg_trigger WHERE tgname LIKE '%\_not\_truncated' OR tgname = 'audit_truncate'
        LOOP EXECUTE format('ALTER TABLE %s {word} TRIGGER %I', found.name, found.tgname); END LOOP;
    END $$
"""


# What Django writes after a migration, and would write again after each test: no test changes it.
_KEPT = {"django_migrations", "django_content_type", "auth_permission"}


def _empty_past_the_audit(_case: TransactionTestCase) -> None:
    """Empty the database. The audit refuses to be truncated, which here is the only way."""
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True)) - _KEPT)
    names = ", ".join(connection.ops.quote_name(table) for table in tables)
    off, on = (_SWITCH.replace("{word}", word) for word in ("DISABLE", "ENABLE"))
    with connection.cursor() as cursor:
        cursor.execute(f"{off}; TRUNCATE {names}; {on}")


TransactionTestCase._fixture_teardown = _empty_past_the_audit  # type: ignore[attr-defined]


@pytest.fixture
def committed(transactional_db: None) -> None:
    """A database in which other threads see what this test writes; emptied after it."""
