"""Reading the trail: filters, export, each object's own history, and who may."""

import csv
import io
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.access import auditing
from apps.access.principal import SYSTEM
from apps.accounts import acting
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import export
from apps.audit import services as audit
from apps.audit.export import Format
from apps.audit.models import AuditEvent
from apps.core.errors import NotAllowed
from apps.core.middleware import RequestContext, current_request
from apps.experiments import services as experiments
from apps.teams import services as teams
from apps.teams.models import Membership, Organization
from tests.access.judged import behind
from tests.people import Cast, browser_of, fake_cluster, submit

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def script_of(user: User, scopes: tuple[str, ...] = ()) -> Client:
    """A script with a token; an admin's acts as one."""
    chosen = scopes or (("all", "admin") if user.platform_role == "admin" else ("all",))
    token = accounts.issue_token(user, by=SYSTEM, name="t", scopes=chosen)[1]
    return Client(headers={"Authorization": f"Bearer {token}"})


def asked(client: Client, **query: Any) -> list[int]:
    answer = client.get(reverse("api-audit"), query)
    assert answer.status_code == 200, answer.content
    return [event["id"] for event in answer.json()["results"]]


def pks(**only: Any) -> list[int]:
    return list(AuditEvent.objects.filter(**only).order_by("-pk").values_list("pk", flat=True))[:50]


@pytest.fixture
def trail(cast: Cast) -> Cast:
    """Some events: by mia in her team, by sre on the platform, something denied, and what triggers saw."""
    held = current_request.set(RequestContext("request-7", "10.0.0.7", "api"))
    teams.set_member(cast.team, cast.charlie, role="viewer", by=behind(cast.mia, scopes=["all"]))
    audit.record_denied(cast.bob, "manage", cast.team, NotAllowed("You are viewer of this team."))
    current_request.reset(held)
    teams.create_organization(slug="far", name="Far", by=cast.sre)
    return cast


def test_filters(trail: Cast) -> None:
    script = script_of(trail.sre)
    acme = trail.organization.pk
    assert asked(script, action="set_member", object_id=trail.team.pk) == pks(
        action="set_member", object_id=trail.team.pk
    )
    assert asked(script, organization="acme") == pks(organization_id=acme)
    assert asked(script, organization="platform") == pks(organization_id=None)
    assert asked(script, outcome="denied") == pks(outcome="denied") != []
    assert asked(script, origin="database", object_type="teams.organization") == pks(
        origin="database", object_type="teams.organization"
    )
    assert asked(script, request_id="request-7") == pks(request_id="request-7")
    far = AuditEvent.objects.filter(actor=trail.sre).latest("pk")
    assert asked(script, txid=far.txid) == pks(txid=far.txid)
    now = timezone.now()
    assert (
        asked(script, since=(now - timedelta(hours=1)).isoformat(), until=(now + timedelta(hours=1)).isoformat())
        == pks()
    )
    assert asked(script, since=(now + timedelta(hours=1)).isoformat()) == []
    assert asked(script, until="2001-01-01") == []


def test_what_somebody_did_includes_what_the_database_saw(committed: None) -> None:
    from tests.people import make_cast

    cast = make_cast()
    held = current_request.set(RequestContext("", None, "api"))
    teams.set_member(cast.team, cast.charlie, role="viewer", by=cast.mia)
    current_request.reset(held)
    found = asked(script_of(cast.sre), actor="mia")
    events = AuditEvent.objects.filter(pk__in=found)
    assert sorted({event.data.get("table", event.action) for event in events}) == [
        "accounts_user_groups", "set_member", "teams_membership",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [{"since": "soon"}, {"until": "2026-13-40"}, {"outcome": "maybe"}, {"origin": "x"}, {"organization": "none"}, {"txid": "-1"}, {"txid": "9" * 30}],
)  # fmt: skip
def test_a_filter_that_cannot_be_is_refused(cast: Cast, query: dict[str, str]) -> None:
    for name in ("api-audit", "api-audit-export"):
        answer = script_of(cast.sre).get(reverse(name), query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    with pytest.raises(CommandError):
        call_command("audit", "export", **{next(iter(query)): next(iter(query.values()))})


def test_pages_follow_each_other(trail: Cast) -> None:
    script = script_of(trail.sre)
    url, found = reverse("api-audit") + "?limit=7", []
    while url:
        page = script.get(url).json()
        found += [event["id"] for event in page["results"]]
        url = page["next"]
    assert found == list(AuditEvent.objects.order_by("-pk").values_list("pk", flat=True))


def test_an_event_says_all_of_it(trail: Cast) -> None:
    event = AuditEvent.objects.get(action="set_member", actor=trail.mia)
    (told,) = (
        script_of(trail.sre)
        .get(reverse("api-audit"), {"action": "set_member", "actor": "mia", "origin": "api"})
        .json()["results"]
    )
    assert told == {
        "id": event.pk, "at": event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "organization": "acme", "actor": "mia",
        "on_behalf_of": "", "token_id": str(event.token_id) if event.token_id else None, "origin": "api", "ip": "10.0.0.7",
        "request_id": "request-7", "action": "set_member", "object_type": "teams.team", "object_id": str(trail.team.pk),
        "object_label": "Vision", "outcome": "ok", "reason": "",
        "data": {"user": "charlie", "role": "viewer", "before": "", "source": "hand"},
        "txid": event.txid,
    }  # fmt: skip


@pytest.mark.parametrize(("who", "code"), [("alice", 403), ("mia", 403), ("sre", 200), ("aud", 200)])
def test_who_reads_the_trail(trail: Cast, who: str, code: int) -> None:
    for name in ("api-audit", "api-audit-export"):
        assert script_of(trail.people[who]).get(reverse(name)).status_code == code
    assert script_of(trail.aud, ("run:view",)).get(reverse("api-audit")).json()["code"] == "insufficient_scope"
    assert script_of(trail.aud, ("audit:view",)).get(reverse("api-audit")).status_code == 200
    assert script_of(trail.aud, ("audit:view",)).get(reverse("api-audit-export")).status_code == 403
    assert script_of(trail.sre, ("all",)).get(reverse("api-audit")).status_code == 403  # does not act as an admin


def test_an_auditor_reads_the_trail_in_the_admin(trail: Cast) -> None:
    browser = browser_of(trail.aud)
    assert browser.get(reverse("admin:audit_auditevent_changelist")).status_code == 200
    assert browser.get(reverse("admin:audit_auditevent_export", args=["csv"])).status_code == 200
    assert set(auditing.events(trail.again("aud"))) == set(AuditEvent.objects.all())


# Export


def rows_of(form: Format, body: bytes) -> list[dict[str, Any]]:
    text = body.decode()
    if form is Format.CSV:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("form", list(Format))
def test_export_holds_every_event_once_however_many(trail: Cast, form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK", 7)
    script = script_of(trail.sre)
    answer = script.get(reverse("api-audit-export"), {"format": form.value})
    expected = list(AuditEvent.objects.order_by("pk").values_list("pk", flat=True))
    body = b"".join(answer.streaming_content)  # type: ignore[arg-type]
    assert answer["Content-Type"] == form.content_type
    assert [int(row["id"]) for row in rows_of(form, body)] == expected
    assert set(rows_of(form, body)[0]) == set(export.COLUMNS)


@pytest.mark.parametrize("door", ["api", "admin"])
def test_an_export_under_way_ends_with_the_right_to_read(
    trail: Cast, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CHUNK", 1)
    monkeypatch.setattr(acting, "JUDGED_AGAIN_SECONDS", 0)
    client = script_of(trail.aud) if door == "api" else browser_of(trail.aud)
    url = reverse("api-audit-export") if door == "api" else reverse("admin:audit_auditevent_export", args=["ndjson"])
    pieces = iter(client.get(url).streaming_content)  # type: ignore[arg-type]
    assert next(pieces)
    assert next(pieces)
    accounts.set_platform_role(trail.aud, "", by=SYSTEM)
    with pytest.raises(ConnectionAbortedError):
        next(pieces)


def test_export_is_filtered_as_the_list_is(trail: Cast) -> None:
    answer = script_of(trail.sre).get(reverse("api-audit-export"), {"outcome": "denied"})
    (row,) = rows_of(Format.NDJSON, b"".join(answer.streaming_content))  # type: ignore[arg-type]
    assert (row["actor_label"], row["organization"], row["data"]["code"]) == ("bob", "acme", "forbidden")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_spreadsheet_calculates_nothing_of_what_is_exported(cast: Cast, formula: str) -> None:
    User.objects.filter(pk=cast.alice.pk).update(username=formula)
    cast.alice.refresh_from_db()
    audit.record(formula, cast.alice, by=cast.alice, reason=formula)
    events = AuditEvent.objects.filter(action=formula)
    (row,) = rows_of(Format.CSV, b"".join(export.stream(events, Format.CSV)))
    assert {row[name] for name in ("actor_label", "action", "object_label", "reason")} == {f"'{formula}"}
    assert not [cell for cell in row.values() if cell.startswith(tuple("=+-@\t\r"))]
    (plain,) = rows_of(Format.NDJSON, b"".join(export.stream(events, Format.NDJSON)))
    assert plain["reason"] == formula  # for programs it is what it is


def test_export_in_the_admin_is_the_list_as_filtered(trail: Cast) -> None:
    browser = browser_of(trail.sre)
    url = reverse("admin:audit_auditevent_export", args=["ndjson"])
    for query, expected in (
        ({}, AuditEvent.objects.all()),
        ({"outcome": "denied"}, AuditEvent.objects.filter(outcome="denied")),
        ({"organization": "far"}, AuditEvent.objects.filter(organization_id=Organization.objects.get(slug="far").pk)),
        ({"actor": "bob"}, AuditEvent.objects.filter(actor=trail.bob)),
        ({"q": "Vision"}, AuditEvent.objects.filter(object_label="Vision")),
        ({"since": "2001-01-01", "until": "2001-01-02"}, AuditEvent.objects.none()),
    ):
        body = b"".join(browser.get(url, query).streaming_content)  # type: ignore[arg-type]
        found = [row["id"] for row in rows_of(Format.NDJSON, body)]
        assert found == list(expected.order_by("pk").values_list("pk", flat=True)), query
    assert browser.get(url.replace("ndjson", "xlsx")).status_code == 404


def test_the_list_in_the_admin_offers_its_filters_and_exports(trail: Cast) -> None:
    browser = browser_of(trail.sre)
    url = reverse("admin:audit_auditevent_changelist")
    page = browser.get(url, {"actor": "bob", "outcome": "denied", "since": "2026-01-01"}).text
    for piece in ('name="actor" value="bob"', 'type="date"', "export/csv/?actor=bob", ">acme<", ">denied<", "manage"):
        assert piece.lower() in page.lower(), piece
    assert "style=" not in page.partition("<main")[2]
    assert browser.get(url, {"since": "not a day"}).status_code == 200
    event = AuditEvent.objects.filter(actor=trail.sre).latest("pk")
    single = browser.get(reverse("admin:audit_auditevent_change", args=[event.pk])).text
    assert f"?txid={event.txid}" in single
    assert browser.get(url, {"txid": event.txid}).status_code == 200


def test_the_command_exports(trail: Cast) -> None:
    out = io.StringIO()
    call_command("audit", "export", "--format", "csv", "--organization", "acme", stdout=out)
    found = [int(row["id"]) for row in rows_of(Format.CSV, out.getvalue().encode())]
    assert found == list(
        AuditEvent.objects.filter(organization_id=trail.organization.pk).order_by("pk").values_list("pk", flat=True)
    )


def _queries(client: Client, url: str, query: dict[str, Any]) -> int:
    client.get(url, query)
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url, query)
        if answer.streaming:
            b"".join(answer.streaming_content)  # type: ignore[arg-type]
    return len(captured)


def test_queries_do_not_grow_with_the_rows(trail: Cast) -> None:
    script, browser = script_of(trail.sre), browser_of(trail.sre)
    places = [
        (script, reverse("api-audit"), {"limit": 200}),
        (script, reverse("api-team-history", args=["vision"]), {"limit": 200}),
        (script, reverse("api-audit-export"), {}),
        (browser, reverse("admin:audit_auditevent_changelist"), {}),
        (browser, reverse("team-history", args=["vision"]), {}),
        (browser, reverse("admin:teams_team_history", args=[trail.team.pk]), {}),
    ]
    few = [_queries(*place) for place in places]
    for number in range(100):
        role = "member" if number % 2 else "viewer"
        teams.set_member(trail.team, trail.charlie, role=role, by=trail.mia)
        audit.record_denied(trail.people["bob"], f"act-{number}", trail.team, NotAllowed("no"))
    assert [_queries(*place) for place in places] == few
    assert max(few) <= 20


# History


def history(client: Client, kind: str, **names: Any) -> list[dict[str, Any]]:
    answer = client.get(reverse(f"api-{kind}-history", kwargs=names))
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_a_team_tells_its_own_history(committed: None) -> None:
    from tests.people import make_cast

    cast = make_cast()
    held = current_request.set(RequestContext("", "10.0.0.7", "portal"))
    teams.set_member(cast.team, cast.bob, role="member", by=cast.mia)
    current_request.reset(held)
    Membership.objects.filter(team=cast.team, user=cast.bob).update(role="maintainer")
    audit.record_denied(cast.charlie, "manage", cast.team, NotAllowed("no"))
    by_hand, intent = history(script_of(cast.alice), "team", slug="vision")[:2]
    assert (by_hand["actor"], by_hand["origin"], by_hand["action"]) == ("database", "database", "row.update")
    assert by_hand["changes"] == [
        {"table": "teams_membership", "action": "update", "before": {"role": "member"}, "after": {"role": "maintainer"}}
    ]
    assert (intent["actor"], intent["action"], intent["details"]) == (
        "mia",
        "set_member",
        {"user": "bob", "role": "member", "source": "hand"},
    )
    assert intent["changes"] == [
        {"table": "teams_membership", "action": "update", "before": {"role": "viewer"}, "after": {"role": "member"}}
    ]
    assert (intent["ip"], intent["token_id"]) == (None, None)
    seen = history(script_of(cast.sre), "team", slug="vision")
    assert [line["outcome"] for line in seen[:3]] == [
        "denied",
        "ok",
        "ok",
    ]  # what was denied is for auditors and admins
    assert seen[2]["ip"] == "10.0.0.7"


def test_an_experiment_and_its_run_have_one_history(cast: Cast) -> None:
    experiment = submit(cast.alice, team="vision", cluster={"name": fake_cluster().name})
    experiments.stop_experiment(experiment, by=cast.mia, reason="too long")
    for kind in ("experiment", "run"):
        lines = history(script_of(cast.bob), kind, id=experiment.pk)
        assert [(line["action"], line["actor"], line["reason"]) for line in lines] == [
            ("stop", "mia", "too long"),
            ("submit", "alice", ""),
        ]
    browser = browser_of(cast.bob)
    page = browser.get(reverse("experiment-history", args=[experiment.pk])).text
    assert "too long" in page
    assert "mia" in page


def test_a_token_tells_its_history_to_its_owner(cast: Cast) -> None:
    token, value = accounts.issue_token(cast.alice, by=cast.alice, name="mine")
    accounts.revoke_token(token, by=cast.alice, reason="lost")
    lines = history(script_of(cast.alice), "token", pk=token.pk)
    assert [(line["action"], line["reason"]) for line in lines] == [("revoke", "lost"), ("create", "")]
    assert {change["after"].get("digest") for line in lines for change in line["changes"]} <= {None, "changed"}
    assert value not in str(lines)
    assert token.digest not in str(lines)
    answer = script_of(cast.mia).get(reverse("api-token-history", args=[token.pk]))
    assert answer.status_code == 404


def test_history_of_others_is_not_to_be_had(cast: Cast) -> None:
    experiment = submit(cast.alice, team="vision", cluster={"name": fake_cluster().name})
    script = script_of(cast.charlie)
    hidden = script.get(reverse("api-run-history", args=[experiment.pk]))
    nothing = script.get(reverse("api-run-history", args=[uuid4()]))
    assert hidden.status_code == nothing.status_code == 404
    assert hidden.json() | {"request_id": ""} == nothing.json() | {"request_id": ""}


def test_another_objects_rows_of_the_same_transaction_are_not_shown(committed: None) -> None:
    from django.db import transaction

    from tests.people import make_cast

    cast = make_cast()
    with transaction.atomic():
        teams.set_member(cast.team, cast.charlie, role="viewer", by=cast.mia)
        User.objects.filter(pk=cast.sre.pk).update(email="sesame-74b1@example.org")
    lines = history(script_of(cast.alice), "team", slug="vision")
    assert "sesame-74b1" not in str(lines)
    assert AuditEvent.objects.filter(data__after__email="sesame-74b1@example.org").exists()


def test_the_admin_says_who_made_the_row_changes(committed: None) -> None:
    from tests.people import make_cast

    cast = make_cast()
    teams.set_member(cast.team, cast.charlie, role="viewer", by=cast.mia)
    browser = browser_of(cast.sre)
    page = browser.get(reverse("admin:accounts_user_history", args=[cast.charlie.pk])).text
    assert "mia" in page  # the group was noted under the person, the intent under the team


# Writing


def test_record_is_one_insert(cast: Cast, django_assert_num_queries: Any) -> None:
    experiment = submit(cast.alice, team="vision", cluster={"name": fake_cluster().name})
    with django_assert_num_queries(1):
        audit.record("stop", experiment, by=cast.alice)
    event = AuditEvent.objects.latest("pk")
    assert event.organization_id == cast.organization.pk


def test_on_whose_behalf(cast: Cast) -> None:
    run = behind(cast.alice, scopes=["all"], bound_to="run:1")
    audit.record("log", cast.team, by=run)
    held = current_request.set(RequestContext("", None, "command", on_behalf_of="root@host"))
    audit.record("sync", cast.team, by=SYSTEM)
    current_request.reset(held)
    told = AuditEvent.objects.order_by("-pk").values_list("actor_label", "on_behalf_of", "origin")[:2]
    assert list(told) == [("system", "root@host", "command"), ("alice", "run:1 of alice", "system")]
