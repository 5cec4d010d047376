"""What jobs use: looked at while they run, kept with the attempt, told to their runs, added up with money."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.budgets import costs
from apps.budgets.models import Hold
from apps.budgets.services import set_price
from apps.compute.models import Attempt, Cluster
from apps.compute.reconcile.measure import measure_running
from apps.experiments.models import Experiment
from apps.tracking.models import MetricPoint, MetricSeries
from tests.factories import Stage, attempt_of
from tests.people import Cast
from tests.portal.conftest import as_person
from tests.portal.reading import text_of

__all__ = ["as_person"]

GIB = 1 << 30
pytestmark = pytest.mark.django_db


def running(cast: Cast, stage: Stage, *, ran: float = 100.0, **plan: Any) -> Experiment:
    """Start one that by the database's clock has run for some seconds; the fake world's clock is another."""
    stage.plan(duration=None, **{"cpus": 1.5, "memory_bytes": 2 * GIB, **plan})
    experiment = stage.submit(cast.alice, resources={"cpu": 2, "memory": "4Gi"})
    stage.turn(times=2)
    stage.pass_time(ran)
    Attempt.objects.update(started_at=timezone.now() - timedelta(seconds=ran))
    return experiment


def points(key: str) -> list[tuple[int, float]]:
    return list(MetricPoint.objects.filter(series__key=key).order_by("ordinal").values_list("step", "value"))


def test_it_is_kept_with_the_attempt_and_drawn_with_the_run(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    assert measure_running() == "measured 1"
    attempt = attempt_of(experiment)
    assert (attempt.cpu_seconds, attempt.memory_bytes, attempt.peak_memory_bytes) == (150.0, 2 * GIB, 2 * GIB)
    assert points("system/memory_gib") == [(100, 2.0)]
    ((step, cpus),) = points("system/cpus")
    assert (step, round(cpus, 1)) == (100, 1.5)


def test_the_second_look_counts_from_the_first(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage)
    measure_running()
    ago = timezone.now() - timedelta(seconds=10)
    Attempt.objects.update(measured_at=ago, cpu_seconds=147.0, peak_memory_bytes=3 * GIB)
    measure_running()
    assert round(points("system/cpus")[-1][1], 1) == 0.3
    assert attempt_of(experiment).peak_memory_bytes == 3 * GIB


def test_a_cluster_that_cannot_tell_or_be_asked_leaves_it_open(cast: Cast, stage: Stage) -> None:
    experiment = running(cast, stage, cpus=None)
    assert measure_running() == ""
    with stage.world.unreachable():
        assert measure_running() == ""
    assert attempt_of(experiment).measured_at is None
    assert not MetricSeries.objects.exists()


def test_the_end_tells_the_whole_and_money_knows_what_lay_idle(cast: Cast, stage: Stage) -> None:
    set_price(Cluster.objects.get().pk, "cpu", 1_000_000, by=SYSTEM)
    stage.plan(duration=60, cpus=0.5, memory_bytes=GIB)
    experiment = stage.submit(cast.alice, resources={"cpu": 2})
    stage.turn(times=2)
    stage.pass_time(61)
    stage.finish()
    attempt = attempt_of(experiment)
    assert (attempt.cpu_seconds, attempt.peak_memory_bytes, attempt.verdict) == (30.0, GIB, "succeeded")
    hold = Hold.objects.get(key=attempt.handle)
    assert (hold.cpu_ms, hold.billable_ms) == (30_000, 60_000)
    now = timezone.now()
    of = costs.scope(SYSTEM, since=now - timedelta(days=1), until=now + timedelta(days=1))
    assert costs.total(costs.costs(of, "cluster")).idle_cpu_percent == 75


def test_what_nobody_measured_is_not_idle(cast: Cast, stage: Stage) -> None:
    set_price(Cluster.objects.get().pk, "cpu", 1_000_000, by=SYSTEM)
    stage.plan(duration=60)
    stage.submit(cast.alice)
    stage.turn(times=2)
    stage.pass_time(61)
    stage.finish()
    assert Hold.objects.get().cpu_ms is None
    now = timezone.now()
    of = costs.scope(SYSTEM, since=now - timedelta(days=1), until=now + timedelta(days=1))
    assert costs.total(costs.costs(of, "cluster")).idle_cpu_percent is None


def test_it_is_shown_beside_what_was_asked_for(cast: Cast, stage: Stage, as_person: Callable[[str], Client]) -> None:
    experiment = running(cast, stage)
    measure_running()
    client = as_person("alice")
    page = text_of(client.get(f"/experiments/{experiment.pk}/"))
    assert "of 2 CPUs on average" in page
    assert "2.00 of 4 GiB of memory at most" in page
    assert "system/" not in page
    charts = text_of(client.get(f"/experiments/{experiment.pk}/metrics/"))
    assert "system/cpus, of 2 CPUs" in charts
    told = client.get(f"/api/v2/experiments/{experiment.pk}/attempts/").json()[0]
    assert (told["cpu_seconds"], told["peak_memory_bytes"]) == (150.0, 2 * GIB)
