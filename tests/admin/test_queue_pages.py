"""The queue in its order, why something waits, what would start with other limits, and another place in the queue."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.compute import priority_classes
from apps.compute import services as compute
from apps.compute.models import Cluster, PriorityClass, Workload
from apps.compute.reconcile import admit
from apps.compute.standing import places
from apps.compute.whatif import what_if
from apps.compute.why import explain
from apps.core.errors import Conflict, NotAllowed
from apps.quotas.models import QuotaLimit, QuotaNode, ShareUse
from apps.teams import services as teams
from tests import people
from tests.admin.rows import age, bring, submit, write_limits
from tests.admin.test_access import url_of
from tests.admin.test_actions import ask, do
from tests.admin.test_queries import queries

QUEUE = "/admin/compute/workload/queue/"
_DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def looked_at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "_all_open_until", 0.0)
    monkeypatch.setattr(admit, "_nodes", {})


@pytest.fixture
def hall(sre: User) -> Cluster:
    return compute.save_cluster(Cluster(name="hall", kind="fake", settings={}), by=SYSTEM)


@pytest.fixture
def jobs(sre: User, hall: Cluster) -> dict[str, Workload]:
    """alice of vision, who used much, and noor of speech, who used nothing; two jobs each wait."""
    acme = teams.create_organization(slug="acme", name="Acme", by=SYSTEM)
    made = {}
    for team, name, used in (("vision", "alice", 9.0), ("speech", "noor", 0.0)):
        group = teams.create_team(acme, slug=team, name=team.title(), by=SYSTEM)
        user = accounts.create_user(name, by=SYSTEM)
        teams.set_member(group, user, role="member", by=SYSTEM)
        for number in (1, 2):
            label = f"{name}-{number}"
            made[label] = submit(user, cluster="hall", team=team, name=label).workload
        ShareUse.objects.update_or_create(node=made[label].quota_node.parent, defaults={"amount": used * 360_000})
    return made


def shown(browser: Client) -> list[tuple[int, str]]:
    return [(place.position, place.workload.label) for place in browser.get(QUEUE).context["places"]]


def what_if_url(node: QuotaNode) -> str:
    return reverse("admin:compute_workload_whatif", args=[node.pk])


def team_of(workload: Workload) -> QuotaNode:
    parent = workload.quota_node.parent
    assert parent is not None
    return parent


# -- the queue


def test_who_used_less_stands_first(jobs: dict[str, Workload], browser: Client) -> None:
    assert shown(browser) == [(1, "noor-1"), (2, "noor-2"), (3, "alice-1"), (4, "alice-2")]
    page = browser.get(QUEUE).text
    assert "Vision 9.00" in page
    assert url_of("quotas.quotanode", "change", jobs["alice-1"].quota_node_id) in page


def test_a_class_and_long_waiting_go_before(jobs: dict[str, Workload], browser: Client) -> None:
    Workload.objects.filter(pk=jobs["alice-2"].pk).update(rank=5, priority_class="urgent")
    assert [label for _, label in shown(browser)] == ["alice-2", "noor-1", "noor-2", "alice-1"]
    age(jobs["alice-1"], queued_at=settings.QUEUE_PATIENCE + _DAY)
    assert [label for _, label in shown(browser)] == ["alice-1", "alice-2", "noor-1", "noor-2"]
    assert "overdue" in browser.get(QUEUE).text


def test_the_page_and_the_panel_name_the_same_place(jobs: dict[str, Workload], sre: User) -> None:
    Workload.objects.filter(pk=jobs["alice-2"].pk).update(rank=5)
    age(jobs["noor-2"], queued_at=settings.QUEUE_PATIENCE + _DAY)
    listed = {place.workload.pk: place.position for place in places(Workload.objects.all())}
    assert listed == {job.pk: explain(job, by=sre).position for job in jobs.values()}
    assert sorted(listed.values()) == [1, 2, 3, 4]


def test_only_the_first_are_listed(jobs: dict[str, Workload]) -> None:
    assert [place.workload.label for place in places(Workload.objects.all(), most=3)] == ["noor-1", "noor-2", "alice-1"]
    assert [place.workload.label for place in places(Workload.objects.all(), most=1)] == ["noor-1"]


def test_what_waits_for_a_drained_cluster_is_not_in_it(
    jobs: dict[str, Workload], hall: Cluster, browser: Client
) -> None:
    compute.drain_cluster(hall, by=SYSTEM, reason="x")
    assert shown(browser) == []
    assert "Nothing waits." in browser.get(QUEUE).text


def test_the_queue_costs_the_same_however_many_wait(jobs: dict[str, Workload], browser: Client) -> None:
    few = len(queries(browser, QUEUE))
    user = User.objects.get(username="noor")
    for number in range(5):
        submit(user, cluster="hall", name=f"more-{number}")
    assert len(queries(browser, QUEUE)) == few <= 20


# -- why


def test_why_is_told_with_all_numbers(jobs: dict[str, Workload], browser: Client) -> None:
    team = team_of(jobs["alice-1"])
    write_limits(QuotaLimit.objects.filter(node=team, resource="cpu"), limit=1000, used=500)
    page = browser.get(url_of("compute.workload", "change", jobs["alice-1"].pk)).text
    assert "team Vision uses 0.5 of 1 CPUs, and this needs 1" in page
    assert f'In its way: <a href="{url_of("quotas.quotanode", "change", team.pk)}">team Vision</a>' in page
    assert "It can be changed by an admin." in page
    assert "9.00 CPU hours, weight 1" in page


def test_what_runs_says_nothing_of_waiting(jobs: dict[str, Workload], browser: Client) -> None:
    bring(jobs["alice-1"], "running")
    assert "Why it waits" not in browser.get(url_of("compute.workload", "change", jobs["alice-1"].pk)).text


# -- what if


@pytest.fixture
def full(jobs: dict[str, Workload]) -> QuotaNode:
    """Vision may hold nothing."""
    team = team_of(jobs["alice-1"])
    write_limits(QuotaLimit.objects.filter(node=team, resource="cpu"), limit=0)
    return team


def asked(browser: Client, node: QuotaNode, **limits: str) -> Any:
    form = browser.get(what_if_url(node)).context["form"]
    now = {name: value or "" for name, value in form.initial.items() if name.startswith(("limit_", "borrow_"))}
    return browser.post(what_if_url(node), {**now, **limits})


def labels(rows: list[Workload]) -> list[str]:
    return [row.label for row in rows]


def test_what_would_start_is_told_and_nothing_is_done(full: QuotaNode, browser: Client) -> None:
    before = list(QuotaLimit.objects.values())
    answer = asked(browser, full, limit_cpu="1", _look="1")
    assert labels(answer.context["found"].as_it_is) == ["noor-1", "noor-2"]
    assert labels(answer.context["found"].besides) == ["alice-1"]
    assert "<b>1</b> more would start now" in answer.text
    assert list(QuotaLimit.objects.values()) == before
    assert not AuditEvent.objects.filter(action="set_limit").exists()
    both = asked(browser, full, limit_cpu="1", borrow_cpu="1", _look="1")
    assert labels(both.context["found"].besides) == ["alice-1", "alice-2"]


def test_what_would_not_start_any_more(jobs: dict[str, Workload], browser: Client) -> None:
    answer = asked(browser, team_of(jobs["noor-1"]), limit_cpu="1", _look="1")
    assert labels(answer.context["found"].no_more) == ["noor-2"]


def test_it_is_set_with_a_reason(full: QuotaNode, browser: Client) -> None:
    answer = asked(browser, full, limit_cpu="12", _confirmed="1", reason="")
    assert "Say why." in answer.text
    answer = asked(browser, full, limit_cpu="lots", _confirmed="1", reason="x")
    assert "is not an amount of CPUs" in answer.text
    answer = asked(browser, full, _confirmed="1", reason="x")
    assert "No limit is another than it is." in answer.text
    assert not AuditEvent.objects.filter(action="set_limit").exists()
    answer = asked(browser, full, limit_cpu="12", _confirmed="1", reason="the new cards are in")
    assert answer["Location"] == url_of("quotas.quotanode", "change", full.pk)
    event = AuditEvent.objects.get(action="set_limit")
    assert (event.reason, event.data["after"], event.actor_label) == ("the new cards are in", 12_000, "sre")


def test_the_address_can_name_a_limit(full: QuotaNode, browser: Client) -> None:
    answer = browser.get(what_if_url(full), {"limit_cpu": "2"})
    assert labels(answer.context["found"].besides) == ["alice-1", "alice-2"]
    assert what_if_url(full) in browser.get(url_of("quotas.quotanode", "change", full.pk)).text


def test_a_full_cluster_behind_the_first_is_seen(full: QuotaNode, hall: Cluster) -> None:
    """What stands second may be bound for a cluster for which nothing stands first."""
    other = compute.save_cluster(Cluster(name="cellar", kind="fake", settings={}), by=SYSTEM)
    node = compute.cluster_node(other)
    QuotaLimit.objects.update_or_create(node=node, resource="cpu", defaults={"limit": 0, "ceiling": 0})
    submit(User.objects.get(username="noor"), cluster="hall", name="first")
    second = submit(User.objects.get(username="noor"), cluster="hall", name="second").workload
    Workload.objects.filter(pk=second.pk).update(cluster=other)
    assert "second" not in labels(what_if({}).as_it_is)
    assert "first" in labels(what_if({}).as_it_is)


# -- another place


def test_a_class_is_changed_with_a_reason(jobs: dict[str, Workload], browser: Client) -> None:
    urgent = priority_classes.save_priority_class(PriorityClass(name="urgent", rank=7), by=SYSTEM, reason="x")
    row = jobs["alice-2"]
    first = ask(browser, row, "set_class")
    assert "Say what you want first." in first.text
    looked = ask(browser, row, "set_class", _look="1", priority_class=str(urgent.pk))
    assert (
        looked.context["outcomes"][0].words == "set priority class (rank 7, after urgent, before none, rank before 0)"
    )
    row.refresh_from_db()
    assert row.rank == 0
    ask(browser, row, "set_class", _confirmed="1", priority_class=str(urgent.pk), reason="a deadline")
    row.refresh_from_db()
    assert (row.priority_class, row.rank) == ("urgent", 7)
    event = AuditEvent.objects.get(action="set_priority_class")
    assert (event.reason, event.data["rank"]) == ("a deadline", 7)
    ask(browser, row, "set_class", _confirmed="1", priority_class="", reason="done")
    row.refresh_from_db()
    assert (row.priority_class, row.rank) == ("", 0)


def test_what_waits_keeps_its_rank_when_the_class_changes(jobs: dict[str, Workload], browser: Client) -> None:
    urgent = priority_classes.save_priority_class(PriorityClass(name="urgent", rank=7), by=SYSTEM, reason="x")
    row = jobs["alice-1"]
    priority_classes.set_priority_class(row, priority_class=urgent, by=SYSTEM, reason="x")
    asked = {"rank": "90", "open_to": "admins", "description": "", "reason": "more of it"}
    assert browser.post(url_of("compute.priorityclass", "change", urgent.pk), asked).status_code == 302
    row.refresh_from_db()
    urgent.refresh_from_db()
    assert (row.rank, urgent.rank) == (7, 90)
    ask(browser, row, "set_class", _confirmed="1", priority_class=str(urgent.pk), reason="anew")
    row.refresh_from_db()
    assert row.rank == 90
    do(browser, urgent, "remove")
    row.refresh_from_db()
    assert (row.priority_class, row.rank) == ("urgent", 90)


def test_only_what_waits_and_only_an_operator(jobs: dict[str, Workload], sre: User) -> None:
    bring(jobs["alice-1"], "running")
    with pytest.raises(Conflict, match="only what waits"):
        priority_classes.set_priority_class(jobs["alice-1"], by=sre, reason="x")
    alice = User.objects.get(username="alice")
    with pytest.raises(NotAllowed):
        priority_classes.save_priority_class(PriorityClass(name="mine", rank=1), by=alice, reason="x")
    assert not PriorityClass.objects.exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"name": "urgent", "rank": "1001", "reason": "x"}, "Ensure this value is less than or equal to 1000."),
        ({"name": "urgent", "rank": "1", "reason": ""}, "Say why."),
        ({"name": "two words", "rank": "1", "reason": "x"}, "valid"),
    ],
)
def test_a_wrong_class_is_refused_in_words(asked: dict[str, str], sentence: str, browser: Client) -> None:
    answer = browser.post(url_of("compute.priorityclass", "add"), {"open_to": "everyone", "description": "", **asked})
    assert sentence in answer.text
    assert not PriorityClass.objects.exists()


# -- questions, and who may


def test_questions_of_the_queue(jobs: dict[str, Workload], browser: Client) -> None:
    rows = Workload.objects.filter
    rows(pk=jobs["alice-1"].pk).update(reason="Reclaiming")
    rows(pk=jobs["alice-2"].pk).update(reason="Preempted")
    age(jobs["noor-1"], queued_at=_DAY * 2)
    url = url_of("compute.workload", "changelist")
    for question, label in (("reclaiming", "alice-1"), ("preempted", "alice-2"), ("patient", "noor-1")):
        found = browser.get(url, {"question": question}).context["cl"].result_list
        assert [row.label for row in found] == [label]
    tiles = {one.words: one.count for one in browser.get("/admin/").context["now"].questions}
    assert [tiles[words] for words in ("wait for what was lent", "preempted, wait again", "wait more than a day")] == [
        1
    ] * 3


def test_others_see_nothing_of_it(
    jobs: dict[str, Workload], full: QuotaNode, halfway: User, browser_of: Callable[[User | None], Client]
) -> None:
    aud = accounts.create_user("aud", by=SYSTEM)
    accounts.set_platform_role(aud, "auditor", by=SYSTEM)
    urls = (QUEUE, what_if_url(full))
    codes = {name: [] for name in ("alice", "halfway", "none", "aud")}
    for name, person in {
        "alice": User.objects.get(username="alice"),
        "halfway": halfway,
        "none": None,
        "aud": aud,
    }.items():
        browser = people.browser_of(person) if name == "aud" else browser_of(person)
        codes[name] = [browser.get(url).status_code for url in urls]
        assert browser.post(urls[1], {"limit_cpu": "9", "_confirmed": "1", "reason": "x"}).status_code in {302, 403}
    assert codes == {"alice": [302, 302], "halfway": [302, 302], "none": [302, 302], "aud": [200, 403]}
    assert not AuditEvent.objects.filter(action="set_limit").exists()
