"""What operators do with money, by the services, with a reason."""

from typing import Any

import pytest
from django.test import Client

from apps.audit.models import AuditEvent
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Budget, LedgerTx, Price
from tests.budgets.money import HOUR, Tree, hold_one, numbers
from tests.people import Cast, browser_of


@pytest.fixture
def sre(cast: Cast) -> Client:
    return browser_of(cast.sre)


def test_a_price_is_added(sre: Client, tree: Tree) -> None:
    data = {"cluster": f"cluster:{tree.cluster}", "resource": "gpu", "price": "1.250001", "reason": "contract"}
    data |= {"effective_from_0": "", "effective_from_1": ""}
    answer = sre.post("/admin/budgets/price/add/", data)
    assert answer.status_code == 302, answer.text
    assert Price.objects.get(resource="gpu").micros_per_hour == 1_250_001
    assert AuditEvent.objects.filter(action="set_price", reason="contract").exists()
    wrong = sre.post("/admin/budgets/price/add/", {**data, "price": "cheap"})
    assert "is not an amount of money" in wrong.text
    assert Price.objects.count() == 2


def test_a_budget_is_made_changed_and_ended(sre: Client, cast: Cast) -> None:
    facts: dict[str, Any] = {
        "policy": "reserve",
        "amount": "50",
        "webhook_url": "https://example.org/x",
        "reason": "asked",
    }
    dates = {f"{name}_{part}": "" for name in ("starts_at", "ends_at") for part in (0, 1)}
    answer = sre.post("/admin/budgets/budget/add/", {"place": "team:vision", "cadence": "month", **dates, **facts})
    assert answer.status_code == 302, answer.text
    budget = Budget.objects.get()
    assert (budget.amount_micros, budget.policy, budget.node.name) == (50 * MICROS, "reserve", "Vision")
    refused = sre.post("/admin/budgets/budget/add/", {"place": "team:nope", "cadence": "month", **dates, **facts})
    assert "no team of that name" in refused.text
    page = f"/admin/budgets/budget/{budget.pk}/change/"
    inline = {"periods-TOTAL_FORMS": "0", "periods-INITIAL_FORMS": "0"}
    assert sre.post(page, {**facts, "amount": "20.5", "reason": "less", **inline}).status_code == 302
    budget.refresh_from_db()
    assert budget.amount_micros == 20_500_000
    assert sre.post(page, {**facts, "amount": "1", "reason": " ", **inline}).status_code == 200
    budget.refresh_from_db()
    assert budget.amount_micros == 20_500_000
    shown = sre.get(page).text
    assert "20.50" in shown
    ended = {"action": "end_budget", "_selected_action": budget.pk, "_confirmed": "1", "reason": "over"}
    sre.post("/admin/budgets/budget/", ended)
    budget.refresh_from_db()
    assert budget.ended_at is not None


def test_the_signing_key_is_shown_once_and_noted(sre: Client, cast: Cast, tree: Tree) -> None:
    budget = tree.budget(tree.team, MICROS, webhook_url="https://example.org/x")
    asked = {"action": "show_signing_key", "_selected_action": budget.pk, "_confirmed": "1", "reason": "set up"}
    assert services.signing_key(budget.pk) in sre.post("/admin/budgets/budget/", asked).text
    event = AuditEvent.objects.get(action="reveal_signing_key")
    assert services.signing_key(budget.pk) not in str(event.data)


def test_a_charge_is_reversed_with_a_reason(sre: Client, tree: Tree) -> None:
    budget = tree.budget(tree.team, 9 * MICROS)
    services.settle(hold_one(tree.ask()).key, HOUR // 2)
    charge = LedgerTx.objects.get(kind="charge")
    asked = {"action": "reverse", "_selected_action": charge.pk, "_confirmed": "1"}
    assert "Say why" in sre.post("/admin/budgets/ledgertx/", asked).text
    assert numbers(budget)[1] == MICROS // 2
    sre.post("/admin/budgets/ledgertx/", {**asked, "reason": "broken node"})
    assert numbers(budget)[1] == 0
    assert LedgerTx.objects.get(kind="reversal").reason == "broken node"


def test_the_front_page_counts_budgets_over_80(sre: Client, tree: Tree) -> None:
    budget = tree.budget(tree.team, MICROS)
    tree.budget(tree.organization, 100 * MICROS)
    services.settle(hold_one(tree.ask()).key, HOUR * 4 // 5)
    found = {question.words: question for question in sre.get("/admin/").context["now"].questions}
    assert found["budgets over 80 %"].count == 1
    listed = sre.get(found["budgets over 80 %"].url).context["cl"].result_list
    assert [row.pk for row in listed] == [budget.pk]


@pytest.mark.parametrize("name", ["alice", "mia"])
def test_the_statement_is_for_operators(name: str, sre: Client, cast: Cast, tree: Tree) -> None:
    services.close(hold_one(tree.ask()).key, HOUR)
    text = b"".join(sre.get("/admin/budgets/budget/statement/").streaming_content).decode()
    assert text.splitlines()[-1].endswith("1000000,1.00")
    assert sre.get("/admin/budgets/budget/statement/?since=x").status_code == 404
    auditor = browser_of(cast.aud).get("/admin/budgets/budget/statement/")
    assert auditor.status_code == 200
    other = browser_of(cast.people[name]).get("/admin/budgets/budget/statement/")
    assert other.status_code in {302, 403}
