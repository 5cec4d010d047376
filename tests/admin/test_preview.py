"""Before an action is confirmed it says of each row what would become of it; afterwards, what became of it."""

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client

from apps.accounts.models import ApiToken, User
from apps.audit.models import AuditEvent
from apps.compute.lifecycle import transition
from apps.compute.models import Cluster, Workload
from tests.admin.rows import make_row, token_of
from tests.admin.test_access import url_of


def everything() -> dict[str, tuple[int, str]]:
    with connection.cursor() as cursor:
        names = [name for name in connection.introspection.table_names(cursor) if name != "django_session"]
        found = {}
        for name in names:
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM \"{name}\" t")
            found[name] = cursor.fetchone()
    return found  # type: ignore[return-value]


def ask(browser: Client, label: str, action: str, *pks: object, **more: str):
    data = {"action": action, "_selected_action": [str(pk) for pk in pks], **more}
    return browser.post(url_of(label, "changelist"), data)


def foreseen(answer) -> dict[str, tuple[str, str]]:
    return {str(one.row): (one.verdict, one.words) for one in answer.context["outcomes"]}


def test_each_row_says_what_would_become_of_it_and_nothing_is_done(browser: Client) -> None:
    jobs = [make_row(no).workload for no in (1, 2)]
    transition(jobs[1], "succeeded", actor="reconcile")
    before = everything()
    answer = ask(browser, "compute.workload", "force_stop", *(job.pk for job in jobs))
    assert foreseen(answer) == {
        "job-1": ("done", "force stop"),
        "job-2": ("refused", "It has already succeeded."),
    }
    assert "<b>1</b> of 2 will change" in answer.text
    assert everything() == before


def test_details_are_told(browser: Client, sre: User) -> None:
    make_row(1)
    user = User.objects.get(username="user-1")
    answer = ask(browser, "accounts.user", "disable", user.pk, sre.pk)
    told = (
        "jobs stop, assets keep, memberships keep, runs kept 1, projects kept 1, sessions ended 1, tokens revoked 1, "
        "credentials kept 1, memberships kept 1, environments kept 1, running jobs stopped 1, "
        "registered models kept 1, revoked tokens 1"
    )
    assert foreseen(answer) == {
        "user-1": ("done", f"disable ({told})"),
        "sre": ("refused", "You cannot disable yourself. Ask another admin."),
    }
    assert ApiToken.objects.filter(user=user, revoked_at=None).exists()
    assert User.objects.get(pk=user.pk).is_active


def test_what_would_change_nothing_says_so(browser: Client) -> None:
    make_row(1)
    token = token_of("user-1")
    ask(browser, "accounts.apitoken", "revoke", token.pk, _confirmed="1", reason="x")
    answer = ask(browser, "accounts.apitoken", "revoke", token.pk)
    assert foreseen(answer) == {str(token): ("idle", "nothing to do")}


def test_afterwards_each_row_says_what_became_of_it(browser: Client) -> None:
    jobs = [make_row(no).workload for no in (1, 2, 3)]
    transition(jobs[1], "succeeded", actor="reconcile")
    answer = ask(
        browser, "compute.workload", "force_stop", *(job.pk for job in jobs), _confirmed="1", reason="maintenance"
    )
    assert answer.status_code == 200
    assert answer.context["is_done"]
    assert foreseen(answer) == {
        "job-1": ("done", "force stop"),
        "job-2": ("refused", "It has already succeeded."),
        "job-3": ("done", "force stop"),
    }
    assert [str(message) for message in get_messages(answer.wsgi_request)] == ["2 asked to stop."]
    assert set(Workload.objects.filter(desired_state="stop").values_list("label", flat=True)) == {"job-1", "job-3"}
    assert AuditEvent.objects.filter(action="force_stop", reason="maintenance").count() == 2


def test_all_that_match_beyond_one_page(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is confirmed is exactly what was shown: the rows themselves, not the question they answered then."""
    for no in (1, 2, 3):
        make_row(no)
    monkeypatch.setattr("apps.compute.admin.ClusterAdmin.list_per_page", 2)
    every = {"action": "drain", "_selected_action": "x", "select_across": "1", "index": "0"}
    answer = browser.post(url_of("compute.cluster", "changelist"), every)
    assert set(foreseen(answer)) == {"cluster-1", "cluster-2", "cluster-3"}
    assert answer.text.count('name="_selected_action"') == 3
    assert "select_across" not in answer.text
    assert not Cluster.objects.filter(is_drained=True).exists()


def test_the_limit_is_stated(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_row(1)
    make_row(2)
    monkeypatch.setattr("apps.compute.admin.ClusterAdmin.list_per_page", 1)
    assert "An action takes at most 500 rows at a time" in browser.get(url_of("compute.cluster", "changelist")).text


def test_only_one_person_is_seen_as(browser: Client) -> None:
    make_row(1)
    make_row(2)
    people = User.objects.filter(username__startswith="user-")
    answer = ask(browser, "accounts.user", "see_as", *people.values_list("pk", flat=True))
    assert answer.status_code == 302
    assert [str(message) for message in get_messages(answer.wsgi_request)] == [
        "Choose at most 1 at a time. Nothing was done."
    ]
