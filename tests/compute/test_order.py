"""The places that people are told: the order in which a walk along the queue looks at what waits."""

import random
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.compute import order
from apps.compute.models import PriorityClass, Workload
from apps.compute.queue import Walk
from apps.compute.reconcile.admit import DatabaseQueue, ends_of
from apps.experiments.models import Experiment
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode, ShareUse
from tests.factories import Stage
from tests.people import Cast


def walked() -> list[object]:
    """The order in which admission looks at what waits, with nothing free for any of it."""
    quotas.set_limit(quotas.platform_node(), "experiments", 0, by=SYSTEM)
    queue = DatabaseQueue()
    nodes = {node for one in [*queue.overdue(), *queue.heads()] for node in one.node_ids}
    books = quotas.look(nodes, ["experiments"])
    return [candidate.id for candidate, _ in Walk(queue, books, quotas.shares_of(nodes), ends_of, time.time())]


def in_order(*experiments: Experiment) -> bool:
    found = [pk for pk, _ in order.in_order()]
    assert [place for _, place in order.in_order()] == list(range(1, len(found) + 1))
    return found == walked() == [one.workload_id for one in experiments]


def queued(experiment: Experiment, ago: timedelta) -> None:
    Workload.objects.filter(pk=experiment.workload_id).update(queued_at=F("queued_at") - ago)


def test_owners_take_turns_by_time_and_keep_their_own_order(cast: Cast, stage: Stage) -> None:
    old = stage.submit(cast.alice)
    other = stage.submit(cast.charlie)
    urgent = stage.submit(cast.alice, priority=5)
    assert in_order(other, urgent, old)


def test_who_used_less_is_before_who_used_more(cast: Cast, stage: Stage) -> None:
    first = [stage.submit(cast.alice, team="vision") for _ in range(2)]
    late = stage.submit(cast.olaf, team="speech")
    ShareUse.objects.create(node=QuotaNode.objects.get(key=f"team:{cast.team.pk}"), amount=1e6)
    assert in_order(late, *first)


def test_the_smaller_is_before_the_larger_and_use_counts_with_it(cast: Cast, stage: Stage) -> None:
    large, small = stage.submit(cast.alice, timeout="5h"), stage.submit(cast.alice, timeout="1h")
    other = stage.submit(cast.charlie, timeout="3h")
    assert in_order(small, other, large)
    (leaf,) = Workload.objects.filter(pk=small.workload_id).values_list("quota_node", flat=True)
    ShareUse.objects.create(node_id=leaf, amount=30 * 360_000)
    assert in_order(other, small, large)
    assert [order.place_of(one.workload_id) for one in (other, small, large)] == [1, 2, 3]


def test_of_what_is_overdue_the_oldest_of_a_cluster_is_first_and_the_others_have_their_turn(
    cast: Cast, stage: Stage
) -> None:
    PriorityClass.objects.create(name="high", rank=10, open_to="everyone")
    old, older = stage.submit(cast.alice), stage.submit(cast.mia)
    high = stage.submit(cast.charlie, priority_class="high")
    queued(old, timedelta(days=8))
    queued(older, timedelta(days=9))
    assert in_order(older, high, old)
    assert [order.place_of(one.workload_id) for one in (older, high, old)] == [1, 2, 3]


def test_a_priority_class_is_before_use_and_what_is_overdue_before_all(cast: Cast, stage: Stage) -> None:
    PriorityClass.objects.create(name="high", rank=10, open_to="everyone")
    PriorityClass.objects.create(name="low", rank=-10, open_to="everyone")
    low, plain = stage.submit(cast.alice, priority_class="low"), stage.submit(cast.alice)
    high, overdue = stage.submit(cast.charlie, priority_class="high"), stage.submit(cast.charlie)
    queued(overdue, timedelta(days=8))
    assert in_order(overdue, high, plain, low)


def test_places_are_counted_among_what_is_seen(cast: Cast, stage: Stage) -> None:
    rows = [stage.submit(by) for by in (cast.alice, cast.charlie, cast.alice)]
    seen = [row.workload_id for row in (rows[0], rows[2])]
    assert [order.place_of(row.workload_id) for row in rows] == [1, 2, 3]
    assert [order.place_of(row.workload_id, seen) for row in rows] == [1, None, 2]
    assert order.in_order(seen) == [(seen[0], 1), (seen[1], 2)]
    assert order.in_order(offset=1, limit=1) == [(rows[1].workload_id, 2)]
    assert order.in_order([]) == []


def test_every_place_is_that_of_the_whole_order(cast: Cast, stage: Stage) -> None:
    draw = random.Random(4)
    people = (cast.alice, cast.charlie, cast.mia, cast.olaf)
    rows = [stage.submit(people[number % 4]).workload_id for number in range(60)]
    for node in QuotaNode.objects.filter(kind="user"):
        ShareUse.objects.create(node=node, amount=draw.choice((0.0, 3.3e6, 7e6)))
    for pk in rows:
        queued_at = timezone.now() - timedelta(hours=draw.choice((1, 2, 3, 5, 200)))
        chosen = {
            "rank": draw.choice((0, 0, 10)),
            "priority": draw.choice((-1, 0, 5)),
            "size": draw.choice((1e5, 3.3e6, 9e6)),
        }
        Workload.objects.filter(pk=pk).update(**chosen, queued_at=queued_at)
    places = order.in_order()
    assert sorted(place for _, place in places) == list(range(1, 61))
    assert [(pk, order.place_of(pk)) for pk, _ in places] == places
    few = order.in_order([pk for pk, _ in places[::3]])
    assert [(pk, order.place_of(pk, [pk for pk, _ in few])) for pk, _ in few] == few
    assert sorted(place for _, place in few) == list(range(1, 21))


@pytest.mark.parametrize("after", range(6))
def test_what_is_stopped_while_its_place_is_counted_has_none_or_the_one_it_had(
    after: int, cast: Cast, stage: Stage
) -> None:
    first, second = stage.submit(cast.alice), stage.submit(cast.alice)
    asked = 0

    def stop_meanwhile(execute: Any, *rest: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == after + 1:
            Workload.objects.filter(pk=second.workload_id).update(desired_state="stop")
        return execute(*rest)

    with connection.execute_wrapper(stop_meanwhile):
        found = order.place_of(second.workload_id)
    assert asked > after
    assert found in (None, 2)
    assert order.place_of(first.workload_id) == 1


@pytest.mark.django_db
def test_an_empty_queue_has_no_places() -> None:
    assert order.in_order() == []
