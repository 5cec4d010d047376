"""Denied attempts, from every door: who, what, which object, why; counted exactly; without what was typed."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import denials
from apps.audit import services as audit
from apps.audit.models import AuditEvent, DenialCount
from apps.core.errors import NotAllowed
from apps.core.middleware import RequestContext, current_request
from apps.experiments.models import Experiment
from apps.teams.models import Membership
from apps.tracking import tickets
from config import asgi, content
from tests import people
from tests.factories import in_threads
from tests.matrix.test_native import _http, _socket
from tests.matrix.world import World, make_world
from tests.people import Cast, fake_cluster, share, submit

CANARY = "sesame-74b1-typed-by-mistake"


def denied() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(outcome="denied").order_by("pk"))


def told() -> list[tuple[str, str, str, str, str, str]]:
    return [
        (event.actor_label, event.origin, event.action, event.object_type, event.object_id, event.data["code"])
        for event in denied()
    ]


def count() -> int:
    """How many refusals the trail and what is not folded yet stand for."""
    events = AuditEvent.objects.filter(outcome="denied").values_list("data", flat=True)
    return sum(data.get("repeats", 1) for data in events) + sum(DenialCount.objects.values_list("repeats", flat=True))


def browser_of(user: User | None) -> Client:
    return people.browser_of(user, REMOTE_ADDR="192.0.2.9")


def script_of(user: User | None, scopes: tuple[str, ...] = ("all",)) -> Client:
    client = Client(REMOTE_ADDR="192.0.2.9")
    if user is not None:
        token = accounts.issue_token(user, by=SYSTEM, name="t", scopes=scopes)[1]
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    return submit(cast.alice, team=cast.team.slug, cluster={"name": fake_cluster().name})


EXPERIMENT = "experiments.experiment"


def test_a_page_that_is_not_allowed(cast: Cast, experiment: Experiment) -> None:
    url = reverse("experiment-stop", args=[experiment.pk])
    assert browser_of(cast.bob).post(url, headers={"X-Request-ID": "request-0001"}).status_code == 403
    assert told() == [("bob", "portal", "stop", EXPERIMENT, str(experiment.pk), "forbidden")]
    (event,) = denied()
    facts = (event.actor, event.ip, event.request_id, event.organization_id, event.object_label, event.data["route"])
    assert facts == (
        cast.bob, "192.0.2.9", "request-0001", cast.organization.pk, experiment.run.name, "POST experiment-stop",
    )  # fmt: skip
    assert event.reason == "You are viewer of this experiment; stop needs editor."


def test_a_page_that_may_not_be_seen_and_one_of_nothing_are_told_alike(cast: Cast, experiment: Experiment) -> None:
    nothing = uuid4()
    for pk in (experiment.pk, nothing):
        assert browser_of(cast.charlie).get(reverse("experiment", args=[pk])).status_code == 404
    assert told() == [
        ("charlie", "portal", "view", EXPERIMENT, str(pk), "not_found") for pk in (experiment.pk, nothing)
    ]
    assert {event.organization_id for event in denied()} == {None}  # not even the trail tells the two apart


def test_rows_that_a_bulk_action_left_as_they_were(cast: Cast, experiment: Experiment) -> None:
    data = {"action": "stop", "id": [str(experiment.pk)]}
    assert browser_of(cast.bob).post(reverse("experiment-bulk"), data).status_code == 302
    assert told() == [("bob", "portal", "stop", EXPERIMENT, str(experiment.pk), "forbidden")]


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k-1"}], ids=["bare", "in a transaction"])
def test_an_operation_that_is_not_allowed(cast: Cast, experiment: Experiment, key: dict[str, str]) -> None:
    url = reverse("api-experiment-stop", args=[experiment.pk])
    script = script_of(cast.bob)
    assert script.post(url, content_type="application/json", headers=key).status_code == 403
    assert told() == [("bob", "api", "stop", EXPERIMENT, str(experiment.pk), "forbidden")]
    assert [event.token_id for event in denied()] == [cast.bob.api_tokens.get().pk]


def test_an_operation_beyond_the_tokens_scopes(cast: Cast, experiment: Experiment) -> None:
    script = script_of(cast.alice, ("read",))
    for url in (reverse("api-experiment-stop", args=[experiment.pk]), reverse("api-experiment-list")):
        data = {"command": "true"}
        assert script.post(url, data, content_type="application/json").status_code == 403
    assert told() == [
        ("alice", "api", "stop", EXPERIMENT, str(experiment.pk), "insufficient_scope"),
        ("alice", "api", "experiment:create", "", "", "insufficient_scope"),
    ]


def test_an_operation_on_what_may_not_be_seen(cast: Cast, experiment: Experiment) -> None:
    script = script_of(cast.charlie)
    assert script.get(reverse("api-experiment-detail", args=[experiment.pk])).status_code == 404
    assert script.get(reverse("api-team-detail", args=["vision"])).status_code == 404
    assert script.get(reverse("api-artifacts", args=[experiment.pk])).status_code == 404
    assert told() == [
        ("charlie", "api", "view", EXPERIMENT, str(experiment.pk), "not_found"),
        ("charlie", "api", "view", "teams.team", "vision", "not_found"),
        ("charlie", "api", "GET api-artifacts", "", str(experiment.pk), "not_found"),
    ]


def test_a_bad_token(cast: Cast) -> None:
    value = accounts.issue_token(cast.alice, by=SYSTEM, name="t")[1]
    token = cast.alice.api_tokens.get()
    accounts.revoke_token(token, by=cast.alice)
    for given in (value, value[:-1] + ("0" if value[-1] != "0" else "1"), CANARY):
        answer = Client().get(reverse("api-me"), headers={"Authorization": f"Bearer {given}"})
        assert answer.status_code == 401
    kind = "accounts.apitoken"
    assert told() == [
        ("alice", "api", "authenticate", kind, str(token.pk), "not_authenticated"),  # it was hers
        ("anonymous", "api", "authenticate", kind, "", "not_authenticated"),
    ]
    assert count() == 3
    assert_unknown(CANARY, value, value[:30])


def assert_unknown(*secrets: str) -> None:
    """What was typed is nowhere in the trail, nor in what is counted."""
    denials.fold(window=timedelta(0))
    everything = f"{list(AuditEvent.objects.values())} {list(DenialCount.objects.values())}"
    assert [secret for secret in secrets if secret in everything] == []


def test_who_merely_is_not_logged_in_has_tried_nothing(cast: Cast, experiment: Experiment) -> None:
    for url in ("/", reverse("experiment", args=[experiment.pk]), "/admin/", "/nowhere/"):
        Client().get(url)
    assert Client().get(reverse("api-me")).status_code == 401
    assert browser_of(cast.alice).get("/nowhere/").status_code == 404  # a wrong address is no object
    assert denied() == []


@pytest.mark.parametrize("door", ["login", "api-login"])
def test_a_wrong_password(cast: Cast, door: str) -> None:
    for name in ("alice", CANARY):  # the second is a password in the wrong field
        data = {"username": name, "password": CANARY, "name": "x"}
        given = {"content_type": "application/json"} if door == "api-login" else {}
        Client().post(reverse(door), data, **given)
    origin = {"login": "portal", "api-login": "api"}[door]
    assert told() == [
        ("anonymous", origin, "log_in", "accounts.user", str(cast.alice.pk), "not_authenticated"),
        ("anonymous", origin, "log_in", "accounts.user", "", "not_authenticated"),
    ]
    assert [event.object_label for event in denied()] == ["alice", ""]
    assert_unknown(CANARY)


def test_too_many_wrong_passwords(cast: Cast) -> None:
    for _ in range(12):
        answer = Client().post(reverse("login"), {"username": "alice", "password": CANARY})
    assert answer.status_code == 429
    codes = {event.data["code"]: event for event in denied()}
    assert set(codes) == {"not_authenticated", "throttled"}
    assert count() == 12


def test_a_used_setup_link(cast: Cast) -> None:
    assert Client().get(reverse("setup", args=[CANARY])).status_code == 404
    assert_unknown(CANARY)


def test_the_admin_is_for_operators(cast: Cast, experiment: Experiment) -> None:
    browser = browser_of(cast.alice)
    assert browser.get("/admin/").status_code == 302
    url = reverse("admin:experiments_experiment_change", args=[experiment.pk])
    assert browser.get(url).status_code == 302
    assert told() == [
        ("alice", "admin", "enter_admin", "", "", "forbidden"),
        ("alice", "admin", "enter_admin", EXPERIMENT, str(experiment.pk), "forbidden"),
    ]


def test_a_refused_way_into_the_admin_is_one_attempt(cast: Cast) -> None:
    browser = browser_of(cast.alice)
    assert browser.get("/admin/", follow=True).status_code == 403
    assert told() == [("alice", "admin", "enter_admin", "", "", "forbidden")]
    assert browser.get("/admin/login/").status_code == 403  # nobody sent him there
    assert [event.action for event in denied()] == ["enter_admin", "GET admin:login"]


def test_what_the_admin_refuses_an_operator(cast: Cast) -> None:
    event = AuditEvent.objects.latest("pk")
    url = reverse("admin:audit_auditevent_delete", args=[event.pk])
    assert browser_of(cast.sre).post(url, {"post": "yes"}).status_code == 403
    assert told() == [
        ("sre", "admin", "POST admin:audit_auditevent_delete", "audit.auditevent", str(event.pk), "forbidden")
    ]


def test_a_form_from_another_site(cast: Cast, experiment: Experiment) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.alice)
    assert browser.post(reverse("experiment-stop", args=[experiment.pk])).status_code == 403
    assert told() == [("alice", "portal", "POST experiment-stop", "", str(experiment.pk), "forbidden")]


def test_a_yes_costs_no_query(cast: Cast, experiment: Experiment, settings: Any) -> None:
    def queries() -> int:
        browser = browser_of(cast.bob)
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(reverse("experiment", args=[experiment.pk])).status_code == 200
        return len(captured)

    queries()  # what is remembered for the process is remembered now
    watched = queries()
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith("DenialMiddleware")]
    assert watched == queries()


def test_the_trail_is_for_auditors(cast: Cast) -> None:
    answer = script_of(cast.mia).get(reverse("api-audit"))
    assert (answer.status_code, answer.json()["detail"]) == (403, "The audit trail is for auditors and admins.")
    assert told() == [("mia", "api", "view", "audit.auditevent", "", "forbidden")]


# Counting


def test_equal_refusals_of_a_minute_are_one_row_and_a_count(cast: Cast, experiment: Experiment) -> None:
    browser = browser_of(cast.bob)
    for _ in range(7):
        browser.post(reverse("experiment-stop", args=[experiment.pk]))
    assert len(denied()) == 1
    assert count() == 7
    assert denials.fold() == 0  # the minute is not over
    assert denials.fold(window=timedelta(0)) == 6
    first, folded = denied()
    assert folded.data == {**first.data, "repeats": 6, "since": folded.data["since"], "until": folded.data["until"]}
    same = (
        "actor_id",
        "actor_label",
        "action",
        "object_type",
        "object_id",
        "ip",
        "origin",
        "organization_id",
        "reason",
    )
    assert [getattr(folded, name) for name in same] == [getattr(first, name) for name in same]
    browser.post(reverse("experiment-stop", args=[experiment.pk]))
    assert len(denied()) == 3
    assert count() == 8


def test_a_flood_of_different_refusals_is_bounded_and_counted(cast: Cast) -> None:
    browser = browser_of(cast.charlie)
    tried = denials.MOST_KINDS + 25
    for _ in range(tried):
        browser.get(reverse("experiment", args=[uuid4()]))
    rows = denied()
    assert len(rows) == denials.MOST_KINDS + 1
    assert (rows[-1].action, rows[-1].object_id, rows[-1].actor) == (denials.SEVERAL, "", cast.charlie)
    assert count() == tried
    browser_of(cast.olaf).get(reverse("experiment", args=[uuid4()]))
    assert denied()[-1].actor == cast.olaf  # one who floods hides nobody else


def test_a_flood_of_nobodies_is_bounded_whatever_their_addresses(db: None) -> None:
    tried = denials.MOST_ANONYMOUS + 40
    for number in range(tried):
        client = Client(REMOTE_ADDR=f"2001:db8::{number:x}")
        client.get(reverse("api-me"), headers={"Authorization": "Bearer nonsense"})
    rows = denied()
    assert len(rows) == denials.MOST_ANONYMOUS + 1
    assert (rows[-1].action, rows[-1].ip) == (denials.SEVERAL, None)
    assert count() == tried


def test_counts_are_right_when_sixteen_refuse_while_it_is_folded(committed: None) -> None:
    error = NotAllowed("no")

    def work(index: int) -> None:
        context = current_request.set(RequestContext("", "192.0.2.1", "api"))
        for _ in range(20):
            if index == 16:
                denials.fold(window=timedelta(0))
            else:
                audit.record_denied(None, f"act-{index % 3}", "x.y", NotAllowed(error.detail))
        current_request.reset(context)

    assert in_threads(17, work) == [None] * 17
    assert count() == 16 * 20
    denials.fold(window=timedelta(0))
    assert count() == 16 * 20
    assert not DenialCount.objects.exists()


def test_a_refusal_stays_one_when_it_cannot_be_written(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        monkeypatch.setattr(denials, "_WRITE", "SELECT * FROM nowhere")
        denials.write(audit.denial_of(cast.bob, "stop", "x.y", NotAllowed("no")))
        transaction.set_rollback(True)
    assert denied() == []


def test_services_called_without_a_door_write_no_refusal(cast: Cast, experiment: Experiment) -> None:
    from apps.experiments import services

    with pytest.raises(NotAllowed) as raised:
        services.stop_experiment(experiment, by=cast.bob)
    assert denied() == []
    audit.record_denied(cast.charlie, "other", "x.y", raised.value)  # what the error knows goes first
    assert told() == [("bob", "system", "stop", EXPERIMENT, str(experiment.pk), "forbidden")]


# Doors beside Django


@pytest.fixture
def world(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    url = urlsplit(settings.DATABASE_URL)
    monkeypatch.setattr(settings, "DATABASE_URL", url._replace(path=f"/{connection.settings_dict['NAME']}").geturl())
    yield make_world()
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with connection.cursor() as cursor:
        cursor.execute(others)


def _ask(*calls: Callable[[], Any]) -> list[int]:
    from apps.core import asyncdb

    async def all_of_them() -> list[int]:
        try:
            return [(await call())[0] for call in calls]
        finally:
            await asyncdb.close()

    return async_to_sync(all_of_them)()


def _headers(token: str) -> list[tuple[bytes, bytes]]:
    host = urlsplit(settings.FATHOM_URL).netloc.encode()
    return [(b"host", host), *([(b"authorization", f"Bearer {token}".encode())] if token else [])]


def test_websockets(world: World) -> None:
    path = f"/ws/experiments/{world.ended.pk}/logs/"
    given = [world.bearers["charlie"], world.bearers["job"], CANARY, ""]
    codes = _ask(*(lambda token=token: _socket(path, _headers(token)) for token in given))
    assert codes == [4404, 4403, 4401, 4401]
    pk = str(world.ended.pk)
    assert told() == [
        ("charlie", "websocket", "logs", EXPERIMENT, pk, "not_found"),
        ("alice", "websocket", "logs", EXPERIMENT, pk, "forbidden"),
        ("anonymous", "websocket", "authenticate", "accounts.apitoken", "", "not_authenticated"),
    ]
    job = denied()[1]
    assert (job.on_behalf_of, job.ip) == (f"run:{pk} of alice", "127.0.0.1")
    assert_unknown(CANARY)


def test_metric_batches(world: World) -> None:
    pk = str(world.ended.pk)
    url, body = f"/api/v2/runs/{pk}/log-batch/", b'{"metrics":[{"key":"m","value":1.0}]}'
    given = [world.bearers["dana"], world.bearers["bob"], world.bearers["charlie"], CANARY, ""]
    codes = _ask(*(lambda token=token: _http(asgi.application, "POST", url, _headers(token), body) for token in given))
    assert codes == [200, 403, 404, 401, 401]
    assert told() == [
        ("bob", "api", "log", "tracking.run", pk, "forbidden"),
        ("charlie", "api", "log", "tracking.run", pk, "not_found"),
        ("anonymous", "api", "authenticate", "accounts.apitoken", "", "not_authenticated"),
    ]
    assert_unknown(CANARY)


def test_links_to_files(world: World) -> None:
    def link(user: User) -> str:
        whole = tickets.link(world.ended.pk, world.artifact.path, by=user)
        return whole.removeprefix(settings.FATHOM_CONTENT_URL)

    urls = [link(world.cast.alice), link(world.cast.charlie), link(world.cast.ivan), link(world.cast.alice)[:-1] + "?"]
    urls.append(urls[0].partition("?")[0])
    codes = _ask(*(lambda url=url: _http(content.application, "GET", url, []) for url in urls))
    assert codes == [200, 404, 401, 401, 401]
    pk = str(world.ended.pk)
    assert told() == [
        ("charlie", "content", "view", "tracking.run", pk, "not_found"),
        ("ivan", "content", "view", "tracking.run", pk, "not_authenticated"),
        ("anonymous", "content", "view", "tracking.run", pk, "not_authenticated"),
    ]
    assert_unknown(*(url.partition("ticket=")[2] for url in urls if "ticket=" in url))


def test_a_shared_object_that_is_no_longer_shared(cast: Cast, experiment: Experiment) -> None:
    share(experiment, cast.dana)
    Membership.objects.filter(user=cast.alice).delete()
    assert browser_of(cast.dana).post(reverse("experiment-delete", args=[experiment.pk])).status_code == 403
    assert told() == [("dana", "portal", "delete", EXPERIMENT, str(experiment.pk), "forbidden")]
