"""Every address of the admin, asked for by who may: none of them breaks, whatever the row is like."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import URLPattern, reverse

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.compute.models import Cluster
from apps.compute.services import drain_cluster
from apps.credentials.models import Credential
from apps.directory.models import DirectoryRule
from apps.sharing import services as sharing
from apps.teams import services as teams
from apps.teams.models import Organization, Team
from apps.tracking.models import Run
from tests.admin.rows import bring, make_row, submit
from tests.admin.test_access import CAN_ADD, CAN_CHANGE, LABELS, MODELS, url_of

MOST = 12  # rows of a kind that are looked at: the last ones, which differ most
PAGES = {page.opts.label_lower: page for page in site._registry.values()}
OK, SERVER_ERROR = 200, 500
_GIVEN = {"form": "csv"}  # what stands in an address beside an id
AT_ONCE = {"directory.directorysync", "storage.collection"}  # they take no facts: done when they are asked for
STANDARD = {"changelist", "add", "history", "delete", "change"}


@pytest.fixture
def rows(db: None) -> None:
    """Rows in every state that a page has something else to say of."""
    first = make_row(1)
    owner, cluster = first.run.owner, first.workload.cluster
    for state in ("succeeded", "failed", "lost", "stopping", "running"):
        bring(submit(owner, cluster=cluster.name, name=state).workload, state)
    drain_cluster(cluster, by=SYSTEM, reason="disks")
    sharing.share(first.run, accounts.create_user("friend", by=SYSTEM), "viewer", by=owner)
    for facts in ({"expires_in": None}, {"addresses": ["10.0.0.0/8"]}, {"scopes": ["read"]}):
        accounts.revoke_token(accounts.issue_token(owner, by=owner, name="more", **facts)[0], by=owner)
        accounts.rotate_token(accounts.issue_token(owner, by=owner, name="old", **facts)[0], by=owner)
    accounts.issue_run_token(owner, bound_to="run:1", purpose="p", scopes=["run:log"], expires_in=timedelta(1))
    accounts.disable_user(accounts.create_user("gone", by=SYSTEM), by=SYSTEM, reason="left")
    accounts.set_platform_role(accounts.create_user("reads", by=SYSTEM), "auditor", by=SYSTEM)
    organization = teams.create_organization(slug="empty", name="Empty", by=SYSTEM)
    teams.archive_team(teams.create_team(organization, slug="over", name="Over", by=SYSTEM), by=SYSTEM, reason="over")


def _looked_at(label: str) -> list[Any]:
    return list(MODELS[label]._base_manager.order_by("-pk")[:MOST])


def _views_of_rows(label: str) -> Iterator[tuple[str, Any]]:
    for row in _looked_at(label):
        for view in ("change", "history", "delete"):
            yield view, row.pk


@pytest.mark.parametrize("label", LABELS)
def test_every_row_is_opened_by_who_may(label: str, rows: None, browser: Client, reading: Client) -> None:
    expected = {"change": 200, "history": 200, "delete": 403}
    for who, add in ((browser, 200 if label in CAN_ADD else 403), (reading, 403)):
        got = [(view, pk, who.get(url_of(label, view, pk)).status_code) for view, pk in _views_of_rows(label)]
        assert [(view, pk, code) for view, pk, code in got if code != expected[view]] == []
        assert got
        assert who.get(url_of(label, "add")).status_code == add


@pytest.mark.parametrize("label", sorted(CAN_ADD))
def test_an_empty_form_says_what_is_missing(label: str, rows: None, browser: Client) -> None:
    """As does one full of nonsense: in words, and never as a broken page."""
    made = set(MODELS[label]._base_manager.values_list("pk", flat=True))
    fields = dict.fromkeys(_form_fields(label, browser), "�")
    for url in (url_of(label, "add"), url_of(label, "add") + "?kind=local"):
        for data in ({}, fields):
            answer = browser.post(url, data)
            if label not in AT_ONCE:
                assert answer.status_code == 200, (url, data)
    if label not in AT_ONCE:
        assert set(MODELS[label]._base_manager.values_list("pk", flat=True)) == made


@pytest.mark.parametrize("label", sorted(CAN_CHANGE))
def test_a_change_full_of_nonsense_is_refused_in_words(label: str, rows: None, browser: Client) -> None:
    for row in _looked_at(label):
        before = MODELS[label]._base_manager.filter(pk=row.pk).values().get()
        url = url_of(label, "change", row.pk)
        names = _form_fields(label, browser, url)
        for data in ({}, dict.fromkeys(names, "\ufffd"), dict.fromkeys(names, "9" * 60)):
            assert browser.post(url, data).status_code in {200, 302, 400, 403}, (url, list(data))
        after = MODELS[label]._base_manager.filter(pk=row.pk).values().get()
        assert {name for name in after if after[name] != before[name]} <= {"name", "description", "first_name"}


def _form_fields(label: str, browser: Client, url: str = "") -> list[str]:
    page = browser.get(url or url_of(label, "add"))
    form = (page.context or {}).get("adminform")
    return list(form.form.fields) if form is not None else []


def _own_views() -> list[tuple[str, URLPattern]]:
    """Addresses that a page adds to Django's own."""
    found = []
    for label, page in PAGES.items():
        prefix = label.replace(".", "_") + "_"
        for pattern in page.get_urls():
            name = getattr(pattern, "name", None)
            if name and name.removeprefix(prefix) not in STANDARD:
                found.append((f"{label} {name}", pattern))
    return found


def _pk_for(key: str, label: str) -> str:
    return str(_looked_at("quotas.quotanode" if key == "node_id" else label)[0].pk)


def test_what_pages_add_opens_or_refuses(rows: None, browser: Client, reading: Client) -> None:
    for name, pattern in _own_views():
        label, _, view = name.partition(" ")
        names = pattern.pattern.converters or {}
        url = reverse(f"admin:{view}", kwargs={key: _GIVEN.get(key) or _pk_for(key, label) for key in names})
        for who in (browser, reading):
            for path in (url, f"{url}?kind=nonsense&q=%00&page=x"):
                assert who.get(path).status_code < SERVER_ERROR, path


def test_every_filter_and_every_link_of_the_front_page_opens(rows: None, browser: Client) -> None:
    linked = re.findall(r'href="(/admin/[^"]+)"', browser.get("/admin/").text)
    urls = {unescape(url) for url in linked if "/logout/" not in url}
    for label in LABELS:
        page = browser.get(url_of(label, "changelist"))
        for spec in page.context["cl"].filter_specs:
            choices = list(spec.choices(page.context["cl"]))
            urls |= {
                url_of(label, "changelist") + choice["query_string"] for choice in choices if "query_string" in choice
            }
    assert len(urls) > len(LABELS)
    assert [url for url in sorted(urls) if browser.get(url).status_code != OK] == []


def test_nothing_of_this_is_forgotten() -> None:
    assert set(PAGES) == set(LABELS)
    assert _own_views()
    assert {Cluster, Credential, DirectoryRule, Organization, Team, Run, User} <= set(MODELS.values())
