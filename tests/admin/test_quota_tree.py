"""The tree: what is borrowed, weights, groups, moves, what can be limited, and what was used lately."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.compute.models import Workload
from apps.core.errors import NotAllowed
from apps.quotas import services as quotas
from apps.quotas.models import QuotaDefault, QuotaLimit, QuotaNode, Resource, ShareUse
from apps.teams.models import Team
from tests import people
from tests.admin.rows import make_row, write_limits
from tests.admin.test_access import url_of
from tests.admin.test_actions import ask, do

CHANGE = "quotas.quotanode"


def told(answer: Any) -> str:
    return str(list(get_messages(answer.wsgi_request))[-1])


@pytest.fixture
def team(sre: User) -> QuotaNode:
    """The node of a team in an organization; a job of it runs and holds one CPU."""
    make_row(1)
    return QuotaNode.objects.get(key=f"team:{Team.objects.get().pk}")


def now_of(browser: Client, node: QuotaNode) -> dict[str, Any]:
    """Return what the form of a node holds, as a browser would send it back."""
    form = browser.get(url_of(CHANGE, "change", node.pk)).context["adminform"].form
    return {name: value for name, value in form.initial.items() if value is not None}


# -- the form


def test_what_may_be_borrowed_and_the_weight_are_set_with_a_reason(browser: Client, team: QuotaNode) -> None:
    asked = {**now_of(browser, team), "limit_cpu": "4", "borrow_cpu": "2", "weight": "3"}
    answer = browser.post(url_of(CHANGE, "change", team.pk), {**asked, "reason": ""})
    assert "Say why." in answer.text
    browser.post(url_of(CHANGE, "change", team.pk), {**asked, "reason": "a grant"})
    row = QuotaLimit.objects.get(node=team, resource="cpu")
    team.refresh_from_db()
    assert (row.limit, row.borrow, row.ceiling, team.weight) == (4000, 2000, 6000, 3)
    events = {event.action: event for event in AuditEvent.objects.filter(object_id=str(team.pk), reason="a grant")}
    assert events["set_limit"].data["borrow"] == 2000
    assert (events["set_weight"].data["before"], events["set_weight"].data["after"]) == (1, 3)


def test_what_is_borrowed_is_told(browser: Client, team: QuotaNode) -> None:
    write_limits(QuotaLimit.objects.filter(node=team, resource="cpu"), limit=1000, borrow=2000, used=1500)
    assert "1.5 of 1 CPUs, 0.5 of 2 borrowed" in browser.get(url_of(CHANGE, "change", team.pk)).text
    assert "1.5 / 1 (+2)" in browser.get(url_of(CHANGE, "changelist")).text


def test_only_the_weight(browser: Client, team: QuotaNode) -> None:
    url = url_of(CHANGE, "change", team.pk)
    browser.post(url, {**now_of(browser, team), "weight": "2", "reason": "x"})
    assert not AuditEvent.objects.filter(action="set_limit", reason="x").exists()
    answer = browser.post(url, {**now_of(browser, team), "weight": "0", "reason": "x"})
    assert "greater than or equal to 1" in answer.text
    answer = browser.post(url, now_of(browser, team))
    assert "No limit was changed." in [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_new_resource_is_a_field_and_a_column(browser: Client, team: QuotaNode) -> None:
    browser.post(
        url_of("quotas.resource", "add"),
        {"name": "gpu:a100", "title": "A100", "position": "31", "weight": "1000", "reason": "they are in"},
    )
    event = AuditEvent.objects.get(object_type="quotas.resource", object_id="gpu:a100", action="create")
    assert (event.reason, event.actor_label) == ("they are in", "sre")
    asked = {**now_of(browser, team), "limit_gpu:a100": "0.5", "reason": "x"}
    browser.post(url_of(CHANGE, "change", team.pk), asked)
    assert QuotaLimit.objects.get(node=team, resource="gpu:a100").limit == 500
    assert "0 / 0.5" in browser.get(url_of(CHANGE, "changelist")).text


# -- groups and moves


def test_a_group_is_made(browser: Client, team: QuotaNode) -> None:
    parent = team.parent
    assert parent is not None
    looked = ask(browser, parent, "create_group", _look="1", name="Grant")
    assert looked.context["outcomes"][0].words == f"group Grant below {parent}"
    assert not QuotaNode.objects.filter(kind="group").exists()
    ask(browser, parent, "create_group", _confirmed="1", name="Grant", reason="ERC")
    group = QuotaNode.objects.get(kind="group")
    assert (group.name, group.parent) == ("Grant", parent)
    assert AuditEvent.objects.get(object_id=str(group.pk), action="create").reason == "ERC"
    again = ask(browser, parent, "create_group", _look="1", name="grant")
    assert again.context["outcomes"][0].verdict == "refused"
    assert "There is a group of that name." in again.text


def test_a_move_tells_first_what_would_be_over_its_limit(browser: Client, team: QuotaNode, sre: User) -> None:
    parent = team.parent
    assert parent is not None
    small = quotas.create_group("Small", parent, by=sre)
    quotas.set_limit(small, "cpu", 100, by=SYSTEM)
    assert ask(browser, team, "move").context["is_open"]
    looked = ask(browser, team, "move", _look="1", parent=str(small.pk))
    words = looked.context["outcomes"][0].words
    assert words.startswith(
        "hangs below group Small; over the limit there: group Small holds 1 of 0.1 CPUs; nothing new"
    )
    team.refresh_from_db()
    assert team.parent == parent
    ask(browser, team, "move", _confirmed="1", parent=str(small.pk), reason="reorganized")
    team.refresh_from_db()
    assert team.parent == small
    assert AuditEvent.objects.get(action="move", object_type="quotas.quotanode").reason == "reorganized"
    assert quotas.drift() == []
    back = ask(browser, team, "move", _look="1", parent=str(parent.pk))
    assert "nothing is over a limit there" in back.context["outcomes"][0].words


def test_a_move_below_itself_is_refused_in_words(browser: Client, team: QuotaNode) -> None:
    parent = team.parent
    assert parent is not None
    looked = ask(browser, parent, "move", _look="1", parent=str(team.pk))
    assert "not below itself" in looked.context["outcomes"][0].words
    wrong = ask(browser, team, "move", _look="1", parent="")
    assert "This field is required." in wrong.text


# -- what can be limited


def test_what_is_in_use_is_not_deleted(browser: Client, team: QuotaNode) -> None:
    license_ = Resource.objects.get(name="license-1")
    uses = [
        (lambda: None, "new nodes begin with a limit of it"),
        (lambda: QuotaDefault.objects.all().delete(), ""),
    ]
    for change, sentence in uses:
        change()
        outcome = ask(browser, license_, "remove").context["outcomes"][0]
        assert outcome.verdict == ("refused" if sentence else "done")
        assert sentence in outcome.words
    quotas.set_limit(team, "license-1", 5, by=SYSTEM)
    assert "has a limit of it" in told(do(browser, license_, "remove"))
    quotas.set_limit(team, "license-1", None, by=SYSTEM)
    row = Workload.objects.get()
    Workload.objects.filter(pk=row.pk).update(amounts={**row.amounts, "license-1": 1})
    assert "job-1 asks for it" in told(do(browser, license_, "remove"))
    Workload.objects.filter(pk=row.pk).update(amounts=row.amounts)
    assert Resource.objects.filter(pk="license-1").exists()
    do(browser, license_, "remove", reason="nobody has it any more")
    assert not Resource.objects.filter(pk="license-1").exists()
    event = AuditEvent.objects.get(action="delete", object_id="license-1")
    assert event.reason == "nobody has it any more"


def test_what_is_built_in_goes_back_to_what_it_was(browser: Client, sre: User) -> None:
    quotas.save_resource(Resource(name="gpu", title="Accelerators", weight=5), by=sre, reason="x")
    assert next(one for one in Resource.objects.known() if one.name == "gpu").weight == 5
    do(browser, Resource.objects.get(), "remove")
    assert next(one for one in Resource.objects.known() if one.name == "gpu").weight == 1000


def test_defaults_are_written_as_people_do(browser: Client) -> None:
    url = url_of("quotas.quotadefault", "add")
    asked = {"kind": "user", "resource": "memory", "amount": "32Gi", "reason": "more"}
    for wrong, sentence in (
        ({"amount": "32GB"}, "Write 512Mi or 32Gi"),
        ({"reason": ""}, "Say why."),
        ({"kind": "cluster"}, "Select a valid choice"),
        ({"resource": "tpu"}, "Select a valid choice"),
    ):
        assert sentence in browser.post(url, {**asked, **wrong}).text
    assert browser.post(url, asked).status_code == 302
    row = QuotaDefault.objects.get()
    assert row.limit == 32 << 30
    assert "already exists" in browser.post(url, asked).text
    browser.post(url_of("quotas.quotadefault", "change", row.pk), {**asked, "amount": "", "reason": "no limit"})
    row.refresh_from_db()
    assert row.limit is None
    event = AuditEvent.objects.get(action="update", object_type="quotas.quotadefault")
    assert (event.data["before"], event.data["after"]) == (32 << 30, None)
    do(browser, row, "remove")
    assert not QuotaDefault.objects.exists()


def test_only_an_admin_keeps_them(alice: User) -> None:
    with pytest.raises(NotAllowed):
        quotas.save_resource(Resource(name="mine", title="Mine"), by=alice, reason="x")
    with pytest.raises(NotAllowed):
        quotas.save_default(QuotaDefault(kind="user", resource="cpu", limit=1), by=alice, reason="x")
    assert not Resource.objects.exists()


def test_an_auditor_reads_and_is_not_asked_for_a_reason(team: QuotaNode) -> None:
    aud = accounts.create_user("aud", by=SYSTEM)
    accounts.set_platform_role(aud, "auditor", by=SYSTEM)
    browser = people.browser_of(aud)
    for label, pk in (
        ("quotas.quotanode", team.pk),
        ("quotas.resource", "license-1"),
        ("quotas.quotadefault", QuotaDefault.objects.get().pk),
    ):
        page = browser.get(url_of(label, "change", pk)).text
        assert 'name="reason"' not in page
        assert "What if…" not in page
        assert browser.post(url_of(label, "change", pk), {"reason": "x", "limit_cpu": "1"}).status_code == 403
    assert ask(browser, team, "move", _confirmed="1", parent="1", reason="x").status_code != 500
    assert not AuditEvent.objects.filter(actor_label="aud", outcome="done").exclude(action__contains="log").exists()


# -- what was used lately


def test_use_is_told_as_it_counts_now(browser: Client, team: QuotaNode) -> None:
    ShareUse.objects.all().delete()
    half_life: timedelta = settings.FAIR_SHARE_HALF_LIFE
    ShareUse.objects.create(node=team, amount=8 * 360_000.0, at=timezone.now() - half_life)
    ShareUse.objects.create(node=QuotaNode.objects.get(key="platform"), amount=5 * 360_000.0)
    teams_first = browser.get(url_of("quotas.shareuse", "changelist")).context["cl"].result_list
    assert [(str(row.node), round(row.now_used / 360_000, 2)) for row in teams_first] == [
        ("the platform", 5.0),
        (str(team), 4.0),
    ]
    page = browser.get(url_of("quotas.shareuse", "change", team.pk)).text
    assert "4.00" in page
