"""Money at admission: held before the start, waited for, and no more spent than there is."""

from typing import Any

import pytest

from apps.access.principal import SYSTEM
from apps.budgets import services as budgets
from apps.budgets.choices import MICROS
from apps.budgets.models import Hold
from apps.compute import services
from apps.compute.models import Workload
from apps.core.errors import NeverFits
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode
from tests.budgets.money import assert_books_balance as assert_money_balances
from tests.budgets.money import numbers
from tests.factories import Stage, assert_books_balance, fresh
from tests.people import Cast

HOUR = 3600 - services.END_MARGIN_SECONDS - 10  # a time limit whose worst case, with the grace, is an hour


@pytest.fixture
def priced(stage: Stage, cast: Cast) -> Stage:
    """One currency unit for a CPU and an hour; nothing ends by itself."""
    stage.plan(duration=None)
    quota_node(cast.alice, cast.team)
    budgets.set_price(stage.cluster.pk, "cpu", MICROS, by=SYSTEM)
    return stage


def budget(cast: Cast, amount: int, policy: str = "reserve") -> Any:
    node = QuotaNode.objects.get(key=f"team:{cast.team.pk}")
    return budgets.create_budget(node, cadence="month", policy_name=policy, amount_micros=amount, by=SYSTEM)


def run(stage: Stage, cast: Cast, **spec: Any) -> Experiment:
    return stage.submit(cast.alice, team="vision", **{"timeout": HOUR, **spec})


def states(*experiments: Experiment) -> list[str]:
    return [fresh(experiment).state for experiment in experiments]


def test_the_worst_case_is_held_and_what_is_short_waits(cast: Cast, priced: Stage) -> None:
    held = budget(cast, 2 * MICROS)
    first, second, third = (run(priced, cast) for _ in range(3))
    priced.turn(times=2)
    assert states(first, second, third) == ["running", "running", "queued"]
    assert numbers(held) == (2 * MICROS, 0)
    waits = fresh(third)
    assert waits.reason == "BudgetShort"
    assert waits.message.startswith("waiting: team Vision has 0.00 left of its 2.00 until ")
    assert waits.message.endswith(", and this may cost up to 1.00")
    assert Hold.objects.count() == 2
    assert_books_balance(live=2)


def test_what_was_not_spent_lets_the_next_start(cast: Cast, priced: Stage) -> None:
    held = budget(cast, MICROS)
    first, second = run(priced, cast), run(priced, cast)
    priced.turn(times=2)
    services.request_stop(fresh(first), by=SYSTEM)
    priced.turn(times=4)
    assert states(first, second) == ["stopped", "running"]
    assert sum(numbers(held)) <= MICROS
    assert_money_balances()


def test_who_is_short_of_money_holds_up_nobody(cast: Cast, priced: Stage) -> None:
    budget(cast, MICROS)
    dear = run(priced, cast, resources={"cpu": 1}, timeout=HOUR)
    priced.turn(times=2)
    waiting = run(priced, cast)
    cheap = run(priced, cast, resources={"cpu": 0, "memory": "1Gi"})
    own = priced.submit(cast.alice)
    priced.turn(times=2)
    assert states(dear, waiting, cheap, own) == ["running", "queued", "running", "running"]


def test_what_costs_more_than_a_whole_period_has_is_refused(cast: Cast, priced: Stage) -> None:
    budget(cast, MICROS)
    with pytest.raises(NeverFits, match=r"may cost up to 2\.00"):
        run(priced, cast, resources={"cpu": 2})
    assert not Workload.objects.exists()


def test_open_ended_work_starts_on_a_lease(cast: Cast, priced: Stage, settings: Any) -> None:
    settings.BUDGET_LEASE_SECONDS = 360
    held = budget(cast, MICROS)
    experiment = priced.submit(cast.alice, team="vision")
    priced.turn(times=2)
    assert states(experiment) == ["running"]
    assert numbers(held) == (MICROS // 10, 0)


def test_an_attempt_that_was_preempted_is_paid_and_the_next_holds_anew(cast: Cast, priced: Stage) -> None:
    held = budget(cast, 2 * MICROS)
    experiment = run(priced, cast)
    priced.turn(times=2)
    services.preempt(fresh(experiment), cause="preempted: somebody takes back what had been borrowed")
    priced.turn(times=4)
    again = fresh(experiment)
    assert (again.state, again.attempt_no) == ("running", 2)
    assert Hold.objects.exclude(closed_at=None).count() == 1
    assert numbers(held)[0] == MICROS
    assert_money_balances()


def test_without_prices_nothing_is_held(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    quota_node(cast.alice, cast.team)
    budget(cast, 0)
    experiment = run(stage, cast)
    stage.turn(times=2)
    assert states(experiment) == ["running"]
    assert not Hold.objects.exists()


def test_observed_money_stops_nobody(cast: Cast, priced: Stage) -> None:
    budget(cast, 1, policy="observe")
    experiments = [run(priced, cast) for _ in range(3)]
    priced.turn(times=2)
    assert states(*experiments) == ["running"] * 3


def test_a_quota_that_is_full_holds_no_money(cast: Cast, priced: Stage) -> None:
    held = budget(cast, 10 * MICROS)
    quotas.set_limit(QuotaNode.objects.get(key=f"team:{cast.team.pk}"), "experiments", 1, by=SYSTEM)
    experiments = [run(priced, cast) for _ in range(3)]
    priced.turn(times=2)
    assert sorted(states(*experiments)) == ["queued", "queued", "running"]
    assert numbers(held) == (MICROS, 0)
