"""Many writers to the same metrics: nothing is lost, nothing doubled, nobody waits in a circle."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections, transaction

from apps.tracking import batches, ingest, services
from apps.tracking.models import MetricBatch, MetricPoint, MetricSeries, Run
from tests.factories import in_threads
from tests.people import Cast
from tests.tracking.conftest import stored

THREADS, EACH = 8, 15


@pytest.fixture
def run(committed: None, cast: Cast) -> Run:
    return services.create_run(services.create_project("p", by=cast.alice), by=cast.alice, name="r")


def together(work: Callable[[int], None]) -> list[BaseException]:
    """Run `work` in several threads that begin at the same time; return what they raised."""
    return [result for result in in_threads(THREADS, work) if isinstance(result, BaseException)]


def write(run_id: UUID, keys: list[str], number: UUID | None = None, *, steps: bool = True, **more: object) -> bool:
    columns = {"key": keys, "value": [1.5] * len(keys), **({"step": list(range(len(keys)))} if steps else {})}
    batch = batches.check({"metrics": columns, "batch_id": number, **more})
    return ingest.write(run_id, batch, ingest.key_of(run_id, batch, sender=1)).duplicate


@pytest.mark.parametrize("steps", [True, False, None], ids=["steps given", "no steps", "some"])
def test_counts_are_exact_and_nobody_deadlocks(run: Run, steps: bool | None) -> None:
    names = [f"metric{number}" for number in range(12)]
    sent: Counter[str] = Counter()
    guard = threading.Lock()

    def work(number: int) -> None:
        dice = random.Random(number)
        for turn in range(EACH):
            keys = [dice.choice(names) for _ in range(40)]  # each thread has its own order of keys
            given = dice.random() < 0.5 if steps is None else steps
            params = {key: str(turn) for key in dice.sample(names, 3)} if turn % 3 == 0 else {}
            write(run.pk, keys, steps=given, params=params)
            with guard:
                sent.update(keys)

    assert together(work) == []
    assert {row.key: row.count for row in MetricSeries.objects.filter(run=run)} == dict(sent)
    assert MetricPoint.objects.count() == THREADS * EACH * 40
    for name in names:
        assert len(stored(run, name)) == sent[name]  # and the ordinals have no gap


def test_steps_that_the_server_chooses_are_all_different(run: Run) -> None:
    def work(_: int) -> None:
        for _turn in range(EACH):
            write(run.pk, ["loss"] * 5, steps=False)

    assert together(work) == []
    assert sorted(step for step, _ in stored(run)) == list(range(THREADS * EACH * 5))


@pytest.mark.parametrize("more", [{}, {"params": {"a": "1"}}], ids=["one statement", "several"])
def test_the_same_batch_from_everybody_counts_once(run: Run, more: dict[str, object]) -> None:
    numbers = [uuid4() for _ in range(EACH)]
    answers: list[bool] = []

    def work(_: int) -> None:
        answers.extend([write(run.pk, ["a", "b"], number, **more) for number in numbers])

    assert together(work) == []
    assert answers.count(False) == EACH
    assert len(stored(run, "a")) == len(stored(run, "b")) == EACH
    assert MetricBatch.objects.count() == EACH


def test_a_batch_waits_for_the_same_batch_that_may_yet_fail(run: Run) -> None:
    """The first writer rolls back after the second has come: the second must not answer "duplicate"."""
    number, inside, answers = uuid4(), threading.Event(), []

    def second() -> None:
        inside.wait(10)
        answers.append(write(run.pk, ["a"], number))
        connections.close_all()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        assert not write(run.pk, ["a"], number)
        inside.set()
        _wait_for_a_blocked_session()
        transaction.set_rollback(True)
    thread.join(20)
    assert answers == [False]
    assert len(stored(run, "a")) == 1


def _wait_for_a_blocked_session() -> None:
    for _ in range(2000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() != (0,):
                return
            cursor.execute("SELECT pg_sleep(0.005)")
    pytest.fail("nobody waits")


def test_without_the_fixed_order_there_are_deadlocks(run: Run) -> None:
    """The control: the same upserts in the order of the sender's keys must run into each other."""
    names = [f"metric{number:02}" for number in range(30)]

    def work(number: int) -> None:
        order = names if number % 2 else names[::-1]
        for _ in range(EACH):
            with transaction.atomic(), connection.cursor() as cursor:
                for name in order:
                    cursor.execute(
                        "INSERT INTO tracking_metricseries AS s (run_id, key, count) VALUES (%s, %s, 1)"
                        " ON CONFLICT (run_id, key) DO UPDATE SET count = s.count + 1",
                        [run.pk, name],
                    )

    failures = together(work)
    assert any("deadlock" in str(failure) for failure in failures)
