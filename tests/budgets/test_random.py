"""Random schedules against an oracle that knows nothing of the code: whole numbers, one rule, no database."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.principal import SYSTEM
from apps.budgets import services
from apps.budgets.models import Budget, Hold, LedgerEntry, Period
from apps.budgets.services import Short
from tests.budgets.money import Tree, assert_books_balance, cost_of, hold, make_tree, numbers

LEASE_MS = 600_000


@dataclass
class Job:
    """What the oracle knows of one piece of work."""

    key: str
    user: int
    rate: int
    worst_ms: int | None
    seen_ms: int = 0  # the longest time that was reported
    charged: int = 0
    is_open: bool = True


@dataclass
class Oracle:
    """Reserve budgets as a person with a pencil keeps them: per budget what is promised to whom, and what is paid."""

    amounts: dict[str, int]
    rate: int
    jobs: dict[str, Job] = field(default_factory=dict)
    promised: dict[tuple[str, str], int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)

    def path(self, user: int) -> list[str]:
        return [name for name in ("organization", "team", f"user{user}") if name in self.amounts]

    def left(self, name: str) -> int:
        promised = sum(amount for (budget, _), amount in self.promised.items() if budget == name)
        return max(0, self.amounts[name] - promised - self.paid.get(name, 0))

    def hold(self, key: str, user: int, cpu: int, worst_ms: int | None) -> bool:
        rate = self.rate * cpu // 1000
        need = -(-rate * (LEASE_MS if worst_ms is None else worst_ms) // 3_600_000)
        if rate and any(need > self.left(name) for name in self.path(user)):
            return False
        self.jobs[key] = Job(key, user, rate, worst_ms)
        for name in self.path(user):
            self.promised[name, key] = need
        return True

    def tick(self, key: str, ms: int, *, renews: bool = False, is_final: bool = False) -> None:
        job = self.jobs[key]
        if not job.is_open or not job.rate:
            return
        path = self.path(job.user)
        if renews and job.worst_ms is None:
            self._raise(job, -(-job.rate * (max(0, ms) + LEASE_MS) // 3_600_000) - job.charged, all_of_it=True)
        owed = max(0, job.rate * max(0, ms) // 3_600_000 - job.charged)
        self._raise(job, min([owed, *(self.promised[name, key] + self.left(name) for name in path)]), all_of_it=False)
        pay = min([owed, *(self.promised[name, key] for name in path)])
        job.charged += pay
        for name in path:
            self.promised[name, key] -= pay
            self.paid[name] = self.paid.get(name, 0) + pay
        if is_final:
            job.is_open = False
            for name in path:
                self.promised[name, key] = 0

    def _raise(self, job: Job, target: int, *, all_of_it: bool) -> None:
        missing = {name: max(0, target - self.promised[name, job.key]) for name in self.path(job.user)}
        if all_of_it and any(amount > self.left(name) for name, amount in missing.items()):
            return
        for name, amount in missing.items():
            self.promised[name, job.key] += amount


STEP = st.one_of(
    st.tuples(st.just("hold"), st.integers(0, 1), st.integers(1, 4000), st.one_of(st.none(), st.integers(0, 7200))),
    st.tuples(st.just("settle"), st.integers(0, 9), st.integers(-1000, 9_000_000), st.none()),
    st.tuples(st.just("renew"), st.integers(0, 9), st.integers(-1000, 9_000_000), st.none()),
    st.tuples(st.just("close"), st.integers(0, 9), st.integers(-1000, 9_000_000), st.none()),
    st.tuples(st.just("price"), st.just(0), st.integers(0, 5_000_000), st.none()),
    st.tuples(st.just("amount"), st.integers(0, 2), st.integers(0, 5_000_000), st.none()),
)
AMOUNTS = st.fixed_dictionaries(
    {}, optional={name: st.integers(0, 5_000_000) for name in ("organization", "team", "user0")}
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amounts=AMOUNTS, steps=st.lists(STEP, max_size=25))
def test_never_a_micro_over_and_as_the_oracle_says(
    db: None, amounts: dict[str, int], steps: list[tuple[str, int, int, int | None]]
) -> None:
    with transaction.atomic():
        play(amounts, steps)
        transaction.set_rollback(True)


def play(amounts: dict[str, int], steps: list[tuple[str, int, int, int | None]]) -> None:
    tree = make_tree()
    places = {"organization": tree.organization, "team": tree.team, "user0": tree.users[0]}
    tree.price(micros=1_000_000)
    budgets = {name: tree.budget(places[name], amount) for name, amount in amounts.items()}
    oracle = Oracle(dict(amounts), 1_000_000)
    highest = dict(amounts)
    for word, number, value, timeout in steps:
        keys = list(oracle.jobs)
        match word:
            case "hold":
                key = f"job-{len(keys)}-{value}-{number}"
                if key in oracle.jobs:
                    continue
                (answer,) = hold(tree.ask(number, key=key, cpu=value, timeout=timeout))
                expected = oracle.hold(key, number, value, None if timeout is None else timeout * 1000)
                assert isinstance(answer, Hold) is expected, answer
            case "price":
                tree.price(micros=value)
                oracle.rate = value
            case "amount":
                lower(
                    list(budgets.values())[number % len(budgets)] if budgets else None, value, oracle, budgets, highest
                )
            case _ if keys:
                tick(word, keys[number % len(keys)], value, oracle)
        compare(oracle, budgets, highest)
    for key in oracle.jobs:
        tick("close", key, 3_600_000, oracle)
    compare(oracle, budgets, highest)
    settled(tree, oracle)


def lower(
    budget: Budget | None, amount: int, oracle: Oracle, budgets: dict[str, Budget], highest: dict[str, int]
) -> None:
    if budget is None:
        return
    services.change_budget(budget, amount_micros=amount, by=SYSTEM, reason="x")
    name = next(name for name, row in budgets.items() if row == budget)
    oracle.amounts[name] = amount
    highest[name] = max(highest[name], amount)


def tick(word: str, key: str, ms: int, oracle: Oracle) -> None:
    job = oracle.jobs[key]
    before = job.is_open
    if word == "settle":
        services.settle(key, ms)
    elif word == "close":
        services.close(key, ms)
    else:
        answer = services.renew(key, ms)
        assert answer is True or isinstance(answer, Short)
    oracle.tick(key, ms, renews=word == "renew", is_final=word == "close")
    assert before or not job.is_open


def compare(oracle: Oracle, budgets: dict[str, Budget], highest: dict[str, int]) -> None:
    for name, budget in budgets.items():
        promised = sum(amount for (owner, _), amount in oracle.promised.items() if owner == name)
        assert numbers(budget) == (promised, oracle.paid.get(name, 0)), name
        assert sum(numbers(budget)) <= highest[name]
    for job in oracle.jobs.values():
        row = Hold.objects.filter(key=job.key).first()
        assert (row.posted_micros if row else 0) == job.charged


def settled(tree: Tree, oracle: Oracle) -> None:
    """At the end nothing is held, costs are what was charged, and what was not charged is written down."""
    assert not Period.objects.exclude(held_micros=0).exists()
    for user in (0, 1):
        charged = sum(job.charged for job in oracle.jobs.values() if job.user == user)
        assert cost_of(tree.users[user]) == charged
    income = -sum(LedgerEntry.objects.filter(account="income").values_list("amount_micros", flat=True))
    borne = sum(LedgerEntry.objects.filter(account="absorbed").values_list("amount_micros", flat=True))
    assert income == borne + sum(job.charged for job in oracle.jobs.values())
    assert_books_balance()
    assert timezone.now() - timedelta(days=1) < timezone.now()
