"""What pages show, and what they must not: secrets, inline code, foreign hosts."""

import re
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import ApiToken
from apps.audit.models import AuditEvent
from apps.compute import services as compute
from apps.compute.lifecycle import transition
from apps.compute.models import Cluster, Workload
from tests.admin.rows import make_row, token_of
from tests.admin.test_access import LABELS, a_row, url_of, urls_of

INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle\s*=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)


def assert_plain(page: str) -> None:
    assert not INLINE.findall(page)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


@pytest.mark.parametrize("label", LABELS)
def test_pages_run_under_the_strict_policy(label: str, browser: Client) -> None:
    make_row(1)
    for view, url in urls_of(label).items():
        answer = browser.get(url)
        if answer.status_code == 200:
            assert_plain(answer.text)
            policy = answer["Content-Security-Policy"]
            assert "unsafe" not in policy, view
            assert "script-src 'self'" in policy


@pytest.mark.parametrize("label", LABELS)
def test_no_link_lies_in_another(label: str, browser: Client) -> None:
    """A browser would close the outer one before it: a link of no words."""
    make_row(1)
    assert not re.findall(r"<a\b[^>]*>(?:(?!</a>).)*?<a\b", browser.get(url_of(label, "changelist")).text, re.DOTALL)


def test_site_pages_run_under_the_strict_policy(browser: Client, client: Client) -> None:
    make_row(1)
    cluster = url_of("compute.cluster", "changelist")
    question = browser.post(cluster, {"action": "drain", "_selected_action": str(Cluster.objects.get().pk)})
    kinds = browser.get(url_of("compute.cluster", "add"))
    form = browser.get(url_of("compute.cluster", "add") + "?kind=local")
    for answer in (
        browser.get("/admin/"),
        browser.get("/admin/compute/"),
        client.get("/login/"),
        question,
        kinds,
        form,
    ):
        assert answer.status_code == 200
        assert_plain(answer.text)


def test_no_token_digest_and_no_password_hash_is_shown(browser: Client) -> None:
    make_row(1)
    token = token_of("user-1")
    run_tokens = ApiToken.objects.values_list("digest", flat=True)
    assert token.digest in run_tokens
    pages = [browser.get(url) for label in ("accounts.apitoken", "accounts.user") for url in urls_of(label).values()]
    for answer in pages:
        assert not [digest for digest in run_tokens if digest in answer.text]
        assert "argon2" not in answer.text
        assert "md5$" not in answer.text


def test_history_is_the_audit_trail(browser: Client, sre: object) -> None:
    first, second = make_row(1).workload.cluster, make_row(2).workload.cluster
    compute.drain_cluster(first, by=sre, reason="for the first")
    compute.drain_cluster(second, by=sre, reason="for the second")
    page = browser.get(url_of("compute.cluster", "history", first.pk)).text
    assert "for the first" in page
    assert "for the second" not in page
    assert page.count("<td>sre</td>") == 1


def test_history_of_nothing_leads_away(browser: Client) -> None:
    assert browser.get(url_of("compute.cluster", "history", uuid4())).status_code == 302
    assert browser.get(url_of("compute.cluster", "change", "no-uuid")).status_code == 302


def test_labels_of_people_are_escaped(browser: Client) -> None:
    workload = make_row(1).workload
    nasty = "<img src=x onerror=alert(1)>"
    transition(workload, "failed", actor=nasty, message=nasty)
    Workload.objects.filter(pk=workload.pk).update(label=nasty, template={"command": [nasty]})
    Cluster.objects.update(message=nasty, warnings=[nasty], labels={"zone": nasty})
    urls = [
        "/admin/",
        url_of("compute.workload", "changelist"),
        url_of("compute.workload", "change", workload.pk),
        url_of("compute.cluster", "change", workload.cluster_id),
        url_of("compute.workloadevent", "changelist"),
    ]
    for url in urls:
        page = browser.get(url).text
        assert nasty not in page
        assert "&lt;img src=x" in page


def test_search_takes_anything(browser: Client) -> None:
    make_row(1)
    for label in LABELS:
        for text in ("job-1", "\x00", "'\"%_\\", "x" * 5000):
            assert browser.get(url_of(label, "changelist"), {"q": text}).status_code == 200, (label, text)


@pytest.mark.parametrize("label", ["compute.workload", "experiments.experiment", "tracking.run", "accounts.apitoken"])
def test_pasted_id_is_found(label: str, browser: Client) -> None:
    make_row(1)
    wanted = a_row(label)
    make_row(2)
    found = browser.get(url_of(label, "changelist"), {"q": f" {wanted.pk} "}).context["cl"].result_list
    assert [row.pk for row in found] == [wanted.pk]


def test_workload_is_found_by_its_handle(browser: Client) -> None:
    wanted = make_row(1).workload
    make_row(2)
    handle = wanted.attempts.get().handle
    found = browser.get(url_of("compute.workload", "changelist"), {"q": handle}).context["cl"].result_list
    assert [row.pk for row in found] == [wanted.pk]


def test_workload_leads_to_what_it_belongs_to(browser: Client) -> None:
    experiment = make_row(1)
    page = browser.get(url_of("compute.workload", "change", experiment.workload_id)).text
    for url in (
        url_of("tracking.run", "change", experiment.pk),
        url_of("compute.cluster", "change", experiment.workload.cluster_id),
        url_of("teams.team", "change", experiment.run.team_id),
        url_of("accounts.user", "change", experiment.run.owner_id),
        url_of("quotas.quotanode", "change", experiment.workload.quota_node_id),
    ):
        assert url in page
    assert (
        f"/experiments/{experiment.pk}/" in browser.get(url_of("experiments.experiment", "change", experiment.pk)).text
    )


def test_audit_list_is_narrowed_by_door_and_kind(browser: Client) -> None:
    make_row(1)
    url = url_of("audit.auditevent", "changelist")
    shown = browser.get(url, {"object_type": "compute.cluster", "origin": "system"}).context["cl"].result_list
    assert {event.object_type for event in shown} == {"compute.cluster"}
    assert not browser.get(url, {"origin": "admin"}).context["cl"].result_list
    assert AuditEvent.objects.exclude(object_type="compute.cluster").exists()


def test_page_of_an_app_lists_its_tables_and_is_no_front_page(browser: Client) -> None:
    page = browser.get("/admin/compute/").text
    assert page.count(f'<th scope="row"><a href="{url_of("compute.workload", "changelist")}">Workloads</a></th>') == 1
    assert "No worker runs the loops" not in page
