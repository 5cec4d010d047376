"""Showback and statements: equal to the ledger, and no more of it than one may see."""

import csv
import io
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import orjson
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.budgets import costs, overview, services
from apps.budgets.choices import MICROS, cents
from apps.budgets.models import Hold, LedgerEntry, LedgerTx
from apps.budgets.places import find_place
from apps.budgets.services import Ask
from apps.budgets.statement import Item, Statement, as_csv, statement
from apps.core.errors import Invalid, NotFound
from apps.experiments.models import Experiment
from apps.teams import services as teams
from apps.tracking import services as tracking
from tests.factories import Stage, attempt_of
from tests.people import Cast, browser_of

HOUR = 3_600_000
SECRET = "walrus-19"


def of(by: Any, **more: Any) -> costs.Scope:
    since, until = costs.between(None, None)
    return costs.scope(by, since=since, until=until, **more)


class Books:
    """alice and mia spend in the team, olaf in another one, charlie on his own."""

    def __init__(self, stage: Stage, cast: Cast) -> None:
        self.stage, self.cast = stage, cast
        stage.plan(duration=None)
        services.set_price(stage.cluster.pk, "cpu", MICROS, by=SYSTEM)
        self.spend(cast.alice, "vision", 1_000_003)
        self.spend(cast.alice, "vision", 500_000, visibility="private", project=SECRET, name=SECRET)
        self.spend(cast.mia, "vision", 250_000, project="hers")
        self.spend(cast.olaf, "speech", 125_000)
        self.spend(cast.charlie, None, 62_500)

    def spend(self, user: User, team: str | None, micros: int, **spec: Any) -> Experiment:
        if "project" in spec:
            group = self.cast.team if team else None
            tracking.create_project(spec["project"], by=user, team=group, visibility=spec.get("visibility", ""))
        experiment = self.stage.submit(user, **({"team": team} if team else {}), resources={"cpu": 1}, **spec)
        self.stage.turn()
        workload = experiment.workload
        key = attempt_of(experiment).handle
        path = tuple(workload.quota_node.path)
        services.hold([Ask(key, path, workload.cluster_id, {"cpu": 1000}, 7200, workload.subject)])
        services.close(key, -(-micros * HOUR // MICROS))
        return experiment


@pytest.fixture
def spent(stage: Stage, cast: Cast) -> Books:
    return Books(stage, cast)


def by_label(lines: list[costs.Line]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:  # several projects may have one name
        found[line.label] = found.get(line.label, 0) + line.cost_micros
    return found


EXPECTED = {
    "sre": {"alice": 1_500_003, "mia": 250_000, "olaf": 125_000, "charlie": 62_500},
    "aud": {"alice": 1_500_003, "mia": 250_000, "olaf": 125_000, "charlie": 62_500},
    "mia": {"alice": 1_500_003, "mia": 250_000},
    "alice": {"alice": 1_500_003, "others": 250_000},
    "bob": {"others": 1_750_003},
    "olaf": {"olaf": 125_000},
    "charlie": {"charlie": 62_500},
    "dana": {},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_who_sees_whose_costs(name: str, spent: Books) -> None:
    assert by_label(costs.costs(of(spent.cast.again(name)), "user")) == EXPECTED[name]


@pytest.mark.parametrize(
    ("name", "projects"),
    [
        ("alice", {"default": 1_000_003, SECRET: 500_000, "others": 0}),
        ("mia", {"default": 1_000_003, "hers": 250_000, "others": 500_000}),
        ("bob", {"default": 1_000_003, "others": 500_000}),
        ("sre", {SECRET: 500_000}),
    ],
)
def test_a_project_is_named_to_those_who_see_its_runs(name: str, projects: dict[str, int], spent: Books) -> None:
    """What is private adds up as "others": the sum is the team's, the name is not."""
    found = by_label(costs.costs(of(spent.cast.again(name)), "project"))
    for label, micros in projects.items():
        if name == "alice" and label == "others":
            continue
        if label == "others" and name == "bob":
            assert found.get("others", 0) >= micros
            continue
        assert found.get(label, 0) >= micros, found
    if name not in {"alice", "sre"}:
        assert SECRET not in found
    assert sum(found.values()) == sum(EXPECTED[name].values())


@pytest.mark.parametrize("group", costs.GROUPS)
def test_every_grouping_adds_up_to_the_ledger(group: str, spent: Books) -> None:
    ledger = sum(LedgerEntry.objects.filter(account="cost").values_list("amount_micros", flat=True))
    lines = costs.costs(of(spent.cast.sre), group)
    assert sum(line.cost_micros for line in lines) == ledger == 1_937_503
    assert sum(line.run_ms for line in lines) == sum(Hold.objects.values_list("billable_ms", flat=True))
    assert costs.total(lines).cpu_ms == costs.total(lines).run_ms


def test_idle_is_what_was_reserved_and_did_not_run(spent: Books) -> None:
    end = timezone.now()
    Hold.objects.update(made_at=end - timedelta(hours=2), closed_at=end, billable_ms=HOUR // 2)
    line = costs.total(costs.costs(of(spent.cast.charlie), "cluster"))
    assert (line.reserved_ms, line.used_ms, line.idle_percent) == (2 * HOUR, HOUR // 2, 75)


def test_a_place_that_one_does_not_see_is_not_there(spent: Books) -> None:
    speech = find_place("team:speech").pk
    with pytest.raises(NotFound):
        of(spent.cast.alice, node=speech)
    with pytest.raises(NotFound):
        of(spent.cast.alice, node=find_place("org:acme").pk)
    assert costs.cost_between(of(spent.cast.olaf, node=speech)) == 125_000
    assert costs.cost_between(of(spent.cast.sre, node=find_place("org:acme").pk)) == 1_875_003


def test_who_has_left_the_team_sees_it_no_more(spent: Books) -> None:
    teams.remove_member(spent.cast.team, spent.cast.bob, by=SYSTEM)
    assert costs.costs(of(spent.cast.again("bob")), "user") == []


@pytest.mark.parametrize("place", ["nowhere", "team:", "team:nope", "org:acme/user:x", "team:vision/x", "user:nobody"])
def test_what_names_no_place(place: str, cast: Cast) -> None:
    with pytest.raises(Invalid):
        find_place(place)


def test_places_are_those_that_work_makes(spent: Books) -> None:
    cast = spent.cast
    keys = [find_place(text).key for text in ("team:vision", "team:vision/user:alice", "user:charlie", "platform")]
    assert keys == [
        f"team:{cast.team.pk}",
        f"team:{cast.team.pk}/user:{cast.alice.pk}",
        f"user:{cast.charlie.pk}",
        "platform",
    ]


def check(found: Statement, whole: int) -> None:
    rows = list(csv.reader(io.StringIO("".join(as_csv(found)))))
    *lines, rounding, total = [row[-1] for row in rows[1:]]
    in_cents = [round(float(text) * 100) for text in (*lines, rounding)]
    assert sum(in_cents) == round(float(total) * 100) == cents(whole)
    assert sum(int(row[-2]) for row in rows[1:-2]) == whole == int(rows[-1][-2])


def test_a_statement_equals_the_ledger_to_the_cent(spent: Books) -> None:
    found = statement(of(spent.cast.sre))
    ledger = sum(LedgerEntry.objects.filter(account="cost").values_list("amount_micros", flat=True))
    check(found, ledger)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(10**12), 10**12), max_size=30))
def test_rounded_lines_and_the_rounding_add_up(amounts: list[int]) -> None:
    items = [Item(date(2026, 1, 1), "t", "u", "p", "c", 0, amount) for amount in amounts]
    found = Statement(None, items)  # type: ignore[arg-type]
    check(found, sum(amounts))
    assert abs(found.rounding_cents) <= len(amounts)


def test_a_reversal_is_in_the_statement(spent: Books) -> None:
    tx = LedgerTx.objects.filter(kind="charge", hold__node__key=f"user:{spent.cast.charlie.pk}").get()
    services.reverse(tx, by=spent.cast.sre, reason="broken node")
    assert statement(of(spent.cast.charlie)).total_micros == 0


def test_names_cannot_be_formulas(spent: Books) -> None:
    spent.spend(spent.cast.charlie, None, 10, project="=cmd()")
    text = "".join(as_csv(statement(of(spent.cast.charlie))))
    assert ",'=cmd()," in text
    assert ",=cmd()" not in text


@pytest.fixture
def script(cast: Cast) -> Callable[..., Client]:
    def make(name: str, *scopes: str) -> Client:
        value = accounts.issue_token(cast.people[name], by=SYSTEM, name="t", scopes=list(scopes) or ["all"])[1]
        return Client(headers={"Authorization": f"Bearer {value}"})

    return make


def test_the_api_tells_what_the_services_tell(spent: Books, script: Callable[..., Client]) -> None:
    answer = script("alice").get(reverse("api-costs") + "?group_by=user").json()
    assert {line["label"]: line["cost_micros"] for line in answer["lines"]} == EXPECTED["alice"]
    assert answer["total"]["cost_micros"] == 1_750_003
    document = script("alice").get(reverse("api-statement")).json()
    assert document["total_micros"] == 1_750_003
    assert document["total"] == "1.75"
    text = b"".join(script("bob").get(reverse("api-statement") + "?format=csv").streaming_content).decode()
    assert "alice" not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "query",
    ["group_by=x", "since=x", "since=2026-12-31&until=2026-01-01", "node=x", f"node={1 << 70}", "since=0001-01-01"],
)
def test_questions_that_make_no_sense(query: str, spent: Books, script: Callable[..., Client]) -> None:
    assert script("alice").get(f"{reverse('api-costs')}?{query}").status_code == 400


def test_a_token_needs_the_scope(spent: Books, script: Callable[..., Client]) -> None:
    narrow = script("alice", "experiment:view")
    for name in ("api-costs", "api-statement"):
        assert narrow.get(reverse(name)).status_code == 403
    assert script("alice", "ledger:view").get(reverse("api-costs")).status_code == 200


def test_the_ledger_of_a_teams_budget_does_not_name_the_work_of_others(
    spent: Books, script: Callable[..., Client]
) -> None:
    services.create_budget(find_place("team:vision"), cadence="year", policy_name="observe", amount_micros=5, by=SYSTEM)
    spent.spend(spent.cast.alice, "vision", 10_000)
    counts = {}
    for name in ("alice", "bob", "mia", "charlie", "sre"):
        found = script(name, "admin" if name == "sre" else "all").get(reverse("api-ledger-list") + "?limit=200").json()
        counts[name] = [row["kind"] for row in found["results"]]
        assert "fth-" not in orjson.dumps(found).decode() or name != "bob"
    assert counts["bob"] == ["allot"]
    assert counts["alice"].count("charge") == 3
    assert counts["mia"].count("charge") == 4
    assert counts["charlie"].count("charge") == 1
    assert counts["sre"].count("charge") == 6


def test_the_page_shows_ones_own_and_ones_teams(spent: Books) -> None:
    services.create_budget(
        find_place("team:vision"), cadence="month", policy_name="reserve", amount_micros=9 * MICROS, by=SYSTEM
    )
    services.create_budget(
        find_place("org:acme"), cadence="month", policy_name="observe", amount_micros=7 * MICROS, by=SYSTEM
    )
    names = {row.name: row.month for row in overview.spent_by(spent.cast.again("alice"))}
    assert names == {"Vision": "1.75 EUR", "alice in Vision": "1.50 EUR"}
    assert [row.limit for row in overview.budgets_of(spent.cast.again("alice"))] == ["9.00 EUR"]
    page = browser_of(spent.cast.alice).get("/usage/").text
    assert "1.75 EUR" in page
    assert "9.00 EUR" in page
    assert "7.00 EUR" not in page
    assert "nothing starts that it could not pay for" in page
    other = browser_of(spent.cast.charlie).get("/usage/").text
    assert "0.06 EUR" in other
    assert "Vision" not in other
    text = b"".join(browser_of(spent.cast.charlie).get("/usage/statement/").streaming_content).decode()
    assert text.count("charlie") == 1
    assert "alice" not in text


def test_without_prices_the_page_says_nothing_of_money(cast: Cast) -> None:
    assert 'id="money"' not in browser_of(cast.alice).get("/usage/").text
