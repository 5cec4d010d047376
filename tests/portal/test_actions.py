"""Stop, retry, delete, tokens, members, preferences: plain forms."""

from collections.abc import Callable

import pytest
from django.test import Client

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken
from apps.compute.choices import State
from apps.compute.lifecycle import transition
from apps.compute.models import Workload
from apps.experiments.models import Experiment
from apps.teams.models import Membership
from tests.people import Cast, share, submit
from tests.portal.reading import said, text_of

pytestmark = pytest.mark.usefixtures("cluster")
Browser = Callable[[str], Client]
NOBODY_MAY_SEE = 404


def test_stop_carries_its_reason(cast: Cast, as_person: Browser) -> None:
    run = submit(cast.alice)
    response = as_person("alice").post(f"/experiments/{run.pk}/stop/", {"reason": "wrong data"})
    assert response["Location"] == f"/experiments/{run.pk}/"
    assert Workload.objects.get(pk=run.workload_id).stop_cause == "stopped by alice: wrong data"


@pytest.mark.parametrize(
    ("action", "statuses"),
    [
        ("stop", {"bob": 403, "dana": 302, "charlie": 404}),
        ("retry", {"bob": 403, "dana": 302, "charlie": 404}),
        ("delete", {"bob": 403, "dana": 403, "charlie": 404, "mia": 302}),
    ],
)
def test_who_may_act(action: str, statuses: dict[str, int], cast: Cast, as_person: Browser) -> None:
    for person, status in statuses.items():
        run = submit(cast.alice, team="vision")
        share(run, cast.dana)
        if action != "stop":
            transition(Workload.objects.get(pk=run.workload_id), State.FAILED, actor=SYSTEM)
        before = Workload.objects.values_list("state", "desired_state").get(pk=run.workload_id)
        response = as_person(person).post(f"/experiments/{run.pk}/{action}/")
        assert response.status_code == status, person
        if status != 302:
            assert Workload.objects.values_list("state", "desired_state").get(pk=run.workload_id) == before
            assert Experiment.objects.live().filter(pk=run.pk).exists()


def test_what_the_state_forbids_is_said_on_the_page(cast: Cast, as_person: Browser) -> None:
    run = submit(cast.alice)
    client = as_person("alice")
    assert said(client.post(f"/experiments/{run.pk}/delete/")) == ["It is queued. Stop it first."]
    assert "It is queued" in said(client.post(f"/experiments/{run.pk}/retry/"))[-1]
    transition(Workload.objects.get(pk=run.workload_id), State.STOPPED, actor=SYSTEM)
    assert client.post(f"/experiments/{run.pk}/delete/")["Location"] == "/experiments/"
    assert client.get(f"/experiments/{run.pk}/").status_code == NOBODY_MAY_SEE


def test_the_status_fragment_brings_new_buttons_when_the_state_changed(cast: Cast, as_person: Browser) -> None:
    run = submit(cast.alice)
    client = as_person("alice")
    same = text_of(client.get(f"/experiments/{run.pk}/status/?shown=queued-run"))
    assert ("hx-swap-oob" in same, 'hx-trigger="every 2s"' in same) == (False, True)
    transition(Workload.objects.get(pk=run.workload_id), State.FAILED, actor=SYSTEM, message="exited with code 1")
    changed = text_of(client.get(f"/experiments/{run.pk}/status/?shown=queued-run"))
    assert ("hx-swap-oob" in changed, 'hx-trigger="every 2s"' in changed) == (True, False)
    assert "is failed. exited with code 1" in changed


def test_a_token_is_shown_once(cast: Cast, as_person: Browser) -> None:
    client = as_person("alice")
    page = text_of(client.post("/tokens/", {"name": "laptop", "scope": "read", "expires_in_days": "30"}))
    value = page.split('id="new-token">')[1].split("<")[0]
    assert accounts.authenticate_token(value).pk == cast.alice.pk
    token = ApiToken.objects.get(name="laptop")
    assert token.scopes == ["read"]
    again = text_of(client.get("/tokens/"))
    assert value not in again
    assert token.prefix in again


@pytest.mark.parametrize(
    ("person", "status", "lives"), [("alice", 302, False), ("charlie", 404, True), ("sre", 302, False)]
)
def test_who_may_revoke_a_token(person: str, status: int, lives: bool, cast: Cast, as_person: Browser) -> None:
    token, _ = accounts.issue_token(cast.alice, by=cast.alice, name="laptop")
    assert as_person(person).post(f"/tokens/{token.pk}/revoke/").status_code == status
    token.refresh_from_db()
    assert token.is_live == lives


def test_a_token_needs_a_name(as_person: Browser) -> None:
    response = as_person("alice").post("/tokens/", {"name": "", "scope": "all"})
    assert response.context["form"].errors["name"] == ["Say what it is for."]
    assert not ApiToken.objects.exists()


def roles(cast: Cast) -> dict[str, str]:
    return dict(Membership.objects.filter(team=cast.team).exclude(user=cast.ivan).values_list("user__username", "role"))


def test_a_maintainer_manages_the_members(cast: Cast, as_person: Browser) -> None:
    client = as_person("mia")
    client.post("/teams/vision/members/", {"username": "charlie", "role": "member"})
    bob = Membership.objects.get(user=cast.bob)
    client.post(f"/teams/vision/members/{bob.pk}/", {"role": "maintainer"})
    alice = Membership.objects.get(user=cast.alice)
    client.post(f"/teams/vision/members/{alice.pk}/", {"remove": "1"})
    assert roles(cast) == {"charlie": "member", "bob": "maintainer", "mia": "maintainer"}


@pytest.mark.parametrize(("person", "status"), [("alice", 403), ("bob", 403), ("charlie", 404), ("olaf", 404)])
def test_nobody_else_does(person: str, status: int, cast: Cast, as_person: Browser) -> None:
    before = roles(cast)
    client = as_person(person)
    bob = Membership.objects.get(user=cast.bob)
    assert client.post("/teams/vision/members/", {"username": person, "role": "maintainer"}).status_code == status
    assert client.post(f"/teams/vision/members/{bob.pk}/", {"remove": "1"}).status_code == status
    assert roles(cast) == before


@pytest.mark.parametrize(
    ("name", "sentence"), [("nobody", "There is nobody of this name."), ("ivan", "There is nobody of this name.")]
)
def test_adding_nobody_is_said_beside_the_field(name: str, sentence: str, as_person: Browser) -> None:
    response = as_person("mia").post("/teams/vision/members/", {"username": name, "role": "member"})
    assert (response.status_code, response.context["form"].errors["username"]) == (400, [sentence])


def test_preferences_are_cookies_and_go_back(as_person: Browser) -> None:
    client = as_person("alice")
    response = client.post("/preferences/", {"theme": "dark", "sidebar": "narrow", "next": "/usage/"})
    assert response["Location"] == "/usage/"
    page = text_of(client.get("/usage/"))
    assert '<html lang="en" data-theme="dark">' in page
    assert 'data-sidebar="narrow"' in page
    assert client.post("/preferences/", {"theme": '"><script>', "next": "//evil.example"})["Location"] == "/"
    assert client.cookies["fathom_theme"].value == "dark"
