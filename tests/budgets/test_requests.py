"""More money is asked for like more of anything else: who may ask, who gives, and that it ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Budget, Period
from apps.core.errors import Invalid, NotAllowed, NotFound
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import AllocationRequest, QuotaNode
from tests.people import Cast
from tests.portal.reading import text_of

Browser = Callable[[str], Client]
pytestmark = pytest.mark.django_db


@pytest.fixture
def alices(cast: Cast) -> QuotaNode:
    """alice's place in Vision."""
    return quota_node(cast.alice, cast.team)


def budget(node: QuotaNode, amount: int = 100 * MICROS, **more: str) -> Budget:
    given = {"cadence": "month", "policy_name": "reserve", **more}
    return services.create_budget(node, amount_micros=amount, by=SYSTEM, **given)  # type: ignore[arg-type]


def ask(cast: Cast, node: QuotaNode, amount: int = 250 * MICROS, resource: str = "money:month") -> AllocationRequest:
    return quotas.request_allocation(node, resource, amount, by=cast.alice, reason="for the paper")


def test_what_is_given_counts_at_once_and_ends(cast: Cast, alices: QuotaNode) -> None:
    made = budget(alices)
    asked = ask(cast, alices)
    assert str(asked) == f"250 EUR of its budget each month for {alices}"
    quotas.approve_allocation(asked, by=cast.mia, until=timezone.now() + timedelta(days=1))
    period = Period.objects.get(budget=made)
    assert (period.amount_micros, period.ceiling_micros, period.available_micros) == (250 * MICROS,) * 3
    assert services.drift() == []
    AllocationRequest.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert quotas.expire_allocations() == 1
    made.refresh_from_db()
    assert made.amount_micros == 100 * MICROS
    reasons = AuditEvent.objects.filter(action="change", object_type="budgets.budget").values_list("reason", flat=True)
    assert min(reasons).startswith("asked for by alice")


def test_a_maintainer_gives_to_members_and_not_to_the_team(cast: Cast, alices: QuotaNode) -> None:
    team = QuotaNode.objects.get(key=f"team:{cast.team.pk}")
    of_team, of_alice = budget(team), budget(alices)
    asked = ask(cast, team)
    with pytest.raises((NotAllowed, NotFound)):
        quotas.approve_allocation(asked, by=cast.mia)
    for refused in (of_team, of_alice):
        with pytest.raises(NotAllowed):
            services.change_budget(refused, by=cast.mia, reason="x", policy_name="observe")
    with pytest.raises(NotAllowed):
        services.allot(of_team, 1, by=cast.mia, reason="x")
    with pytest.raises(NotAllowed):
        services.allot(of_alice, 10**9, by=cast.alice, reason="for myself")
    assert set(Budget.objects.values_list("amount_micros", "policy")) == {(100 * MICROS, "reserve")}


@pytest.mark.parametrize(
    ("resource", "amount"), [("money:month", 100 * MICROS), ("money:year", MICROS), ("money", MICROS)]
)
def test_no_more_than_there_is_and_no_other_budget(cast: Cast, alices: QuotaNode, resource: str, amount: int) -> None:
    budget(alices)
    with pytest.raises(Invalid):
        ask(cast, alices, amount, resource)
    assert not AllocationRequest.objects.exists()


def test_it_is_in_the_form_where_there_is_a_budget(cast: Cast, alices: QuotaNode, as_person: Browser) -> None:
    client = as_person("alice")
    assert "Budget, each month" not in text_of(client.get("/usage/ask/"))
    budget(alices)
    page = text_of(client.get(f"/usage/ask/?node={alices.pk}&resource=money:month"))
    assert "Budget, each month" in page
    assert "Now: 100 EUR of its budget each month." in page
    form = {"node": alices.pk, "resource": "money:month", "amount": "250.5", "reason": "the paper"}
    assert client.post("/usage/ask/", form).status_code == 302
    assert AllocationRequest.objects.get().amount == 250_500_000
    wrong = client.post("/usage/ask/", {**form, "amount": "8Gi"})
    assert wrong.status_code == 400
    assert "at most six digits" in text_of(wrong)


def test_it_is_asked_for_and_given_over_the_api(cast: Cast, alices: QuotaNode, as_person: Browser) -> None:
    budget(alices)
    body = {"node": alices.key, "resource": "money:month", "amount": "120.25", "reason": "the paper"}
    asked = as_person("alice").post("/api/v2/allocation-requests/", body, content_type="application/json")
    assert asked.status_code == 201, asked.content
    assert asked.json()["written"]["amount"] == "120.25"
    done = as_person("mia").post(
        f"/api/v2/allocation-requests/{asked.json()['id']}/approve/", {"amount": "130"}, "application/json"
    )
    assert done.status_code == 200, done.content
    assert Budget.objects.get().amount_micros == 130 * MICROS
