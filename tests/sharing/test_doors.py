"""The doors of sharing: API, pages and the operators' page, each with what could leak."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apps.access import policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.audit.models import AuditEvent
from apps.sharing import services as sharing
from apps.sharing.models import AccessRequest, UnknownName
from apps.teams import services as teams
from apps.tracking.models import Project, ProjectUserGrant
from tests.factories import Stage
from tests.matrix.asking import without_ids
from tests.people import Cast, browser_of, submit

API = "/api/v2/access"
As = Callable[..., APIClient]


@pytest.fixture
def project(cast: Cast) -> Project:
    made: Project = Project.objects.create(name="sesame", owner=cast.alice, team=cast.team, visibility="team")
    return made


@pytest.fixture
def as_(cast: Cast) -> As:
    def make(name: str, *scopes: str) -> APIClient:
        client = APIClient()
        chosen = scopes or (("admin",) if name == "sre" else ("all",))
        token = accounts.issue_token(cast.people[name], by=SYSTEM, name="t", scopes=chosen)[1]
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return client

    return make


def held(cast: Cast, name: str, project: Project) -> Role:
    return policy.role_of(cast.again(name), Project.objects.get(pk=project.pk))


# --- API --------------------------------------------------------------------------------------------------------------


def test_share_look_change_and_end(cast: Cast, project: Project, as_: As) -> None:
    alice, url = as_("alice"), f"{API}/project/{project.pk}/"
    until = (timezone.now() + timedelta(days=7)).replace(microsecond=0)
    given = alice.put(f"{url}shares/user/charlie/", {"role": "editor", "expires_at": until, "reason": "x"}, "json")
    lines = {line["name"]: line for line in given.json()["results"]}
    assert lines["charlie"] == {
        "kind": "user", "name": "charlie", "role": "editor", "through": "through a share",
        "expires_at": f"{until:%Y-%m-%dT%H:%M:%S}.000000Z", "granted_by": "alice", "is_share": True,
    }  # fmt: skip
    assert held(cast, "charlie", project) is Role.EDITOR
    seen = as_("charlie").get(url).json()
    assert (seen["owner"], seen["team"], seen["visibility"], seen["role"]) == ("alice", "vision", "team", "editor")
    assert alice.put(f"{url}shares/team/speech/", {"role": "viewer"}, "json").status_code == 200
    assert held(cast, "olaf", project) is Role.VIEWER
    assert alice.patch(url, {"visibility": "organization"}, "json").status_code == 204
    assert alice.delete(f"{url}shares/user/charlie/").status_code == 204
    assert alice.delete(f"{url}shares/user/charlie/").status_code == 204
    assert as_("charlie").get(url).status_code == 404
    assert alice.post(f"{url}owner/", {"to": "mia"}, "json").status_code == 204
    project.refresh_from_db()
    assert project.owner == cast.mia


def test_every_page_of_a_long_list_is_reached(cast: Cast, project: Project, as_: As) -> None:
    alice = as_("alice")
    whole = alice.get(f"{API}/project/{project.pk}/").json()["results"]
    rest = alice.get(f"{API}/project/{project.pk}/?offset=2").json()["results"]
    assert rest == whole[2:]
    assert alice.get(f"{API}/project/{project.pk}/?offset=x").status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "owner"}, "role"),
        ({}, "role"),
        ({"role": "viewer", "expires_at": "yesterday"}, "expires_at"),
        ({"role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
    ],
)
def test_wrong_input_is_named(project: Project, as_: As, body: dict[str, Any], field: str) -> None:
    answer = as_("alice").put(f"{API}/project/{project.pk}/shares/user/charlie/", body, "json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not ProjectUserGrant.objects.exists()


def test_unknown_names_are_counted_whatever_the_request_carries(cast: Cast, project: Project, as_: As) -> None:
    """An Idempotency-Key opens a transaction in which a refusal takes everything back: not the count."""
    alice = as_("alice")
    for number in range(20):
        url = f"{API}/project/{project.pk}/shares/user/nobody-{number}/"
        assert alice.put(url, {"role": "viewer"}, "json", HTTP_IDEMPOTENCY_KEY=f"k{number}").status_code == 400
    assert UnknownName.objects.filter(by=cast.alice).count() == 20
    answer = alice.put(f"{API}/project/{project.pk}/shares/user/charlie/", {"role": "viewer"}, "json")
    assert (answer.status_code, "Retry-After" in answer) == (429, True)
    assert not ProjectUserGrant.objects.exists()


@pytest.mark.parametrize("kind", ["project", "run", "experiment", "team", "user", "no-such-kind"])
def test_what_is_hidden_answers_like_what_never_was(cast: Cast, stage: Stage, as_: As, kind: str) -> None:
    experiment = submit(cast.alice, team="vision", name="sesame")
    there = experiment.run.project_id if kind == "project" else experiment.pk
    charlie = as_("charlie")
    for method, tail, body in (
        ("get", "", None), ("patch", "", {"visibility": "public"}), ("get", "why/", None), ("get", "why/?user=alice", None),
        ("put", "shares/user/charlie/", {"role": "manager"}), ("delete", "shares/user/alice/", None),
        ("post", "owner/", {"to": "charlie"}), ("post", "requests/", {"role": "editor"}),
    ):  # fmt: skip
        answers = []
        for pk in (there, uuid4()):
            answer = getattr(charlie, method)(f"{API}/{kind}/{pk}/{tail}", body, "json")
            answers.append((answer.status_code, without_ids(answer.content), sorted(answer.headers)))
        assert answers[0] == answers[1], (method, tail)
        assert b"sesame" not in answers[0][1]
        assert answers[0][0] == (202 if tail == "requests/" and kind in {"project", "run", "experiment"} else 404)
    assert {one.by for one in AccessRequest.objects.all()} <= {cast.charlie}


def test_why_about_oneself_and_others(cast: Cast, project: Project, as_: As) -> None:
    url = f"{API}/project/{project.pk}/why/"
    mine = as_("bob", "read").get(url + "?action=edit").json()
    assert mine == {
        "user": "bob", "action": "edit", "needs": "editor", "allowed": False, "role": "viewer",
        "paths": [{"role": "viewer", "through": "through team vision, viewer", "expires_at": None}],
        "missing": [
            "Edit needs editor; the role is viewer.", "The token lacks the scope project:edit.",
            "No share reaches this person.",
        ],
        "scopes": ["read"],
    }  # fmt: skip
    assert as_("bob").get(url + "?user=mia").status_code == 403
    for asker in ("alice", "mia", "sre", "aud"):
        told = as_(asker).get(url + "?user=charlie").json()
        assert (told["allowed"], told["role"], told["paths"]) == (False, "none", [])
        assert "Not a member of team vision." in told["missing"]
    assert as_("alice").get(url + "?user=nobody").status_code == 400
    assert as_("alice").get(url + "?action=fly").status_code == 400


def test_asking_why_tells_no_more_names_than_sharing_does(cast: Cast, project: Project, as_: As) -> None:
    """Everybody manages a project of his own, and could ask about every name there might be."""
    teams.create_service_account(cast.other_team, name="ci", by=SYSTEM)
    mine, others = as_("charlie"), Project.objects.create(name="mine", owner=cast.charlie)
    url = f"{API}/project/{others.pk}/why/"
    answers = [mine.get(f"{url}?user={name}") for name in ("svc.speech.ci", "ivan", "nobody")]
    assert [(one.status_code, one.json()["errors"]) for one in answers] == [
        (400, {"user": ["There is nobody of this name."]})
    ] * 3
    for number in range(17):
        assert mine.get(f"{url}?user=nobody-{number}").status_code == 400
    assert mine.get(f"{url}?user=alice").status_code == 429
    assert browser_of(cast.charlie).get(page("project", others.pk), {"why": "alice"}).text.count("Too many names") == 1
    # Whom one knows one may ask about without end; who reads everything, about everybody.
    assert (
        as_("mia").get(f"{API}/project/{project.pk}/why/?user=ivan").json()["missing"][1] == "The account is disabled."
    )
    for name in ("sre", "aud"):
        assert as_(name).get(f"{url}?user=svc.speech.ci").json()["allowed"] is False


def test_requests_are_listed_to_the_right_people(cast: Cast, project: Project, as_: As) -> None:
    assert as_("charlie").post(f"{API}/project/{project.pk}/requests/", {"role": "editor"}, "json").status_code == 202
    listed = {
        (name, mine): len(as_(name).get(f"{API}/requests/?mine={mine}").json()["results"])
        for name in ("alice", "mia", "bob", "charlie", "olaf", "sre", "aud")
        for mine in (0, 1)
    }
    assert {key for key, count in listed.items() if count} == {("alice", 0), ("mia", 0), ("sre", 0), ("charlie", 1)}
    (found,) = as_("mia").get(f"{API}/requests/?state=open").json()["results"]
    assert as_("mia").get(f"{API}/requests/?state=granted").json()["results"] == []
    assert as_("mia").get(f"{API}/requests/?state=x").status_code == 400
    done = as_("mia").post(f"{API}/requests/{found['id']}/grant/", {"role": "viewer", "note": "ok"}, "json").json()
    assert (done["state"], done["decided_by"], done["note"]) == ("granted", "mia", "ok")
    assert held(cast, "charlie", project) is Role.VIEWER
    again = as_("alice").post(f"{API}/requests/{found['id']}/refuse/", {}, "json")
    assert again.status_code == 409


def test_shared_with_me_is_what_others_shared(cast: Cast, stage: Stage, as_: As) -> None:
    """Not what the team, the visibility or oneself gives; and never what one may not see."""
    given, through, public, ended = (submit(cast.alice, name=name, team="vision") for name in "abcd")
    own = submit(cast.charlie, name="own")
    sharing.share(given, cast.charlie, "viewer", by=cast.alice)
    sharing.share(through, cast.other_team.group, "viewer", by=cast.alice)
    sharing.set_visibility(public, "public", by=cast.alice)
    sharing.share(ended, cast.charlie, "viewer", by=cast.alice)
    sharing.unshare(ended, cast.charlie, by=cast.alice)
    assert own.pk
    for name, seen in (("charlie", [given]), ("olaf", [through]), ("bob", []), ("alice", [])):
        for url in ("/api/v2/experiments/", "/api/v2/runs/"):
            found = as_(name).get(f"{url}?shared=true").json()["results"]
            assert [one["id"] for one in found] == [str(one.pk) for one in seen], (name, url)
        page_ids = browser_of(cast.people[name]).get("/experiments/?shared=1").text
        assert [str(one.pk) in page_ids for one in (given, through, public)] == [
            one in seen for one in (given, through, public)
        ]


def test_a_repeated_grant_is_answered_again(cast: Cast, project: Project, as_: As) -> None:
    asked = sharing.request_access("project", project.pk, by=cast.again("charlie"))
    mia = as_("mia")
    answers = [mia.post(f"{API}/requests/{asked.pk}/grant/", {}, "json", HTTP_IDEMPOTENCY_KEY="same") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert AuditEvent.objects.filter(action="share").count() == 1


# --- pages ------------------------------------------------------------------------------------------------------------


def page(kind: str, pk: Any, tail: str = "") -> str:
    return f"/share/{kind}/{pk}/{tail}"


def test_the_sheet_offers_what_one_may(cast: Cast, project: Project) -> None:
    alice = browser_of(cast.alice).get(page("project", project.pk)).text
    bob = browser_of(cast.bob).get(page("project", project.pk)).text
    assert "through team vision, maintainer" in alice
    assert "through team vision, maintainer" in bob
    forms = ("share-add", "share-visibility", "share-owner")
    urls = {name: reverse(name, args=["project", project.pk]) for name in forms}
    assert [url in alice for url in urls.values()] == [True] * 3
    assert [url in bob for url in urls.values()] == [False] * 3
    assert "Ask for a higher role" in bob
    assert urls["share-owner"] not in browser_of(cast.mia).get(page("project", project.pk)).text


def test_sharing_by_form(cast: Cast, project: Project) -> None:
    browser = browser_of(cast.alice)
    add = page("project", project.pk, "add/")
    whom = {"kind": "user", "name": "charlie", "role": "viewer"}
    assert browser.post(add, {**whom, "expires": "7"}).status_code == 302
    first = ProjectUserGrant.objects.get()
    assert first.expires_at is not None
    browser.post(add, {**whom, "role": "editor", "expires": "keep"})
    row = ProjectUserGrant.objects.get()
    assert (row.permission.codename, row.expires_at) == ("hold_editor", first.expires_at)
    browser.post(add, {**whom, "role": "editor", "expires": ""})
    assert ProjectUserGrant.objects.get().expires_at is None
    wrong = browser.post(add, {**whom, "name": "nobody"})
    assert (wrong.status_code, "There is nobody of this name" in wrong.text, 'value="nobody"' in wrong.text) == (
        400, True, True,
    )  # fmt: skip
    browser.post(page("project", project.pk, "remove/"), {"kind": "user", "name": "charlie"})
    assert not ProjectUserGrant.objects.exists()


def test_ending_a_share_that_is_none_does_not_tell_who_exists(cast: Cast, project: Project) -> None:
    """It counts no unknown names, as sharing does: it must not be an endless way to ask for them."""
    told = []
    for kind, name in (("user", "charlie"), ("user", "ivan"), ("user", "nobody"), ("team", "speech"), ("team", "none")):
        browser = browser_of(cast.alice)
        answer = browser.post(page("project", project.pk, "remove/"), {"kind": kind, "name": name}, follow=True)
        told.append(answer.text)
        assert "has ended" not in answer.text, name
    assert len({without_ids(text.encode()) for text in told}) == 1


def test_htmx_gets_the_sheet_alone_and_errors_in_it(cast: Cast, project: Project) -> None:
    browser = browser_of(cast.alice)
    hx = {"HTTP_HX_REQUEST": "true"}
    shown = browser.get(page("project", project.pk), **hx)
    assert shown.text.lstrip().startswith('<div class="share"')
    assert "HX-Request" in shown["Vary"]
    wrong = browser.post(
        page("project", project.pk, "add/"), {"kind": "user", "name": "nobody", "role": "viewer"}, **hx
    )
    assert (wrong.status_code, "There is nobody of this name" in wrong.text) == (200, True)
    mia = browser_of(cast.mia)
    left = mia.post(page("project", project.pk, "visibility/"), {"visibility": "private"}, **hx)
    assert left["HX-Redirect"] == "/"
    project.refresh_from_db()
    assert project.visibility == "private"


def test_why_on_the_sheet(cast: Cast, project: Project) -> None:
    told = browser_of(cast.alice).get(page("project", project.pk), {"why": "charlie"}).text
    assert "may not see it" in told
    assert "Not a member of team vision." in told
    unknown = browser_of(cast.alice).get(page("project", project.pk), {"why": "zed"}).text
    assert "There is nobody of this name." in unknown
    assert "may not see it" not in browser_of(cast.bob).get(page("project", project.pk), {"why": "charlie"}).text


def test_a_page_that_cannot_be_seen_offers_to_ask_whether_or_not_it_exists(cast: Cast, stage: Stage) -> None:
    experiment = submit(cast.alice, team="vision", name="sesame")
    answers = []
    for pk in (experiment.pk, uuid4()):
        browser = browser_of(cast.charlie)
        refused = browser.get(f"/experiments/{pk}/")
        form = browser.get(page("experiment", pk, "ask/"))
        sent = browser.post(page("experiment", pk, "ask/"), {"role": "viewer", "message": "please"})
        answers.append(
            [(one.status_code, without_ids(one.content), one.get("Location")) for one in (refused, form, sent)]
        )
        assert page("experiment", pk, "ask/") in refused.text
    assert answers[0] == answers[1]
    assert b"sesame" not in b"".join(one[1] for one in answers[0])
    assert "sesame" not in browser.get("/requests/").text
    assert AccessRequest.objects.open().count() == 2


def test_managers_find_and_decide_requests(cast: Cast, project: Project) -> None:
    asked = sharing.request_access("project", project.pk, by=cast.again("charlie"), message="<b>for</b> the paper")
    for name, count in (("alice", True), ("mia", True), ("bob", False), ("olaf", False)):
        home = browser_of(cast.people[name]).get("/requests/").text
        assert ('class="count"' in home, "charlie" in home) == (count, count)
    assert "&lt;b&gt;for&lt;/b&gt; the paper" in browser_of(cast.mia).get("/requests/").text
    assert "charlie" in browser_of(cast.mia).get(page("project", project.pk)).text
    url = reverse("request-decide", args=[asked.pk])
    assert browser_of(cast.bob).post(url, {"granted": "1"}).status_code == 404
    assert browser_of(cast.mia).post(url, {"granted": "1", "role": "editor"}).status_code == 302
    assert held(cast, "charlie", project) is Role.EDITOR
    assert 'class="count"' not in browser_of(cast.mia).get("/requests/").text


def test_the_badge_costs_the_same_however_much_waits(cast: Cast, project: Project) -> None:
    from apps.sharing.templatetags.sharing import waiting_requests

    class Request:
        user = cast.again("alice")

    def asked() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            found = waiting_requests({"request": Request})
        return found, len(queries)

    assert asked() == (0, 1)
    costs = set()
    for number in range(3):
        other = Project.objects.create(name=f"p{number}", owner=cast.alice, visibility="private")
        sharing.request_access("project", other.pk, by=cast.again("charlie"))
        asked()  # memberships are read once
        found, cost = asked()
        assert found == number + 1
        costs.add(cost)
    assert len(costs) == 1
    assert costs.pop() <= 7  # the kinds that can be shared, and two


# --- the operators' page ----------------------------------------------------------------------------------------------


def why_url(kind: str, pk: Any, **more: str) -> str:
    query = "&".join(f"{key}={value}" for key, value in {"kind": kind, "id": str(pk), **more}.items())
    return f"{reverse('admin:sharing_why')}?{query}"


def test_operators_ask_why_not(cast: Cast, project: Project, sre: Client) -> None:
    told = sre.get(why_url("project", project.pk, user="charlie")).text
    assert "charlie may not view sesame" in told
    assert "Not a member of team vision." in told
    assert "through team vision, maintainer" in told
    assert "There is no such object" in sre.get(why_url("project", uuid4(), user="charlie")).text
    assert "There is nobody of this name" in sre.get(why_url("project", project.pk, user="zed")).text
    for label in ("alice", "charlie"):
        assert sre.get(why_url("project", project.pk, user=label, action="fly")).status_code == 200


def test_operators_share_with_a_reason(cast: Cast, project: Project, sre: Client) -> None:
    url = why_url("project", project.pk)
    whom = {"subject_kind": "user", "name": "charlie", "role": "editor"}
    sre.post(url, {"do": "share", **whom, "reason": ""})
    assert not ProjectUserGrant.objects.exists()
    sre.post(url, {"do": "share", **whom, "reason": "ticket 7"})
    assert held(cast, "charlie", project) is Role.EDITOR
    sre.post(url, {"do": "visibility", "visibility": "public", "reason": "ticket 8"})
    sre.post(url, {"do": "unshare", **whom, "reason": "ticket 9"})
    reasons = AuditEvent.objects.filter(actor=cast.sre, object_id=str(project.pk)).order_by("id")
    assert list(reasons.values_list("action", "reason")) == [
        ("share", "ticket 7"), ("set_visibility", "ticket 8"), ("unshare", "ticket 9"),
    ]  # fmt: skip


def test_an_auditor_reads_the_page_and_changes_nothing(cast: Cast, project: Project) -> None:
    browser = browser_of(cast.aud)
    assert "alice may view sesame" in browser.get(why_url("project", project.pk, user="alice")).text
    answer = browser.post(
        why_url("project", project.pk),
        {"do": "share", "subject_kind": "user", "name": "charlie", "role": "viewer", "reason": "x"},
    )
    assert (answer.status_code, ProjectUserGrant.objects.exists()) == (403, False)


def test_pages_of_people_and_objects_lead_there(cast: Cast, project: Project, sre: Client) -> None:
    person = sre.get(reverse("admin:accounts_user_change", args=[cast.charlie.pk])).text
    assert f"{reverse('admin:sharing_why')}?user=charlie" in person
    thing = sre.get(reverse("admin:tracking_project_change", args=[project.pk])).text
    assert f"{reverse('admin:sharing_why')}?kind=project&amp;id={project.pk}" in thing


def test_operators_decide_requests(cast: Cast, project: Project, sre: Client) -> None:
    asked = sharing.request_access("project", project.pk, by=cast.again("charlie"), role="editor")
    data = {"action": "grant_requests", "_selected_action": str(asked.pk), "_confirmed": "1", "reason": "urgent"}
    sre.post(reverse("admin:sharing_accessrequest_changelist"), data)
    asked.refresh_from_db()
    assert (asked.state, asked.note, held(cast, "charlie", project)) == ("granted", "urgent", Role.EDITOR)


@pytest.fixture
def sre(cast: Cast) -> Client:
    return browser_of(cast.sre)
