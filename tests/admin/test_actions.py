"""Named actions: asked for on a list or a page, confirmed with a reason, done by a service, written to the audit trail."""

from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client

from apps.access.admin import Reasoned
from apps.accounts.models import ApiToken, User
from apps.audit.models import AuditEvent
from apps.compute.backends.fake.world import FakeWorld
from apps.compute.choices import DesiredState
from apps.compute.lifecycle import transition
from apps.compute.models import Cluster, Workload
from tests.admin.rows import make_row, token_of
from tests.admin.test_access import url_of

REASONED = {
    (page.opts.label_lower, action.name): page.model
    for page in site._registry.values()
    for action in page.actions or ()
    if isinstance(action, Reasoned)
}


def ask(browser: Client, row: Model, action: str, **more: str) -> Any:
    data = {"action": action, "_selected_action": str(row.pk), **more}
    return browser.post(url_of(row._meta.label_lower, "changelist"), data)


def do(browser: Client, row: Model, action: str, reason: str = "because I say so") -> Any:
    return ask(browser, row, action, _confirmed="1", reason=reason)


def told(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def audited(action: str) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).latest("pk")


def test_these_actions_exist() -> None:
    assert set(REASONED) == {
        ("accounts.apitoken", "revoke"),
        ("accounts.registration", "approve"),
        ("accounts.registration", "reject"),
        ("accounts.user", "disable"),
        ("accounts.user", "enable"),
        ("accounts.user", "reset_link"),
        ("accounts.user", "reset_second_factor"),
        ("accounts.usersession", "end"),
        ("accounts.user", "see_as"),
        ("budgets.budget", "end_budget"),
        ("budgets.budget", "show_signing_key"),
        ("budgets.ledgertx", "reverse"),
        ("compute.cluster", "drain"),
        ("compute.cluster", "undrain"),
        ("compute.workload", "force_stop"),
        ("compute.priorityclass", "remove"),
        ("compute.workload", "requeue"),
        ("compute.workload", "set_class"),
        ("credentials.credential", "revoke"),
        ("directory.directoryrule", "remove"),
        ("environments.environment", "delete_environments"),
        ("environments.environmentbuild", "build_again"),
        ("environments.environmentbuild", "remove_builds"),
        ("quotas.allocationrequest", "approve"),
        ("quotas.allocationrequest", "refuse"),
        ("quotas.quotadefault", "remove"),
        ("quotas.quotanode", "create_group"),
        ("quotas.quotanode", "move"),
        ("quotas.resource", "remove"),
        ("registry.modelversion", "delete_versions"),
        ("registry.moverequest", "approve_moves"),
        ("registry.moverequest", "refuse_moves"),
        ("registry.protection", "lift_rules"),
        ("registry.registeredmodel", "delete_models"),
        ("teams.invitation", "revoke"),
        ("teams.organization", "archive"),
        ("teams.organization", "restore"),
        ("teams.team", "archive"),
        ("teams.team", "restore"),
        ("sharing.accessrequest", "grant_requests"),
        ("sharing.accessrequest", "refuse_requests"),
        ("tracking.retention", "remove"),
    }


@pytest.mark.parametrize(("label", "name"), REASONED)
@pytest.mark.parametrize("reason", ["", "   "])
def test_nothing_is_done_without_a_reason(label: str, name: str, reason: str, browser: Client) -> None:
    make_row(1)
    row = REASONED[label, name]._base_manager.order_by("pk").first()
    assert row is not None
    before = type(row)._base_manager.filter(pk=row.pk).values().get()
    events = AuditEvent.objects.count()
    question = ask(browser, row, name)
    assert question.status_code == 200
    assert 'name="reason"' in question.text
    answer = do(browser, row, name, reason)
    assert "Say why." in answer.text
    assert type(row)._base_manager.filter(pk=row.pk).values().get() == before
    assert AuditEvent.objects.count() == events


def test_force_stop_asks_for_the_end(browser: Client, sre: User) -> None:
    workload = make_row(1).workload
    answer = do(browser, workload, "force_stop", "it floods the disk")
    workload.refresh_from_db()
    assert workload.desired_state == DesiredState.STOP
    assert workload.stop_cause == "stopped by sre: it floods the disk"
    assert workload.state == "starting"  # reconcile writes it, not the admin
    event = audited("force_stop")
    assert (event.actor, event.origin, event.reason, event.ip) == (sre, "admin", "it floods the disk", "192.0.2.9")
    assert told(answer) == ["1 asked to stop."]


def test_force_stop_of_what_has_ended_is_refused_in_words(browser: Client) -> None:
    workload = make_row(1).workload
    transition(workload, "succeeded", actor="reconcile")
    answer = do(browser, workload, "force_stop")
    assert told(answer) == ["job-1: It has already succeeded."]
    assert not AuditEvent.objects.filter(action="force_stop").exists()


def test_requeue_drops_the_lease(browser: Client) -> None:
    workload = make_row(1).workload
    epoch = Workload.objects.get(pk=workload.pk).lease_epoch
    do(browser, workload, "requeue", "the worker hangs")
    workload.refresh_from_db()
    assert (workload.lease_until, workload.lease_epoch) == (None, epoch + 1)
    assert audited("requeue").reason == "the worker hangs"


def test_drain_and_undrain(browser: Client) -> None:
    cluster = make_row(1).workload.cluster
    do(browser, cluster, "drain", "new disks")
    cluster.refresh_from_db()
    assert cluster.is_drained
    assert audited("drain").reason == "new disks"
    page = browser.get(url_of("compute.cluster", "change", cluster.pk)).text
    assert "Take into use again" in page
    assert ">Drain…<" not in page
    do(browser, cluster, "undrain", "disks are in")
    assert not Cluster.objects.get(pk=cluster.pk).is_drained
    assert audited("undrain").reason == "disks are in"


def test_check_now_asks_the_backend(browser: Client) -> None:
    cluster = make_row(1).workload.cluster  # not checked yet
    told_well = told(ask(browser, cluster, "check_now"))
    cluster = Cluster.objects.get(pk=cluster.pk)
    assert (cluster.state, told_well) == ("ok", ["cluster-1: ok. runs nothing"])
    with FakeWorld.named("default", live=True).unreachable():
        assert told(ask(browser, cluster, "check_now"))[-1] == "cluster-1: down. the fake cluster is switched off"


def test_disabled_user_is_out_and_can_be_let_in_again(browser: Client, alice: User, client: Client) -> None:
    make_row(1)
    user = User.objects.get(username="user-1")
    client.force_login(user)
    assert client.get("/api/v2/me/").status_code == 200
    do(browser, user, "disable", "left the company")
    user.refresh_from_db()
    assert not user.is_active
    assert token_of("user-1").revoked_at is not None
    assert client.get("/api/v2/me/").status_code in {401, 403}
    event = audited("disable")
    assert (event.reason, event.data["revoked_tokens"]) == ("left the company", 1)
    assert event.data["effects"] == {
        "tokens revoked": 1, "sessions ended": 2, "credentials kept": 1, "projects kept": 1, "runs kept": 1, "memberships kept": 1,
        "registered models kept": 1, "environments kept": 1, "running jobs stopped": 1,
    }  # fmt: skip
    do(browser, user, "enable", "came back")
    user.refresh_from_db()
    assert user.is_active
    assert token_of("user-1").revoked_at is not None
    assert audited("enable").reason == "came back"
    alice.refresh_from_db()
    assert alice.is_active


def test_operators_cannot_disable_themselves(browser: Client, sre: User) -> None:
    answer = do(browser, sre, "disable")
    assert told(answer) == ["sre: You cannot disable yourself. Ask another admin."]
    sre.refresh_from_db()
    assert sre.is_active


def test_revoke_ends_a_token(browser: Client) -> None:
    make_row(1)
    token = token_of("user-1")
    do(browser, token, "revoke", "found in a log")
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert audited("revoke").reason == "found in a log"


def test_several_at_once_do_exactly_what_was_shown(browser: Client) -> None:
    for no in (1, 2, 3):
        make_row(no)
    tokens = [token_of("user-1"), token_of("user-2")]
    url = url_of("accounts.apitoken", "changelist")
    chosen = {"action": "revoke", "_selected_action": [str(token.pk) for token in tokens]}
    question = browser.post(url, {**chosen, "index": "0"}).text
    assert "token-1" in question
    assert "token-2" in question
    assert "token-3" not in question
    browser.post(url, {**chosen, "_confirmed": "1", "reason": "leak"})
    live = ApiToken.objects.filter(revoked_at=None, kind="pat")
    assert [token.name for token in live] == ["token-3"]


def test_too_many_at_once_are_refused(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.access.admin.reasons.MOST_ROWS", 1)
    make_row(1)
    make_row(2)
    every = {"action": "revoke", "_selected_action": "x", "select_across": "1", "_confirmed": "1", "reason": "leak"}
    answer = browser.post(url_of("accounts.apitoken", "changelist"), every)
    assert told(answer) == ["Choose at most 1 at a time. Nothing was done."]
    assert not ApiToken.objects.exclude(revoked_at=None).exists()


def test_from_an_objects_page_one_comes_back_to_it(browser: Client) -> None:
    cluster = make_row(1).workload.cluster
    answer = ask(browser, cluster, "drain", _from_page="1", _confirmed="1", reason="x")
    assert answer["Location"] == url_of("compute.cluster", "change", cluster.pk)


def test_action_needs_the_operators_session(alice: User, client: Client) -> None:
    cluster = make_row(1).workload.cluster
    client.force_login(alice)
    assert do(client, cluster, "drain").status_code == 302
    assert not Cluster.objects.get(pk=cluster.pk).is_drained


def test_action_needs_the_csrf_token(sre: User) -> None:
    cluster = make_row(1).workload.cluster
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(sre)
    assert do(strict, cluster, "drain").status_code == 403
    assert not Cluster.objects.get(pk=cluster.pk).is_drained
