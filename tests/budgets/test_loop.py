"""The loop of money against real workloads on the fake cluster."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Budget, Hold
from apps.compute.models import Attempt, Workload
from apps.compute.reconcile import charge
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas.models import QuotaNode
from tests.budgets.money import assert_books_balance, numbers
from tests.factories import Stage, attempt_of, fresh
from tests.people import Cast


class Shop:
    """A cluster with a price, a team with a budget, and experiments that run there."""

    def __init__(self, stage: Stage, cast: Cast) -> None:
        self.stage, self.cast = stage, cast
        services.set_price(stage.cluster.pk, "cpu", MICROS, by=SYSTEM)
        stage.plan(duration=None)
        quota_node(cast.alice, cast.team)

    def budget(self, amount: int, policy: str = "reserve") -> Budget:
        node = QuotaNode.objects.get(key=f"team:{self.cast.team.pk}")
        return services.create_budget(node, cadence="month", policy_name=policy, amount_micros=amount, by=SYSTEM)

    def run(self, **spec: Any) -> Experiment:
        experiment = self.stage.submit(self.cast.alice, team="vision", resources={"cpu": 1}, **spec)
        self.stage.turn(times=2)
        assert fresh(experiment).state == "running"
        return experiment

    def hold(self, experiment: Experiment) -> Hold:
        """What admission has held."""
        return Hold.objects.get(key=attempt_of(experiment).handle)

    def ran(self, experiment: Experiment, seconds: float) -> None:
        """Let the backend's evidence say that it has run for so long."""
        start = timezone.now() - timedelta(days=1)
        Attempt.objects.filter(workload=experiment.workload_id).update(started_at=start)
        Workload.objects.filter(pk=experiment.workload_id).update(
            started_at=start, last_seen_at=start + timedelta(seconds=seconds), missing_since=None
        )


@pytest.fixture
def shop(stage: Stage, cast: Cast) -> Shop:
    return Shop(stage, cast)


def test_what_runs_is_charged_by_evidence(shop: Shop) -> None:
    budget = shop.budget(10 * MICROS)
    experiment = shop.run(timeout="2h")
    held = shop.hold(experiment)
    shop.ran(experiment, 1800)
    for _ in range(3):
        assert charge.charge_running() == ""
    assert Hold.objects.get(pk=held.pk).posted_micros == MICROS // 2
    assert numbers(budget)[1] == MICROS // 2
    assert_books_balance()


def test_the_end_closes_it_in_its_own_transaction(shop: Shop) -> None:
    budget = shop.budget(10 * MICROS)
    experiment = shop.run(timeout="2h")
    held = shop.hold(experiment)
    shop.stage.world.advance(timedelta(hours=1))
    assert Hold.objects.get(pk=held.pk).closed_at is None
    experiments.stop_experiment(experiment, by=shop.cast.alice)
    shop.stage.finish()
    attempt = attempt_of(experiment)
    assert attempt.started_at is not None
    assert attempt.finished_at is not None
    ran = (attempt.finished_at - attempt.started_at) // timedelta(milliseconds=1)
    row = Hold.objects.get(pk=held.pk)
    assert row.closed_at is not None
    assert ran >= 3_600_000
    assert row.posted_micros == MICROS * ran // 3_600_000
    assert numbers(budget) == (0, row.posted_micros)
    assert_books_balance()


def test_a_lease_is_renewed_and_then_ended_in_time(shop: Shop, settings: Any) -> None:
    settings.BUDGET_LEASE_SECONDS, settings.CHARGE_SECONDS = 600, 60
    experiment = shop.run()
    budget = shop.budget(MICROS // 2)  # half an hour
    held = shop.hold(experiment)
    seconds = 0
    while fresh(experiment).desired_state == "run":
        seconds += 60
        assert seconds < 1800
        shop.ran(experiment, seconds)
        charge.charge_running()
    row, workload = Hold.objects.get(pk=held.pk), fresh(experiment)
    assert "stopped by system: out of money: team Vision has" in workload.stop_cause
    assert seconds > 1300  # the money was used
    services.close(held.key, (seconds + workload.grace_seconds + 60) * 1000)  # its grace is paid for, too
    row.refresh_from_db()
    assert row.absorbed_micros == 0
    assert numbers(budget)[0] == 0
    assert_books_balance()


def test_a_budget_that_accrues_stops_what_runs_with_the_cause(shop: Shop) -> None:
    shop.budget(MICROS, "accrue")
    experiment = shop.run(timeout="10h")
    shop.hold(experiment)
    shop.ran(experiment, 3599)
    charge.charge_running()
    assert fresh(experiment).desired_state == "run"
    shop.ran(experiment, 3601)
    assert charge.charge_running() == "stopped 1"
    assert charge.charge_running() == ""
    assert "the budget is spent: team Vision has spent 1.00 of its 1.00" in fresh(experiment).stop_cause
    shop.stage.turn(times=3)
    assert fresh(experiment).state == "stopped"
    assert "budget is spent" in fresh(experiment).message


def test_observe_stops_nothing(shop: Shop) -> None:
    shop.budget(1, "observe")
    experiment = shop.run(timeout="10h")
    shop.hold(experiment)
    shop.ran(experiment, 3600)
    charge.charge_running()
    assert fresh(experiment).desired_state == "run"


def test_nothing_is_charged_while_nobody_knows(shop: Shop) -> None:
    """An hour without an answer of the cluster: no evidence, no charge; gone since then: the time until then."""
    experiment = shop.run(timeout="10h")
    held = shop.hold(experiment)
    shop.ran(experiment, 600)
    charge.charge_running()
    Workload.objects.filter(pk=experiment.workload_id).update(
        missing_since=F("last_seen_at"), last_seen_at=timezone.now()
    )
    charge.charge_running()
    assert Hold.objects.get(pk=held.pk).posted_micros == MICROS * 600 // 3600


def test_what_ended_without_being_closed_is_closed_from_evidence(shop: Shop) -> None:
    budget = shop.budget(100 * MICROS)
    experiment = shop.run(timeout="10h")
    held = shop.hold(experiment)
    start = timezone.now() - timedelta(hours=2)
    end = start + timedelta(hours=1)
    Attempt.objects.filter(workload=experiment.workload_id).update(started_at=start, finished_at=end, verdict="failed")
    charge.charge_running()
    assert Hold.objects.get(pk=held.pk).closed_at is not None
    assert numbers(budget) == (0, MICROS)


def test_pages_reach_everything(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charge, "_PAGE", 2)
    jobs = [shop.run(timeout="1h") for _ in range(5)]
    held = [shop.hold(experiment) for experiment in jobs]
    for experiment in jobs:
        shop.ran(experiment, 360)
    charge.charge_running()
    rows = Hold.objects.filter(pk__in=[row.pk for row in held])
    assert set(rows.values_list("posted_micros", flat=True)) == {MICROS // 10}


def test_the_books_are_audited(shop: Shop) -> None:
    shop.run()
    budget = shop.budget(MICROS)
    assert charge.audit_money() == ""
    assert charge.keep_budgets() == ""
    budget.periods.update(held_micros=3)
    assert "held 3/0/0" in charge.audit_money()
