"""The operators' front page: right numbers, each leading to the list it counts."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import LoginFailure, User
from apps.compute.models import Cluster, Loop, Workload
from apps.experiments.services import quota_node
from apps.portal import operations
from apps.quotas.models import QuotaLimit
from tests.admin.rows import age, bring, make_row, submit, write_limits
from tests.admin.test_access import url_of

MINUTE = timedelta(minutes=1)


def now_of(browser: Client) -> Any:
    return browser.get("/admin/").context["now"]


def number(browser: Client, words: str) -> int:
    found = {question.words: question.count for question in now_of(browser).questions}
    return int(found[words])


def listed(browser: Client, query: str, label: str = "compute.workload") -> set[str]:
    answer = browser.get(f"{url_of(label, 'changelist')}?{query}")
    assert answer.status_code == 200
    return {str(row) for row in answer.context["cl"].result_list}


@pytest.fixture
def jobs(sre: User) -> dict[str, Workload]:
    """One workload of each kind that the front page tells apart."""
    owner = make_row(1).run.owner
    names = "waiting old-waiting drained starting slow-start running silent stopping stuck-stop failed lost long-ago done dangling"
    made = {name: submit(owner, cluster="cluster-1", name=name).workload for name in names.split()}
    states = {
        "starting": "starting", "slow-start": "starting", "running": "running", "silent": "running", "stopping": "stopping",
        "stuck-stop": "stopping", "failed": "failed", "lost": "lost", "long-ago": "failed", "done": "succeeded",
        "dangling": "succeeded",
    }  # fmt: skip
    for name, state in states.items():
        bring(made[name], state)
    Workload.objects.update(next_reconcile_at=None)
    Workload.objects.filter(pk=made["waiting"].pk).update(reason="QuotaFull", message="waiting: full")
    Workload.objects.filter(pk=made["drained"].pk).update(reason="Drained")
    Workload.objects.filter(pk=made["failed"].pk).update(message="exited with code 3")
    age(made["old-waiting"], queued_at=90 * MINUTE, state_changed_at=90 * MINUTE)
    for name in ("slow-start", "stuck-stop"):
        age(made[name], state_changed_at=16 * MINUTE)
    age(made["starting"], state_changed_at=14 * MINUTE)
    age(made["running"], state_changed_at=300 * MINUTE, last_seen_at=MINUTE)
    age(made["silent"], state_changed_at=300 * MINUTE, last_seen_at=16 * MINUTE)
    age(made["long-ago"], state_changed_at=25 * 60 * MINUTE)
    age(made["dangling"], next_reconcile_at=20 * MINUTE)
    return made


def test_counts(jobs: dict[str, Workload], browser: Client) -> None:
    now = now_of(browser)
    assert now.queued == 3
    assert now.active == [("starting", 3), ("running", 2), ("stopping", 2)]  # make_row left one more starting
    assert (number(browser, "stuck over 15 minutes"), number(browser, "finished badly today")) == (4, 2)
    assert {job.label for job in now.failures} == {"failed", "lost"}
    assert now.oldest_queued_at is not None
    assert timedelta(minutes=89) < timezone.now() - now.oldest_queued_at < timedelta(minutes=92)
    assert [(row.cluster.name, row.active) for row in now.clusters] == [("cluster-1", 10)]
    page = browser.get("/admin/").text
    assert "the oldest for 1 h 30 min" in page
    assert "exited with code 3" in page


def test_each_number_links_to_the_rows_it_counts(jobs: dict[str, Workload], browser: Client) -> None:
    page = browser.get("/admin/").text
    answers = {
        "state__exact=queued": {"waiting", "old-waiting", "drained"},
        "state__exact=starting": {"starting", "slow-start", "job-1"},
        "state__exact=running": {"running", "silent"},
        "state__exact=stopping": {"stopping", "stuck-stop"},
        "question=stuck": {"slow-start", "stuck-stop", "silent", "dangling"},
        "question=bad": {"failed", "lost"},
    }
    for query, labels in answers.items():
        assert f"{url_of('compute.workload', 'changelist')}?{query}" in page
        assert listed(browser, query) == labels


def test_questions_about_what_waits(jobs: dict[str, Workload], browser: Client) -> None:
    assert listed(browser, "question=quota") == {"waiting"}
    assert listed(browser, "question=cluster") == {"drained"}
    ended = {"failed", "lost", "long-ago", "done", "dangling"}
    assert listed(browser, "active=no") == ended
    assert listed(browser, "active=yes") == {*jobs, "job-1"} - ended


def test_clusters_in_trouble_come_first_with_their_words(browser: Client) -> None:
    well = {"state": "ok", "capabilities": ["isolates_tenants"], "checked_at": timezone.now()}
    Cluster.objects.create(name="a-well", kind="fake", **well)
    Cluster.objects.create(name="b-down", kind="fake", **{**well, "state": "down"}, message="no route to it")
    Cluster.objects.create(name="c-drained", kind="fake", **well, is_drained=True)
    Cluster.objects.create(
        name="d-shared", kind="fake", **{**well, "capabilities": []}, warnings=["memory is not limited"]
    )
    Cluster.objects.create(name="e-off", kind="fake", **well, is_enabled=False)
    now = now_of(browser)
    assert [row.cluster.name for row in now.clusters] == ["b-down", "c-drained", "d-shared", "e-off", "a-well"]
    assert [cluster.name for cluster in now.troubled_clusters] == ["b-down", "c-drained", "d-shared", "e-off"]
    page = browser.get("/admin/").text
    for words in (
        "no route to it",
        "memory is not limited",
        "4 need a look",
        "Single-tenant: jobs of different people",
    ):
        assert page.count(words) == 1
    listed_as = {
        query: listed(browser, f"trouble={query}", "compute.cluster") for query in ("failing", "closed", "shared")
    }
    assert listed_as == {"failing": {"b-down"}, "closed": {"c-drained", "e-off"}, "shared": {"d-shared"}}


def test_single_tenant_cluster_says_so_on_its_page(browser: Client) -> None:
    cluster = Cluster.objects.create(name="plain", kind="fake", capabilities=[])
    sentence = "Single-tenant: nothing keeps the jobs of one person from the files and processes of another."
    assert sentence in browser.get(url_of("compute.cluster", "change", cluster.pk)).text
    Cluster.objects.update(capabilities=["isolates_tenants"])
    assert sentence not in browser.get(url_of("compute.cluster", "change", cluster.pk)).text


def test_quota_pressure(alice: User, browser: Client) -> None:
    node = quota_node(alice, None)
    write_limits(QuotaLimit.objects.filter(node=node, resource="cpu"), limit=8000, used=7000)
    assert (number(browser, "over 90 % of quota"), now_of(browser).pressure) == (0, [])
    write_limits(QuotaLimit.objects.filter(node=node, resource="cpu"), used=7500)
    write_limits(QuotaLimit.objects.filter(node=node, resource="gpu"), limit=2000, used=2000)
    now = now_of(browser)
    assert [limit.resource for limit in now.pressure] == ["gpu", "cpu"]
    assert number(browser, "over 90 % of quota") == 1
    page = browser.get("/admin/").text
    assert "7.5 of 8 CPUs" in page
    assert listed(browser, "pressure=90", "quotas.quotanode") == {str(node)}


def test_loops_and_an_absent_worker(browser: Client) -> None:
    assert now_of(browser).is_unattended
    assert "No worker runs the loops" in browser.get("/admin/").text
    fresh, old = timezone.now(), timezone.now() - timedelta(minutes=5)
    Loop.objects.create(name="health", ran_at=fresh, lease_until=fresh, note="down: gpu")
    Loop.objects.create(name="sweep", ran_at=old, lease_until=old)
    now = now_of(browser)
    assert [(loop.name, loop.is_late) for loop in now.loops] == [("health", False), ("sweep", True)]
    assert not now.is_unattended
    page = browser.get("/admin/").text
    assert "No worker runs the loops" not in page
    assert "down: gpu" in page
    Loop.objects.update(lease_until=old)
    assert now_of(browser).is_unattended


def test_failed_logins_of_the_hour(browser: Client) -> None:
    LoginFailure.objects.create(username="root")
    LoginFailure.objects.create(username="root", at=timezone.now() - timedelta(hours=2))
    assert number(browser, "failed logins this hour") == 1


def test_empty_platform_has_a_front_page(browser: Client) -> None:
    page = browser.get("/admin/").text
    assert "Register a cluster" in page
    assert "nothing waits" in page


def test_front_page_shows_nothing_to_somebody_else(jobs: dict[str, Workload], alice: User) -> None:
    seen = operations.overview(alice)
    assert (seen.queued, seen.failures, seen.pressure, seen.waiting, seen.changes, seen.operators) == (
        0,
        [],
        [],
        [],
        [],
        [],
    )
    assert {question.count for question in seen.questions if "cluster" not in question.words} == {0}
