"""The pages by which people come in: invitation links, registration; and a team's service accounts and tokens."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from apps.accounts import recent
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, Registration, User
from apps.teams import services as teams
from apps.teams.models import Invitation, Membership
from tests.people import PASSWORD, Cast
from tests.portal.reading import text_of

Browser = Callable[[str], Client]


@pytest.fixture(autouse=True)
def _forget() -> None:
    recent._forget()


def person(name: str, **facts: str) -> dict[str, str]:
    return {"username": name, "password": PASSWORD, "again": PASSWORD, "email": "", **facts}


def link(cast: Cast, role: str = "member") -> str:
    return teams.invite([(cast.team, role)], by=cast.mia)[1]


def test_a_maintainer_makes_a_link_and_somebody_comes_in_by_it(cast: Cast, as_person: Browser) -> None:
    page = as_person("mia").post(
        "/teams/vision/invitations/", {"role": "viewer", "days": "3", "email": "n@example.org"}
    )
    assert page.status_code == 201
    found = re.search(r"/join/fth_inv_\w+/", text_of(page))
    assert found is not None
    assert "n@example.org" in text_of(as_person("mia").get("/teams/vision/"))
    assert "n@example.org" not in text_of(as_person("bob").get("/teams/vision/"))
    stranger = Client()
    invited = text_of(stranger.get(found[0]))
    assert ("mia" in invited, "Vision" in invited, "Viewer" in invited) == (True, True, True)
    assert stranger.post(found[0], person("newt"))["Location"] == "/"
    assert stranger.get("/").status_code == 200
    assert Membership.objects.get(user__username="newt").role == "viewer"
    assert Client().get(found[0]).status_code == 404
    assert Client().post(found[0], person("other")).status_code == 404
    assert not User.objects.filter(username="other").exists()


def test_who_is_logged_in_joins(cast: Cast, as_person: Browser) -> None:
    path = link(cast)
    client = as_person("charlie")
    assert "You are logged in as" in text_of(client.get(path))
    assert client.post(path)["Location"] == "/teams/vision/"
    assert Membership.objects.get(user=cast.charlie).role == "member"


def test_a_refused_account_keeps_the_form_and_the_link(cast: Cast) -> None:
    path = link(cast)
    for name, sentence in (("alice", "already exists"), ("a b", "Enter a valid username")):
        answer = Client().post(path, person(name, email="kept@example.org"))
        assert answer.status_code == 400
        assert sentence in text_of(answer)
        assert "kept@example.org" in text_of(answer)
        assert PASSWORD not in text_of(answer)
    assert Client().post(path, person("newt", again="another")).status_code == 400
    assert Client().post(path, person("newt")).status_code == 302


def test_a_link_for_an_account_asks_for_the_password_only(cast: Cast, as_person: Browser) -> None:
    accounts.create_user("fay", by=cast.sre)
    path = teams.invite([], by=cast.sre, for_user=User.objects.get(username="fay"))[1]
    for client in (Client(), as_person("charlie")):
        page = text_of(client.get(path))
        assert "Welcome, fay" in page
        assert 'name="username"' not in page
    assert as_person("charlie").post(path).status_code == 400
    client = Client()
    assert client.post(path, {"password": PASSWORD, "again": PASSWORD})["Location"] == "/"
    assert "fay" in text_of(client.get("/"))


def test_an_auditor_is_told_why_he_cannot_join(cast: Cast, as_person: Browser) -> None:
    path = link(cast)
    answer = as_person("aud").post(path)
    assert (answer.status_code, "Auditors change nothing" in text_of(answer)) == (403, True)
    assert Client().get(path).status_code == 200


def test_an_invitation_is_revoked_on_the_teams_page(cast: Cast, as_person: Browser) -> None:
    path = link(cast)
    pk = Invitation.objects.get().pk
    for name, status in (("bob", 404), ("charlie", 404), ("mia", 302)):
        assert as_person(name).post(f"/teams/vision/invitations/{pk}/revoke/").status_code == status
    assert Client().get(path).status_code == 404


@pytest.mark.parametrize("data", [{"role": "god", "days": "3"}, {"role": "viewer", "days": "0"}, {"role": "viewer"}])
def test_a_wrong_invitation_is_refused_on_the_page(data: dict[str, str], cast: Cast, as_person: Browser) -> None:
    assert as_person("mia").post("/teams/vision/invitations/", data).status_code == 400
    assert not Invitation.objects.exists()


def test_registration_is_off_unless_it_is_switched_on(cast: Cast, settings: Any) -> None:
    assert Client().get("/register/").status_code == 404
    assert "/register/" not in text_of(Client().get("/login/"))
    settings.SELF_REGISTRATION = True
    assert "/register/" in text_of(Client().get("/login/"))
    assert Client().get("/register/").status_code == 200


def test_the_answer_to_a_registration_does_not_tell_names(cast: Cast, settings: Any) -> None:
    settings.SELF_REGISTRATION = True
    answers = [Client().post("/register/", person(name)) for name in ("alice", "nobody-yet")]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert Registration.objects.count() == 2
    assert Client().post("/register/", person("x", password="short", again="short")).status_code == 400
    for number in range(3):
        Client().post("/register/", person(f"n{number}"))
    assert Client().post("/register/", person("late")).status_code == 429
    assert Registration.objects.count() == 5


def test_a_maintainer_keeps_a_service_account(cast: Cast, as_person: Browser) -> None:
    mia = as_person("mia")
    made = mia.post("/teams/vision/service-accounts/", {"name": "ci", "role": "member"})
    page = made["Location"]
    assert page == "/teams/vision/service-accounts/svc.vision.ci/"
    created = mia.post(f"{page}tokens/", {"name": "deploy", "scope": "chosen", "scopes": ["run:view", "run:log"]})
    assert created.status_code == 201
    value = re.search(r"fth_svc_\w{49}", text_of(created))
    assert value is not None
    robot = accounts.authenticate_token(value[0])
    assert (robot.username, robot.token.scopes) == ("svc.vision.ci", ["run:view", "run:log"])  # type: ignore[union-attr]
    assert value[0] not in text_of(mia.get(page))
    token = ApiToken.objects.get()
    rotated = mia.post(f"/tokens/{token.pk}/rotate/", {"overlap": "0"})
    assert rotated.status_code == 201
    assert f'href="{page}"' in text_of(rotated)
    assert mia.post(f"/tokens/{ApiToken.objects.get(replaces=token).pk}/revoke/")["Location"] == page
    assert mia.post(page, {"role": "viewer"}).status_code == 302
    assert Membership.objects.get(user=robot).role == "viewer"
    mia.post(page, {"disable": "1"})
    assert not User.objects.get(pk=robot.pk).is_active
    mia.post(page, {"enable": "1"})
    assert User.objects.get(pk=robot.pk).is_active
    assert "svc.vision.ci" in text_of(as_person("bob").get("/teams/vision/"))
    assert as_person("bob").get(page).status_code == 403
    assert as_person("charlie").get(page).status_code == 404


def test_a_token_is_made_with_chosen_scopes_and_networks(cast: Cast, as_person: Browser) -> None:
    form = {
        "name": "t",
        "scope": "chosen",
        "scopes": ["run:view"],
        "expires_in_days": "",
        "addresses": "10.0.0.0/8, ::1",
    }
    page = as_person("alice").post("/tokens/", form)
    assert page.status_code == 201
    token = ApiToken.objects.get()
    assert (token.scopes, token.addresses, token.expires_at) == (["run:view"], ["10.0.0.0/8", "::1/128"], None)
    shown = text_of(as_person("alice").get("/tokens/"))
    assert "10.0.0.0/8" in shown
    assert 'value="experiment:stop"' in shown


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"scope": "chosen"}, "Choose at least one thing it may do."),
        ({"scope": "chosen", "scopes": ["fly"]}, "Select a valid choice"),
        ({"scope": "all", "addresses": "nowhere"}, "does not appear to be an IPv4 or IPv6 network"),
        ({"scope": "chosen", "scopes": ["admin"]}, "Select a valid choice"),
        ({"scope": "all", "scopes": ["run:view"]}, "Single things are chosen below"),
    ],
)
def test_a_wrong_token_is_refused_with_a_sentence(
    form: dict[str, Any], sentence: str, cast: Cast, as_person: Browser
) -> None:
    answer = as_person("alice").post("/tokens/", {"name": "t", "expires_in_days": "7", **form})
    assert answer.status_code == 400
    assert sentence in text_of(answer)
    assert not ApiToken.objects.exists()


def test_a_rotation_shows_the_new_token_once(cast: Cast, as_person: Browser) -> None:
    token, old = accounts.issue_token(cast.alice, by=cast.alice, name="laptop", expires_in=timedelta(days=30))
    alice = as_person("alice")
    page = alice.post(f"/tokens/{token.pk}/rotate/", {"overlap": "24"})
    new = re.search(r"fth_pat_\w{49}", text_of(page))
    assert new is not None
    assert accounts.authenticate_token(new[0]) == accounts.authenticate_token(old) == cast.alice
    assert new[0] not in text_of(alice.get("/tokens/"))
    assert alice.post(f"/tokens/{token.pk}/rotate/", {"overlap": "24"}).status_code == 409
    assert alice.post(f"/tokens/{token.pk}/rotate/", {"overlap": "9999"}).status_code == 400
    assert as_person("bob").post(f"/tokens/{token.pk}/rotate/", {"overlap": "24"}).status_code == 404


def test_networks_of_a_token_are_changed_on_its_page(cast: Cast, as_person: Browser) -> None:
    token, _ = accounts.issue_token(cast.alice, by=cast.alice, name="laptop")
    alice, url = as_person("alice"), f"/tokens/{token.pk}/addresses/"
    assert url in text_of(alice.get("/tokens/"))
    page = text_of(alice.post(url, {"addresses": "10.0.0.0/8,\n192.0.2.7"}, follow=True))
    assert "The token laptop may be used from 10.0.0.0/8, 192.0.2.7/32." in page
    assert alice.post(url, {"addresses": "here"}).status_code == 400
    token.refresh_from_db()
    assert token.addresses == ["10.0.0.0/8", "192.0.2.7/32"]
    assert as_person("bob").post(url, {"addresses": ""}).status_code == 404
    assert "may be used from everywhere." in text_of(alice.post(url, {"addresses": ""}, follow=True))


def test_the_field_shows_the_networks_that_a_token_has(cast: Cast, as_person: Browser) -> None:
    accounts.issue_token(cast.alice, by=cast.alice, name="tied", addresses=["10.0.0.0/8", "192.0.2.0/24"])
    page = as_person("alice").get("/tokens/").text
    assert ">10.0.0.0/8 192.0.2.0/24</textarea>" in page
    assert "{{" not in page


def test_an_admin_is_told_how_long_an_admin_token_lives(cast: Cast, as_person: Browser) -> None:
    assert "lives 24 hours at most" not in text_of(as_person("alice").get("/tokens/"))
    sre = as_person("sre")
    assert "lives 24 hours at most. It goes on when your admin rights" in text_of(sre.get("/tokens/"))
    asked = {"name": "night", "scope": "chosen", "scopes": ["admin"]}
    assert sre.post("/tokens/", {**asked, "expires_in_days": "7"}).status_code == 400
    assert sre.post("/tokens/", {**asked, "expires_in_days": "1"}).status_code == 201


def test_an_archived_team_says_so(cast: Cast, as_person: Browser) -> None:
    teams.archive_team(cast.team, by=cast.sre, reason="over")
    page = text_of(as_person("mia").get("/teams/vision/"))
    assert "This team is archived" in page
    assert "Add to the team" not in page
