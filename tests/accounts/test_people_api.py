"""The API of people: what a colleague sees, what an admin does, and that it costs the same for one and for many."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.access.principal import SYSTEM
from apps.accounts import recent, services
from apps.accounts.models import ApiToken, User
from apps.audit.models import AuditEvent
from apps.teams import services as teams
from apps.teams.models import Membership, Team
from tests.people import Cast


@pytest.fixture(autouse=True)
def _forget() -> None:
    recent._forget()


def client_of(user: User) -> APIClient:
    scopes = ["admin"] if user.platform_role == "admin" else ["all"]
    token = services.issue_token(user, by=SYSTEM, name="t", scopes=scopes)[1]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def names(client: APIClient, **query: str) -> set[str]:
    return {one["username"] for one in client.get("/api/v2/users/", query).json()["results"]}


def test_people_see_themselves_and_their_teams(cast: Cast) -> None:
    robot = teams.create_service_account(cast.team, name="ci", by=SYSTEM)
    team = {"alice", "bob", "mia", "ivan", robot.username}
    assert names(client_of(cast.bob)) == team
    assert names(client_of(cast.charlie)) == {"charlie"}
    assert names(client_of(cast.olaf)) == {"olaf"}
    everybody = set(cast.people) | {robot.username}
    assert names(client_of(cast.sre)) == names(client_of(cast.aud)) == everybody
    assert names(client_of(cast.bob), q="AL") == {"alice"}


def test_of_colleagues_only_the_name_is_told(cast: Cast) -> None:
    User.objects.filter(username="alice").update(email="alice@example.org", first_name="Alice")
    seen = client_of(cast.bob).get("/api/v2/users/alice/").json()
    private = {"email", "platform_role", "is_active", "last_login", "date_joined"}
    assert {name for name, value in seen.items() if value is None} == {*private, "service_of"}
    assert seen["first_name"] == "Alice"
    for reader in (cast.alice, cast.sre, cast.aud):
        assert client_of(reader).get("/api/v2/users/alice/").json()["email"] == "alice@example.org"


def test_who_may_not_be_seen_looks_like_nobody(cast: Cast) -> None:
    client = client_of(cast.charlie)
    answers = [client.get(f"/api/v2/users/{name}/") for name in ("alice", "no-such")]
    answers += [
        client.post(f"/api/v2/users/{name}/disable/", {"reason": "x"}, format="json") for name in ("alice", "no-such")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_nobody_but_an_admin_learns_which_names_are_taken(cast: Cast) -> None:
    for name in ("alice", "free", ""):
        answer = client_of(cast.mia).post("/api/v2/users/", {"username": name}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_an_admin_makes_and_changes_people(cast: Cast) -> None:
    client = client_of(cast.sre)
    made = client.post("/api/v2/users/", {"username": "newt", "email": "n@example.org"}, format="json")
    assert (made.status_code, made.json()["email"]) == (201, "n@example.org")
    refused = client.patch("/api/v2/users/newt/", {"platform_role": "auditor"}, format="json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["reason"])
    changed = client.patch("/api/v2/users/newt/", {"platform_role": "auditor", "reason": "audits"}, format="json")
    assert changed.json()["platform_role"] == "auditor"
    assert AuditEvent.objects.get(action="set_platform_role", object_label="newt").reason == "audits"
    assert client.post("/api/v2/users/", {"username": "NEWT"}, format="json").status_code == 400


@pytest.mark.parametrize("name", ["a/b", "import", "svc.x"])
def test_names_that_are_words_of_the_platform(name: str, cast: Cast) -> None:
    assert client_of(cast.sre).post("/api/v2/users/", {"username": name}, format="json").status_code == 400


def test_an_offboarding_by_key_is_previewed_and_then_done_once(cast: Cast) -> None:
    client = client_of(cast.sre)
    url, told = "/api/v2/users/bob/offboard/", {"reason": "left", "memberships": "end"}
    preview = client.post(f"{url}?dry_run=true", told, format="json", HTTP_IDEMPOTENCY_KEY="look")
    assert preview.json()["dry_run"] is True
    assert User.objects.get(username="bob").is_active
    assert Membership.objects.filter(user=cast.bob).exists()
    answers = [client.post(url, told, format="json", HTTP_IDEMPOTENCY_KEY="do") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["effects"] == preview.json()["effects"]
    assert not User.objects.get(username="bob").is_active
    assert AuditEvent.objects.filter(action="offboard").count() == 1
    assert client.post(f"{url}?dry_run=maybe", told, format="json").status_code == 400


def test_an_import_keeps_no_link_in_the_database(cast: Cast) -> None:
    from apps.access.models import IdempotencyRecord

    client = client_of(cast.sre)
    body = {"csv": "username,team\nnewt,vision\n"}
    done, again = (
        client.post("/api/v2/users/import/", body, format="json", HTTP_IDEMPOTENCY_KEY="k") for _ in range(2)
    )
    link = done.json()["links"][0]["url"]
    assert not again.json()["links"]
    assert link not in str(IdempotencyRecord.objects.get().response)
    wrong = client.post("/api/v2/users/import/", {"csv": "username,team\nx,nowhere\n"}, format="json")
    assert (wrong.status_code, wrong.json()["errors"]) == (400, {"line 2": ["team: there is no team nowhere."]})


def test_a_rotation_keeps_no_token_in_the_database(cast: Cast) -> None:
    from apps.access.models import IdempotencyRecord

    client = client_of(cast.alice)
    token = ApiToken.objects.get(user=cast.alice)
    made = client.post(f"/api/v2/tokens/{token.pk}/rotate/", {}, format="json", HTTP_IDEMPOTENCY_KEY="k").json()
    assert made["token"].startswith("fth_pat_")
    assert made["replaces"] == str(token.pk)
    assert made["token"] not in str(IdempotencyRecord.objects.get().response)


def test_a_team_is_archived_by_an_admin_with_a_reason(cast: Cast) -> None:
    client = client_of(cast.sre)
    assert client.patch("/api/v2/teams/vision/", {"archived": True}, format="json").status_code == 400
    changed = client.patch("/api/v2/teams/vision/", {"archived": True, "reason": "over"}, format="json")
    assert changed.json()["archived"] is True
    assert Team.objects.get(slug="vision").archived_at is not None
    client.patch("/api/v2/teams/vision/", {"archived": False, "reason": "again"}, format="json")
    assert Team.objects.get(slug="vision").archived_at is None


@pytest.mark.parametrize("path", ["users/", "tokens/", "invitations/", "organizations/", "teams/", "registrations/"])
def test_a_list_costs_the_same_for_one_and_for_many(path: str, cast: Cast, django_assert_num_queries: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = client_of(cast.sre)
    teams.invite([(cast.team, "member")], by=cast.mia)
    client.get(f"/api/v2/{path}")
    with CaptureQueriesContext(connection) as first:
        client.get(f"/api/v2/{path}")
    queries = len(first)
    for number in range(3):
        organization = teams.create_organization(slug=f"o{number}", name="O", by=SYSTEM)
        team = teams.create_team(organization, slug=f"t{number}", name="T", by=SYSTEM)
        robot = teams.create_service_account(team, name="ci", by=SYSTEM)
        services.issue_token(robot, by=SYSTEM, name="t")
        teams.invite([(team, "member"), (cast.team, "viewer")], by=SYSTEM)
    recent._forget()
    client.get(f"/api/v2/{path}")
    with django_assert_num_queries(queries):
        client.get(f"/api/v2/{path}")
