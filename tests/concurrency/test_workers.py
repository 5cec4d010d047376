"""Several workers, several requests, at once: each piece of work is done by one of them, once."""

import threading
from typing import Any

import pytest
from django.db import connections

from apps.access.principal import SYSTEM
from apps.compute.models import Attempt, Workload
from apps.compute.reconcile.claim import claim_due
from apps.compute.reconcile.turn import run_turn
from apps.core.errors import Conflict
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.tracking.models import Project
from tests.factories import LONG_AGO, Stage, assert_books_balance, fresh, in_threads
from tests.people import Cast, submit

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def people(committed: None, cast: Cast) -> Cast:
    return cast


@pytest.fixture
def platform(committed: None, stage: Stage) -> Stage:
    return stage


def due() -> None:
    Workload.objects.exclude(next_reconcile_at=None).update(next_reconcile_at=LONG_AGO, lease_until=None)


def test_no_row_is_claimed_twice(people: Cast, platform: Stage) -> None:
    platform.plan(duration=None)
    for _ in range(10):
        submit(people.alice)
    platform.turn(times=2)
    due()
    claimed = in_threads(6, lambda index: [row.pk for row in claim_due(f"w{index}", limit=4)])
    rows = [pk for found in claimed for pk in found]
    assert len(rows) == len(set(rows)) == 10


@pytest.mark.slow
def test_workers_share_the_queue(people: Cast, platform: Stage) -> None:
    quotas.set_limit(quota_node(people.alice, None), "experiments", 3, by=SYSTEM)
    made = [submit(people.alice, retries=1) for _ in range(8)]
    most, lock = [0], threading.Lock()
    start = platform.world.plan

    def counting(name: str, spec: Any) -> Any:
        with lock:
            most[0] = max(most[0], Attempt.objects.filter(verdict="").count())
        return start(name, spec)

    platform.world.plan = counting

    def work(index: int) -> None:
        for _ in range(12):
            # All is due at once, but leases hold: who takes them away lets a start come after the end that others saw.
            Workload.objects.exclude(next_reconcile_at=None).update(next_reconcile_at=LONG_AGO)
            run_turn(f"w{index}")
        connections.close_all()

    assert [error for error in in_threads(4, work, seconds=100) if error is not None] == []
    platform.finish(40)
    assert {fresh(experiment).state for experiment in made} == {"succeeded"}
    assert set(platform.world.starts.values()) == {1}
    assert len(platform.world.starts) == 8
    assert most[0] <= 3
    assert_books_balance(live=0)


def test_the_first_submissions_of_a_person_share_one_project(people: Cast, platform: Stage) -> None:
    results = in_threads(8, lambda _index: submit(people.again("charlie")))
    assert [str(result) for result in results] == ["true"] * 8
    assert Project.objects.filter(owner=people.charlie).count() == 1


def test_the_first_submissions_in_a_team_share_one_project(people: Cast, platform: Stage) -> None:
    names = ["alice", "mia"] * 4
    results = in_threads(8, lambda index: submit(people.again(names[index]), team="vision"))
    assert [str(result) for result in results] == ["true"] * 8
    assert Project.objects.filter(team=people.team).count() == 1


def test_a_retry_and_a_delete_do_not_both_happen(
    people: Cast, platform: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.plan(exit_code=1)
    experiment = submit(people.alice)
    platform.finish()
    looked, deleted = threading.Event(), threading.Event()
    look = experiments._require_live

    def slowly(row: Experiment) -> None:
        look(row)
        looked.set()
        deleted.wait(0.5)  # in vain, if the rows are locked

    monkeypatch.setattr(experiments, "_require_live", slowly)

    def work(index: int) -> Any:
        by = people.again("alice")
        if index == 0:
            return experiments.retry_experiment(experiment, by=by)
        looked.wait(10)
        experiments.delete_experiment(experiment, by=by)
        deleted.set()
        return None

    retried, refused = in_threads(2, work)
    assert (retried, type(refused)) == (experiment, Conflict)
    assert Experiment.objects.get().archived_at is None
    assert fresh(experiment).state == "queued"


def test_many_stops_are_one(people: Cast, platform: Stage) -> None:
    platform.plan(duration=None)
    experiment = submit(people.alice)
    platform.turn(times=2)
    results = in_threads(8, lambda _index: experiments.stop_experiment(experiment, by=people.again("alice")))
    assert sorted(results) == [False] * 7 + [True]
