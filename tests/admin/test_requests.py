"""Requests for more quota: found, looked at, answered, with what was written on the record."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode
from tests import people
from tests.admin.rows import write_limits
from tests.admin.test_access import url_of
from tests.admin.test_actions import ask, do, told
from tests.admin.test_workplace import listed

LABEL = "quotas.allocationrequest"
DAY = timedelta(days=1)


@pytest.fixture
def node(alice: User) -> QuotaNode:
    node = quota_node(alice, None)
    write_limits(QuotaLimit.objects.filter(node=node, resource="gpu"), limit=8000)
    return node


@pytest.fixture
def asked(alice: User, node: QuotaNode) -> AllocationRequest:
    return quotas.request_allocation(node, "gpu", 12_000, by=alice, reason="the deadline")


def limit_of(node: QuotaNode) -> int | None:
    return QuotaLimit.objects.get(node=node, resource="gpu").limit


def test_first_shown_then_given(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    looked = ask(browser, asked, "approve")
    assert [one.words for one in looked.context["outcomes"]] == ["user alice: from 8 to 12 GPUs"]
    assert 'value="12"' in looked.text
    assert limit_of(node) == 8000
    do(browser, asked, "approve", reason="good work")
    asked.refresh_from_db()
    assert (asked.state, asked.given, asked.note, asked.until) == ("approved", 12_000, "good work", None)
    assert limit_of(node) == 12_000
    event = AuditEvent.objects.get(action="approve_allocation")
    assert (event.actor_label, event.reason, event.origin) == ("sre", "good work", "admin")


def test_less_and_for_a_while(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    day = timezone.localdate() + 30 * DAY
    said = {"amount": "10", "until": f"{day:%Y-%m-%d}"}
    looked = ask(browser, asked, "approve", _look="1", **said)
    assert f"user alice: from 8 to 10 GPUs until {day:%Y-%m-%d} 23:59:59" in looked.context["outcomes"][0].words
    ask(browser, asked, "approve", _confirmed="1", reason="for now", **said)
    asked.refresh_from_db()
    assert asked.until is not None
    assert (asked.given, timezone.localtime(asked.until).date(), limit_of(node)) == (10_000, day, 10_000)


def test_what_is_too_narrow_above_is_told(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    assert node.parent is not None
    write_limits(QuotaLimit.objects.filter(node=node.parent, resource="gpu"), limit=9000)
    assert "but the platform may hold 9 in all" in ask(browser, asked, "approve").context["outcomes"][0].words


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"amount": "lots"}, "is not an amount of GPUs"),
        ({"until": "soon"}, "Enter a valid date."),
        ({"until": "2020-01-01"}, "That time has passed."),
        ({"reason": " "}, "Say why."),
    ],
)
def test_wrong_answers_are_refused_in_words(
    said: dict[str, str], sentence: str, asked: AllocationRequest, node: QuotaNode, browser: Client
) -> None:
    answer = ask(browser, asked, "approve", **{"_confirmed": "1", "reason": "x", **said})
    shown = answer.text if answer.status_code == 200 else " ".join(told(answer))
    assert sentence in shown
    asked.refresh_from_db()
    assert (asked.state, limit_of(node)) == ("open", 8000)


def test_refused(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    assert ask(browser, asked, "refuse").context["outcomes"][0].words == "user alice keeps 8 GPUs"
    do(browser, asked, "refuse", reason="not this year")
    asked.refresh_from_db()
    assert (asked.state, asked.note, limit_of(node)) == ("refused", "not this year", 8000)
    assert "It is refused already." in told(do(browser, asked, "approve"))[-1]


def test_nobody_gives_himself_more(sre: User, browser: Client) -> None:
    own = quota_node(sre, None)
    write_limits(QuotaLimit.objects.filter(node=own, resource="gpu"), limit=1000)
    mine = quotas.request_allocation(own, "gpu", 2000, by=sre, reason="x")
    outcome = ask(browser, mine, "approve").context["outcomes"][0]
    assert (outcome.verdict, outcome.words) == ("refused", "It is your own request. Somebody else has to decide.")


def test_many_at_once_are_given_as_asked(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    other = AllocationRequest.objects.create(
        node=node, resource="cpu", amount=99_000, before=1, reason="x", asked_by=asked.asked_by
    )
    data = {"action": "approve", "_selected_action": [str(asked.pk), str(other.pk)]}
    looked = browser.post(url_of(LABEL, "changelist"), data)
    assert 'name="amount"' not in looked.text
    browser.post(url_of(LABEL, "changelist"), {**data, "_confirmed": "1", "reason": "x"})
    assert set(AllocationRequest.objects.values_list("state", "given")) == {("approved", 12_000), ("approved", 99_000)}


def test_questions_and_the_number_in_front(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    facts = {"node": node, "amount": 2, "before": 1, "reason": "x", "asked_by": asked.asked_by}
    old = AllocationRequest.objects.create(resource="cpu", created_at=timezone.now() - 3 * DAY, **facts)
    ending = AllocationRequest.objects.create(resource="disk", state="approved", until=timezone.now() + DAY, **facts)
    AllocationRequest.objects.create(resource="disk", state="approved", until=timezone.now() + 60 * DAY, **facts)
    AllocationRequest.objects.create(resource="disk", state="refused", **facts)
    assert listed(browser, LABEL, question="open") == {asked.pk, old.pk}
    assert listed(browser, LABEL, question="long") == {old.pk}
    assert listed(browser, LABEL, question="expiring") == {ending.pk}
    tiles = {one.words: one.count for one in browser.get("/admin/").context["now"].questions}
    assert tiles["requests for quota open"] == 2


def test_its_page_and_the_nodes_say_more(asked: AllocationRequest, node: QuotaNode, browser: Client) -> None:
    page = browser.get(url_of(LABEL, "change", asked.pk)).text
    assert "user alice: 0 of 8 GPUs" in page
    assert f"/admin/compute/workload/what-if/{node.pk}/?limit_gpu=12" in page
    assert url_of(LABEL, "change", asked.pk) in browser.get(url_of("quotas.quotanode", "change", node.pk)).text


def test_an_auditor_reads_and_answers_nothing(asked: AllocationRequest, node: QuotaNode) -> None:
    aud = accounts.create_user("aud", by=SYSTEM)
    accounts.set_platform_role(aud, "auditor", by=SYSTEM)
    browser = people.browser_of(aud)
    page = browser.get(url_of(LABEL, "change", asked.pk)).text
    assert "the deadline" in page
    assert "Approve" not in page
    do(browser, asked, "approve")
    asked.refresh_from_db()
    assert (asked.state, limit_of(node)) == ("open", 8000)
