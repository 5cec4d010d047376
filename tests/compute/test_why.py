"""Why it waits: the numbers, who can change them, what would fit, the place in the queue; and what is not for everybody."""

from typing import Any

import pytest

from apps.access.principal import SYSTEM
from apps.compute.models import Workload
from apps.compute.whatif import what_if
from apps.compute.why import Why, explain
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode, ShareUse
from tests.factories import Stage, fresh
from tests.people import Cast


def limit(key: str, resource: str, amount: int | None) -> None:
    quotas.set_limit(QuotaNode.objects.get(key=key), resource, amount, by=SYSTEM)


@pytest.fixture
def busy(cast: Cast, stage: Stage) -> Stage:
    """Alice's share of vision holds six of its eight CPUs for an hour at most."""
    stage.plan(duration=None)
    node = quota_node(cast.alice, cast.team)
    quota_node(cast.olaf, cast.other_team)
    limit(node.key, "cpu", 8000)
    stage.submit(cast.alice, team="vision", resources={"cpu": 6}, timeout="1h")
    stage.turn(times=2)
    return stage


def waiting(stage: Stage, by: Any, **spec: Any) -> Experiment:
    experiment = stage.submit(by, **spec)
    stage.turn()
    assert fresh(experiment).state == "queued"
    return experiment


def why(cast: Cast, experiment: Experiment, by: str = "alice", **more: Any) -> Why:
    return explain(fresh(experiment), by=cast.again(by), **more)


def test_the_numbers_and_who_can_change_them(cast: Cast, busy: Stage) -> None:
    told = why(cast, waiting(busy, cast.alice, team="vision", resources={"cpu": 4}))
    (obstacle,) = told.obstacles
    assert (obstacle.resource, obstacle.limit, obstacle.used, obstacle.need) == ("cpu", 8000, 6000, 4000)
    assert obstacle.changed_by == ["mia", "an admin"]
    assert obstacle.sentence == "user alice in Vision uses 6 of 8 CPUs, and this needs 4"
    assert told.sentence == f"waiting: {obstacle.sentence}"
    assert (told.reason, told.position) == ("QuotaFull", 1)


def test_what_would_fit_now(cast: Cast, busy: Stage) -> None:
    told = why(cast, waiting(busy, cast.alice, team="vision", resources={"cpu": 4}))
    assert told.remedies == ["With 2 CPUs fewer it would start now."]


def test_no_less_helps_where_nothing_is_free(cast: Cast, busy: Stage) -> None:
    limit(f"team:{cast.team.pk}/user:{cast.alice.pk}", "experiments", 1)
    assert why(cast, waiting(busy, cast.alice, team="vision", resources={"cpu": 4})).remedies == []


def test_when_it_starts_at_the_latest(cast: Cast, busy: Stage) -> None:
    told = why(cast, waiting(busy, cast.alice, team="vision", resources={"cpu": 4}))
    assert told.starts_at is not None
    ends = quotas_end()
    assert abs((told.starts_at - ends).total_seconds()) < 1


def quotas_end() -> Any:
    from apps.quotas.models import Reservation

    return Reservation.objects.get(released_at=None).ends_by


def test_nobody_knows_when_what_is_in_the_way_has_no_limit(cast: Cast, busy: Stage) -> None:
    busy.submit(cast.alice, team="vision", resources={"cpu": 2})
    busy.turn()
    assert why(cast, waiting(busy, cast.alice, team="vision", resources={"cpu": 8})).starts_at is None


@pytest.mark.parametrize(("person", "knows"), [("alice", False), ("mia", False), ("sre", True), ("aud", True)])
def test_what_others_use_of_shared_limits_is_for_operators(cast: Cast, busy: Stage, person: str, knows: bool) -> None:
    limit("platform", "gpu", 3000)
    busy.submit(cast.olaf, team="speech", resources={"gpu": 2}, timeout="1h")
    busy.turn()
    told = why(cast, waiting(busy, cast.alice, team="vision", resources={"gpu": 2}), by=person)
    (obstacle,) = told.obstacles
    assert obstacle.used == (2000 if knows else None)
    assert bool(told.remedies) is knows
    assert (told.starts_at is not None) is knows
    assert "uses 2" not in obstacle.sentence
    assert obstacle.changed_by == ["an admin"]


def test_the_place_is_counted_among_what_one_sees(cast: Cast, busy: Stage) -> None:
    limit("platform", "experiments", 1)
    foreign = [waiting(busy, cast.olaf, team="speech") for _ in range(3)]
    ShareUse.objects.update_or_create(node=QuotaNode.objects.get(key=f"team:{cast.team.pk}"), defaults={"amount": 1e9})
    own = [waiting(busy, cast.alice, team="vision") for _ in range(2)]
    mine = Workload.objects.filter(pk__in=[one.workload_id for one in own]).values_list("pk", flat=True)
    assert [why(cast, one, seen=mine).position for one in own] == [1, 2]
    assert [why(cast, one, by="sre").position for one in [*foreign, *own]] == [1, 2, 3, 4, 5]


def test_ones_rank_and_how_it_came_about(cast: Cast, busy: Stage) -> None:
    told = why(cast, waiting(busy, cast.alice, team="vision", resources={"cpu": 4}))
    assert [one.node for one in told.standing] == ["organization Acme", "team Vision", "user alice in Vision"]
    assert all(one.cpu_hours > 0 and one.score == one.cpu_hours for one in told.standing)


def test_what_does_not_wait_says_what_it_does(cast: Cast, busy: Stage) -> None:
    running = Experiment.objects.get()
    told = why(cast, running)
    assert (told.state, told.position, list(told.obstacles)) == ("running", None, [])


def test_what_if_a_limit_were_another(cast: Cast, busy: Stage) -> None:
    large = waiting(busy, cast.alice, team="vision", resources={"cpu": 4})
    small = waiting(busy, cast.alice, team="vision", resources={"cpu": 3})
    node = QuotaNode.objects.get(key=f"team:{cast.team.pk}/user:{cast.alice.pk}")
    found = what_if({(node.pk, "cpu"): 13_000})
    assert [row.pk for row in found.besides] == [small.workload_id, large.workload_id]
    assert found.as_it_is == []
    assert [row.pk for row in what_if({(node.pk, "cpu"): 10_000}).besides] == [small.workload_id]
    assert fresh(large).state == "queued"
