"""Asking for more and answering: people, mistakes, what stays of what was typed."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.core.errors import NotAllowed
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode
from tests.people import Cast
from tests.portal.reading import said, text_of

Browser = Callable[[str], Client]
ASK, REQUESTS = "/usage/ask/", "/usage/requests/"


@pytest.fixture
def node(cast: Cast) -> QuotaNode:
    """alice in Vision."""
    return quota_node(cast.alice, cast.team)


@pytest.fixture
def asked(cast: Cast, node: QuotaNode) -> AllocationRequest:
    return quotas.request_allocation(node, "gpu", 12_000, by=cast.alice, reason="for the paper")


def wish(node: QuotaNode, **changes: str) -> dict[str, str]:
    return {
        "node": str(node.pk),
        "resource": "gpu",
        "amount": "12",
        "until": "2050-01-31",
        "reason": "paper",
        **changes,
    }


def limit_of(node: QuotaNode) -> int:
    found: int = QuotaLimit.objects.get(node=node, resource="gpu").limit
    return found


def answer(client: Client, asked: AllocationRequest, **facts: str) -> Any:
    form = {f"{asked.pk}-{name}": value for name, value in facts.items()}
    return client.post(f"{REQUESTS}{asked.pk}/decide/", form)


def test_one_asks_and_sees_it(node: QuotaNode, as_person: Browser) -> None:
    client = as_person("alice")
    response = client.post(ASK, wish(node))
    assert (response.status_code, response["Location"]) == (302, REQUESTS)
    made = AllocationRequest.objects.get()
    assert (made.node, made.amount, made.reason) == (node, 12_000, "paper")
    assert f"{made.until:%Y-%m-%d %H:%M}" == "2050-01-31 23:59"
    page = text_of(client.get(REQUESTS))
    assert "12 GPUs" in page
    assert "31 Jan 2050" in page


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("amount", "", "Say how much."),
        ("amount", "lots", "is not an amount of GPUs"),
        ("amount", "8", "may hold 8 GPUs already."),
        ("resource", "disk", "has no limit of GiB of disk."),
        ("resource", "gold", "Select a valid choice."),
        ("until", "2001-01-01", "In the future."),
        ("until", "soon", "Enter a valid date."),
        ("reason", "", "Say what for."),
        ("node", "999999", "Select a valid choice."),
    ],
)
def test_a_mistake_is_said_beside_its_field_and_what_was_typed_stays(
    field: str, typed: str, sentence: str, node: QuotaNode, as_person: Browser
) -> None:
    response = as_person("alice").post(ASK, wish(node, reason="kept words") | {field: typed})
    assert response.status_code == 400
    assert any(sentence in problem for problem in response.context["form"].errors[field])
    page = text_of(response)
    assert f'id="id_{field}_error"' in page
    assert field == "reason" or "kept words" in page
    assert not AllocationRequest.objects.exists()


def test_one_asks_for_ones_own_places_only(cast: Cast, node: QuotaNode, as_person: Browser) -> None:
    theirs = quota_node(cast.olaf, cast.other_team)
    for person, found in (("alice", {"alice in Vision", "the whole team Vision"}), ("bob", set()), ("charlie", set())):
        form = as_person(person).get(ASK).context["form"]
        assert {label for _, label in form.fields["node"].choices} == found
    assert as_person("alice").post(ASK, wish(theirs)).status_code == 400
    assert as_person("bob").post(ASK, wish(node)).status_code == 400
    assert not AllocationRequest.objects.exists()


def test_the_same_is_asked_for_once(asked: AllocationRequest, node: QuotaNode, as_person: Browser) -> None:
    response = as_person("alice").post(ASK, wish(node))
    assert response.status_code == 400
    assert "That is asked for already" in text_of(response)
    assert AllocationRequest.objects.count() == 1


def test_a_maintainer_gives_something_else(asked: AllocationRequest, node: QuotaNode, as_person: Browser) -> None:
    client = as_person("mia")
    page = text_of(client.get(REQUESTS))
    assert "for the paper" in page
    assert 'class="count"' in page
    response = answer(client, asked, approved="1", amount="10", until="2050-06-01", note="a bit less")
    assert said(response) == ["alice in Vision may hold 10 GPUs now."]
    asked.refresh_from_db()
    assert (asked.state, asked.given, limit_of(node)) == ("approved", 10_000, 10_000)
    assert f"{asked.until:%Y-%m-%d}" == "2050-06-01"
    mine = text_of(as_person("alice").get(REQUESTS))
    assert "a bit less" in mine
    assert "10 GPUs" in mine
    assert 'class="count"' not in text_of(client.get(REQUESTS))


def test_a_maintainer_refuses_with_a_note(asked: AllocationRequest, node: QuotaNode, as_person: Browser) -> None:
    response = answer(as_person("mia"), asked, amount="what?", note="next month")
    assert said(response) == ["alice was refused."]
    asked.refresh_from_db()
    assert (asked.state, asked.note, limit_of(node)) == ("refused", "next month", 8000)


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("amount", "lots", "is not an amount of GPUs"),
        ("amount", "33", "At most what team Vision has itself: 32 GPUs."),
        ("until", "2001-01-01", "That time has passed."),
    ],
)
def test_an_answer_that_cannot_be_given_says_why_and_keeps_what_was_typed(
    field: str, typed: str, sentence: str, asked: AllocationRequest, node: QuotaNode, as_person: Browser
) -> None:
    facts = {"approved": "1", "amount": "12", "note": "kept words", field: typed}
    response = answer(as_person("mia"), asked, **facts)
    assert response.status_code == 400
    page = text_of(response)
    assert sentence in page
    assert "kept words" in page
    assert f'id="id_{asked.pk}-{field}_error"' in page
    asked.refresh_from_db()
    assert (asked.state, limit_of(node)) == ("open", 8000)


@pytest.mark.parametrize(("person", "status"), [("alice", 403), ("bob", 404), ("charlie", 404), ("olaf", 404)])
def test_others_do_not_decide(
    person: str, status: int, asked: AllocationRequest, node: QuotaNode, as_person: Browser
) -> None:
    assert answer(as_person(person), asked, approved="1").status_code == status
    asked.refresh_from_db()
    assert (asked.state, limit_of(node)) == ("open", 8000)
    assert person == "alice" or "for the paper" not in text_of(as_person(person).get(REQUESTS))


def test_nobody_decides_his_own(cast: Cast, as_person: Browser) -> None:
    node = quota_node(cast.mia, cast.team)
    own = quotas.request_allocation(node, "gpu", 12_000, by=cast.mia, reason="mine")
    client = as_person("mia")
    assert client.get(REQUESTS).context["waiting"] == []
    assert said(answer(client, own, approved="1")) == ["It is your own request. Somebody else has to decide."]
    assert limit_of(node) == 8000


def test_what_was_decided_meanwhile_is_said(cast: Cast, asked: AllocationRequest, as_person: Browser) -> None:
    quotas.refuse_allocation(asked, by=cast.mia, note="no")
    assert said(answer(as_person("mia"), asked, approved="1")) == ["It is refused already."]


def test_one_withdraws_ones_own(cast: Cast, asked: AllocationRequest, as_person: Browser) -> None:
    with pytest.raises(NotAllowed, match="Only who asked"):
        quotas.withdraw_allocation(asked, by=cast.mia)
    assert as_person("mia").post(f"{REQUESTS}{asked.pk}/withdraw/").status_code == 403
    asked.refresh_from_db()
    assert asked.state == "open"
    response = as_person("alice").post(f"{REQUESTS}{asked.pk}/withdraw/")
    assert said(response) == ["Your request is withdrawn."]
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
