"""An auditor reads every page of the admin and changes nothing through any of them."""

from typing import Any

import pytest
from django.contrib.admin import site
from django.db.models import Model
from django.test import Client

from apps.access.admin import Reasoned
from apps.audit.models import AuditEvent
from apps.compute.models import Cluster
from tests.admin.rows import make_row
from tests.admin.test_access import LABELS, MODELS, a_row, url_of, urls_of

ACTIONS = [
    (page.opts.label_lower, action if isinstance(action, str) else action.name)
    for page in site._registry.values()
    for action in page.actions or ()
]


def snapshot(label: str) -> list[Any]:
    """Every row; what was tried and refused is on the record, and changes nothing."""
    rows = MODELS[label]._base_manager.order_by("pk")
    return list((rows.exclude(outcome="denied") if MODELS[label] is AuditEvent else rows).values())


@pytest.mark.parametrize("label", LABELS)
def test_reads_every_page_and_is_offered_nothing(label: str, reading: Client) -> None:
    make_row(1)
    answers = {view: reading.get(url) for view, url in urls_of(label).items()}
    assert {view: answer.status_code for view, answer in answers.items()} == {
        "list": 200, "page": 200, "history": 200, "add": 403, "delete": 403,
    }  # fmt: skip
    page = answers["page"].text
    assert 'name="_save"' not in page
    assert 'name="action"' not in page
    assert 'class="addlink"' not in answers["list"].text
    assert 'name="action"' not in answers["list"].text
    assert answers["list"].context["cl"].result_count > 0


@pytest.mark.parametrize("label", LABELS)
def test_saves_nothing(label: str, reading: Client) -> None:
    make_row(1)
    row: Model = a_row(label)
    before, events = snapshot(label), snapshot("audit.auditevent")
    fields = {field.name: "1" for field in MODELS[label]._meta.concrete_fields}
    more = {"limit_cpu": "1", "reason": "x", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    for url in (url_of(label, "change", row.pk), url_of(label, "add"), url_of(label, "delete", row.pk)):
        assert reading.post(url, {**fields, **more, "post": "yes"}).status_code == 403
    assert snapshot(label) == before
    assert snapshot("audit.auditevent") == events
    assert set(AuditEvent.objects.filter(outcome="denied").values_list("actor_label", flat=True)) == {"aud"}


@pytest.mark.parametrize(
    ("label", "lookup"),
    [
        ("accounts.user", "password__startswith"),
        ("accounts.user", "second_factor__seed"),
        ("accounts.apitoken", "digest__startswith"),
        ("accounts.apitoken", "user__password__startswith"),
        ("accounts.registration", "password__startswith"),
        ("accounts.usersession", "digest__startswith"),
        ("accounts.usersession", "session_data__contains"),
        ("compute.cluster", "settings__password__startswith"),
        ("credentials.credential", "values__ciphertext__isnull"),
        ("teams.invitation", "digest__startswith"),
    ],
)
@pytest.mark.parametrize("tool", [{}, {"_export": "csv"}])
def test_a_list_is_not_narrowed_by_what_it_does_not_show(
    label: str, lookup: str, tool: dict[str, str], reading: Client
) -> None:
    """Or a secret would be told letter by letter, by whether its row is still in the list."""
    make_row(1)
    assert reading.get(url_of(label, "changelist"), {lookup: "a", **tool}).status_code == 400


@pytest.mark.parametrize(("label", "action"), ACTIONS)
def test_acts_on_nothing(label: str, action: str, reading: Client) -> None:
    make_row(1)
    before, events = snapshot(label), AuditEvent.objects.count()
    chosen = {"action": action, "_selected_action": str(a_row(label).pk), "_confirmed": "1", "reason": "x"}
    answer = reading.post(url_of(label, "changelist"), chosen)
    assert "What was done" not in answer.text
    assert snapshot(label) == before
    assert AuditEvent.objects.count() == events


@pytest.mark.parametrize("label", LABELS)
def test_takes_lists_home_on_the_record(label: str, reading: Client) -> None:
    make_row(1)
    answer = reading.get(url_of(label, "changelist"), {"_export": "ndjson"})
    assert b"".join(answer.streaming_content).startswith(b"{")  # type: ignore[attr-defined]
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.actor_label, event.data["list"]) == ("export", "aud", label)


def test_front_page_is_the_same(reading: Client, browser: Client) -> None:
    make_row(1)
    numbers = [
        [(question.words, question.count) for question in who.get("/admin/").context["now"].questions]
        for who in (reading, browser)
    ]
    assert numbers[0] == numbers[1]


def test_actions_are_named() -> None:
    assert len(ACTIONS) > 7
    assert any(isinstance(action, Reasoned) for page in site._registry.values() for action in page.actions or ())


def test_members_of_a_team_are_read(reading: Client) -> None:
    make_row(1)
    team = MODELS["teams.team"]._base_manager.get()
    page = reading.get(url_of("teams.team", "change", team.pk)).text
    assert "user-1" in page
    assert "svc.team-1.ci" in page
    assert 'name="memberships-0-role"' not in page


def test_settings_of_a_cluster_are_read_without_their_secrets(reading: Client, secretive: str) -> None:
    settings = {"address": "there", "password": "s3cr3t-sentinel"}
    cluster = Cluster.objects.create(name="gpu", kind=secretive, settings=settings)
    page = reading.get(url_of("compute.cluster", "change", cluster.pk)).text
    assert "there" in page
    assert "s3cr3t-sentinel" not in page
