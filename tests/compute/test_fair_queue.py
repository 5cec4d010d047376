"""The queue in the database: fair shares, what passes, what is taken back, and that nobody waits for ever."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.compute import order, services, why
from apps.compute.backends.fake.world import FakePlan
from apps.compute.models import PriorityClass, Workload, WorkloadEvent
from apps.compute.queue import Walk
from apps.compute.reconcile.admit import DatabaseQueue, ends_of
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode, Reservation, ShareUse
from tests.factories import Stage, assert_books_balance, fresh
from tests.people import Cast


def limit(key: str, resource: str, amount: int | None, **more: Any) -> None:
    quotas.set_limit(QuotaNode.objects.get(key=key), resource, amount, by=SYSTEM, **more)


def states(*experiments: Experiment) -> list[str]:
    return [fresh(experiment).state for experiment in experiments]


@pytest.fixture
def forever(stage: Stage) -> Stage:
    stage.plan(duration=None)
    return stage


@pytest.fixture
def tree(cast: Cast) -> Cast:
    """The nodes of alice in vision, and of olaf in speech, below their organization."""
    quota_node(cast.alice, cast.team)
    quota_node(cast.olaf, cast.other_team)
    return cast


# -- fair share


def test_a_burst_does_not_take_all_places(tree: Cast, forever: Stage) -> None:
    limit("platform", "experiments", 4)
    burst = [forever.submit(tree.alice, team="vision") for _ in range(6)]
    late = [forever.submit(tree.olaf, team="speech") for _ in range(2)]
    forever.turn()
    assert states(*burst).count("starting") == 2
    assert states(*late) == ["starting", "starting"]


def test_who_used_less_goes_first(tree: Cast, forever: Stage) -> None:
    limit("platform", "experiments", 1)
    ShareUse.objects.create(node=QuotaNode.objects.get(key=f"team:{tree.team.pk}"), amount=1e6)
    first, second = forever.submit(tree.alice, team="vision"), forever.submit(tree.olaf, team="speech")
    forever.turn()
    assert states(first, second) == ["queued", "starting"]


def test_use_is_forgotten_with_its_half_life(tree: Cast, settings: Any) -> None:
    settings.FAIR_SHARE_HALF_LIFE = timedelta(hours=1)
    node = QuotaNode.objects.get(key=f"team:{tree.team.pk}")
    ShareUse.objects.create(node=node, amount=800.0)
    ShareUse.objects.update(at=F("at") - timedelta(hours=3))
    assert quotas.shares_of([node.pk])[node.pk].used == pytest.approx(100.0, rel=0.01)


def test_a_start_pays_in_advance_and_the_rest_when_it_has_run(tree: Cast, forever: Stage, settings: Any) -> None:
    experiment = forever.submit(tree.alice, team="vision", resources={"cpu": 2, "memory": "1Gi"})
    forever.turn()
    nodes = Reservation.objects.get().node_ids
    per_second = 2 * 100 + 25

    def used() -> list[float]:
        shares = quotas.shares_of(nodes)
        return [shares[node].used for node in nodes]

    assert used() == pytest.approx([per_second * settings.FAIR_SHARE_ENTRY_SECONDS] * len(nodes), rel=0.01)
    quotas.count_running()  # paid for already
    assert used() == pytest.approx([per_second * 60] * len(nodes), rel=0.01)
    Reservation.objects.update(counted_until=F("counted_until") - timedelta(seconds=160))  # 100 s ago
    quotas.count_running()
    assert used() == pytest.approx([per_second * 160] * len(nodes), rel=0.01)
    Reservation.objects.update(counted_until=F("counted_until") - timedelta(seconds=40))
    services.request_stop(fresh(experiment), by=SYSTEM)
    forever.turn(times=4)
    assert states(experiment) == ["stopped"]
    assert used() == pytest.approx([per_second * 200] * len(nodes), rel=0.01)


def test_the_same_seconds_are_not_counted_twice(tree: Cast, forever: Stage) -> None:
    forever.submit(tree.alice, team="vision")
    forever.turn()
    Reservation.objects.update(counted_until=F("counted_until") - timedelta(seconds=3600))
    quotas.count_running()
    node = QuotaNode.objects.get(key=f"team:{tree.team.pk}")
    before = quotas.shares_of([node.pk])[node.pk].used
    quotas.count_running()
    assert quotas.shares_of([node.pk])[node.pk].used == pytest.approx(before, rel=0.001)


# -- what passes


def test_short_work_passes_large_work_that_waits_for_the_end_of_another(tree: Cast, forever: Stage) -> None:
    limit(f"team:{tree.team.pk}", "cpu", 4000)
    running = forever.submit(tree.alice, team="vision", resources={"cpu": 3}, timeout="1h")
    forever.turn()
    large = forever.submit(tree.alice, team="vision", resources={"cpu": 4})
    short = forever.submit(tree.mia, team="vision", resources={"cpu": 1}, timeout="10m")
    long = forever.submit(tree.mia, team="vision", resources={"cpu": 1}, timeout="2h")
    forever.turn()
    assert states(running, large, short, long) == ["running", "queued", "starting", "queued"]
    assert_books_balance(live=2)


# -- what is lent and taken back


@pytest.fixture
def lent(tree: Cast, forever: Stage) -> list[Experiment]:
    """Vision may hold one experiment and borrow one; it holds both that the organization may hold."""
    limit(f"org:{tree.organization.pk}", "experiments", 2)
    limit(f"team:{tree.team.pk}", "experiments", 1, borrow=1)
    limit(f"team:{tree.other_team.pk}", "experiments", 1)
    held = [forever.submit(tree.alice, team="vision") for _ in range(2)]
    forever.turn(times=2)
    assert states(*held) == ["running", "running"]
    return held


def test_what_nobody_uses_is_borrowed_up_to_the_bound(tree: Cast, forever: Stage, lent: list[Experiment]) -> None:
    limit(f"org:{tree.organization.pk}", "experiments", 3)
    third = forever.submit(tree.alice, team="vision")
    forever.turn()
    assert states(third) == ["queued"]
    assert fresh(third).message == "waiting: team Vision uses 2 of 2 running experiments, and this needs 1"


def test_the_owner_takes_it_back_and_both_are_told(tree: Cast, forever: Stage, lent: list[Experiment]) -> None:
    mine = forever.submit(tree.olaf, team="speech")
    forever.turn()
    assert fresh(mine).message == (
        "waiting: 1 running experiments are being taken back from Vision, which borrowed them"
    )
    forever.turn(times=4)
    assert states(mine) == ["running"]
    assert sorted(states(*lent)) == ["queued", "running"]
    assert states(lent[0]) == ["running"]  # the youngest goes
    told = WorkloadEvent.objects.get(workload=lent[1].workload, reason="Preempted").message
    assert told == (
        "preempted: team Speech takes back running experiments that Vision had borrowed; it starts again when there is room"
    )
    assert AuditEvent.objects.filter(action="preempt", object_id=str(lent[1].workload_id)).count() == 1
    assert_books_balance(live=2)


def test_it_starts_again_when_there_is_room(tree: Cast, forever: Stage, lent: list[Experiment]) -> None:
    mine = forever.submit(tree.olaf, team="speech")
    forever.turn(times=5)
    queued_at = fresh(lent[1]).queued_at
    services.request_stop(fresh(mine), by=SYSTEM)
    forever.turn(times=5)
    again = fresh(lent[1])
    assert (again.state, again.attempt_no, again.queued_at) == ("running", 2, queued_at)
    assert again.retries_left == 0
    assert_books_balance(live=2)


def test_nothing_is_stopped_for_who_would_borrow_himself(tree: Cast, forever: Stage, lent: list[Experiment]) -> None:
    limit(f"team:{tree.other_team.pk}", "experiments", 0, borrow=1)
    mine = forever.submit(tree.olaf, team="speech")
    forever.turn(times=4)
    assert states(mine, *lent) == ["queued", "running", "running"]


def test_nothing_is_stopped_that_would_not_help(tree: Cast, forever: Stage, lent: list[Experiment]) -> None:
    limit(f"org:{tree.organization.pk}", "cpu", 2000)
    mine = forever.submit(tree.olaf, team="speech", resources={"cpu": 2})
    forever.turn(times=4)
    assert states(mine, *lent) == ["queued", "running", "running"]


def test_no_more_is_stopped_than_is_in_the_way(tree: Cast, forever: Stage) -> None:
    limit(f"org:{tree.organization.pk}", "experiments", 4)
    limit(f"team:{tree.team.pk}", "experiments", 1, borrow=3)
    limit(f"team:{tree.other_team.pk}", "experiments", 3)
    held = [forever.submit(tree.alice, team="vision") for _ in range(4)]
    forever.turn(times=2)
    forever.submit(tree.olaf, team="speech")
    for _ in range(5):
        forever.turn()
        assert Workload.objects.filter(resumes=True).count() <= 1
    assert states(*held).count("running") == 3


def test_who_stops_what_is_being_taken_back_stops_it_for_good(
    tree: Cast, forever: Stage, lent: list[Experiment]
) -> None:
    forever.submit(tree.olaf, team="speech")
    forever.turn()
    assert fresh(lent[1]).resumes
    assert services.request_stop(fresh(lent[1]), by=tree.alice) is True
    forever.turn(times=5)
    assert states(lent[1]) == ["stopped"]
    assert fresh(lent[1]).message == "stopped by alice"


def test_what_ends_by_itself_before_the_stop_reaches_it_has_ended(
    tree: Cast, stage: Stage, lent: list[Experiment]
) -> None:
    services.preempt(fresh(lent[1]), cause="preempted: somebody takes back what had been borrowed")
    stage.world.workloads[f"fth-{lent[1].workload_id.hex}-1"].plan = FakePlan(duration=timedelta(seconds=1))
    stage.pass_time(2)
    stage.turn()
    assert states(lent[1]) == ["succeeded"]
    assert not fresh(lent[1]).resumes


def test_only_what_runs_is_preempted(tree: Cast, forever: Stage) -> None:
    experiment = forever.submit(tree.alice)
    assert services.preempt(fresh(experiment), cause="preempted: x") is False
    assert fresh(experiment).desired_state == "run"


# -- nobody waits for ever


def test_what_waited_a_day_goes_before_what_is_more_important(tree: Cast, forever: Stage) -> None:
    limit("platform", "experiments", 1)
    old = forever.submit(tree.alice, priority=-50)
    Workload.objects.update(queued_at=F("queued_at") - timedelta(hours=25))
    important = forever.submit(tree.mia, priority=100)
    forever.turn()
    assert states(old, important) == ["starting", "queued"]


def test_large_work_gets_its_turn_against_a_stream_of_small(tree: Cast, stage: Stage) -> None:
    """One that needs everything, against others that keep coming: it starts once what runs has ended."""
    stage.plan(duration=50)
    limit(f"team:{tree.team.pk}", "cpu", 4000)
    for _ in range(4):
        stage.submit(tree.mia, team="vision", resources={"cpu": 1}, timeout="1m")
    stage.turn()
    large = stage.submit(tree.alice, team="vision", resources={"cpu": 4}, timeout="1m")
    for _ in range(4):
        for _ in range(2):
            stage.submit(tree.mia, team="vision", resources={"cpu": 1}, timeout="1h")
        stage.pass_time(30)
        stage.turn(times=2)
    assert states(large) in (["running"], ["succeeded"])


# -- the order that people are shown


def test_the_order_shown_is_the_one_that_is_walked(tree: Cast, forever: Stage, settings: Any) -> None:
    ShareUse.objects.create(node=QuotaNode.objects.get(key=f"team:{tree.team.pk}"), amount=1e6)
    PriorityClass.objects.create(name="urgent", rank=10, open_to="everyone")
    with_class = {"priority_class": "urgent"}
    rows = [
        forever.submit(by, team=team, **spec)
        for by, team in ((tree.alice, "vision"), (tree.mia, "vision"), (tree.olaf, "speech"), (tree.charlie, None))
        for spec in ({}, {"priority": 7}, with_class)
    ]
    limit("platform", "experiments", 0)
    old = fresh(rows[0])
    Workload.objects.filter(pk=old.pk).update(queued_at=old.queued_at - 2 * settings.QUEUE_PATIENCE)
    queue = DatabaseQueue()
    nodes = {node for one in queue.heads() for node in one.node_ids}
    books = quotas.look(nodes, ["cpu", "memory", "experiments"])
    walked = [one.id for one, _ in Walk(queue, books, quotas.shares_of(nodes), ends_of, time.time())]
    assert walked[0] == old.pk
    assert [pk for pk, _ in order.in_order()] == walked
    assert len(walked) == 12
    places = [why.explain(fresh(row), by=SYSTEM).position for row in rows]
    assert places == [walked.index(row.workload_id) + 1 for row in rows]
    some = [rows[1].workload_id, rows[11].workload_id]
    assert [pk for pk, _ in order.in_order(some)] == [pk for pk in walked if pk in some]
