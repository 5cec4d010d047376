from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access import grants
from apps.access.decision import Role
from apps.credentials.models import Credential, SecretValue
from apps.experiments.models import Experiment
from tests.credentials.conftest import CANARY
from tests.factories import Stage
from tests.people import Cast, browser_of, fake_cluster
from tests.portal.reading import text_of

Make = Callable[..., Credential]


def _as(user: Any) -> Client:
    return browser_of(user)


def test_a_credential_is_stored_by_its_form(cast: Cast) -> None:
    client = _as(cast.alice)
    assert "Private key" in text_of(client.get("/credentials/new/?kind=git_ssh"))
    given = {
        "name": "my-git",
        "team": "vision",
        "value_host": "a.example",
        "value_username": "r",
        "value_token": CANARY,
    }
    response = client.post("/credentials/new/?kind=git_https", given)
    made = Credential.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/credentials/{made.pk}/")
    assert (made.team, made.kind, made.owner) == (cast.team, "git_https", cast.alice)
    page = text_of(client.get(f"/credentials/{made.pk}/"))
    assert made.fingerprint in page
    assert "MY_GIT_TOKEN_FILE" in page
    assert CANARY not in page


def test_a_keytab_is_uploaded(cast: Cast) -> None:
    keytab = BytesIO(b"\x05\x02\x00keytab")
    keytab.name = "robot.keytab"
    given = {"name": "kerb", "value_principal": "robot@EXAMPLE.ORG", "value_keytab": keytab}
    assert _as(cast.alice).post("/credentials/new/?kind=keytab", given).status_code == 302
    assert Credential.objects.get().public == {"principal": "robot@EXAMPLE.ORG"}


@pytest.mark.parametrize("kind", ["git_https", "git_ssh", "s3", "generic", "database", "registry"])
def test_a_refused_form_does_not_show_what_was_typed(cast: Cast, kind: str) -> None:
    fields = ("token", "private_key", "secret_access_key", "session_token", "value", "url", "password")
    given = {"name": "bad name", **{f"value_{field}": CANARY for field in fields}}
    response = _as(cast.alice).post(f"/credentials/new/?kind={kind}", given)
    assert response.status_code == 400
    assert CANARY not in text_of(response)
    assert not Credential.objects.exists()


def test_the_page_shows_what_each_may_do(cast: Cast, token: Make) -> None:
    made = token()
    grants.grant(cast.dana, made, Role.EDITOR)
    shown = {
        name: ["may use it" in page, "Replace the value" in page, "Uses" in page]
        for name in ("alice", "bob", "dana", "mia", "sre")
        if (page := text_of(_as(cast.people[name]).get(f"/credentials/{made.pk}/")))
    }
    assert shown == {
        "alice": [True, True, True],
        "bob": [False, False, False],
        "dana": [True, False, False],
        "mia": [True, True, True],
        "sre": [False, True, True],
    }
    for name in ("charlie", "olaf"):
        assert _as(cast.people[name]).get(f"/credentials/{made.pk}/").status_code == 404


def test_replace_edit_delete(cast: Cast, token: Make) -> None:
    made = token()
    client = _as(cast.alice)
    given = {"value_host": "b.example", "value_username": "r", "value_token": "fresh-canary-1"}
    assert client.post(f"/credentials/{made.pk}/replace/", given).status_code == 302
    assert client.post(f"/credentials/{made.pk}/edit/", {"name": "other", "visibility": "private"}).status_code == 302
    made.refresh_from_db()
    assert (made.version, made.name, made.visibility, made.public["host"]) == (2, "other", "private", "b.example")
    response = client.post(f"/credentials/{made.pk}/replace/", {**given, "value_token": "short"})
    assert response.status_code == 400
    assert "At least 6 characters" in text_of(response)
    assert client.post(f"/credentials/{made.pk}/delete/").status_code == 302
    assert client.get(f"/credentials/{made.pk}/").status_code == 404
    assert not SecretValue.objects.exists()


def test_the_submit_form_offers_what_may_be_used(cast: Cast, token: Make, stage: Stage) -> None:
    token()
    token("own", team=None)
    for name, offered in (("alice", ["my-git", "own"]), ("bob", []), ("charlie", []), ("sre", []), ("mia", ["my-git"])):
        page = text_of(_as(cast.people[name]).get("/experiments/new/"))
        assert [known for known in ("my-git", "own") if f"{known} · Git over https" in page] == offered


def test_submitting_and_copying_with_a_credential(cast: Cast, token: Make, stage: Stage) -> None:
    made = token()
    client = _as(cast.alice)
    given = {"command": "true", "cluster": "fake", "credentials": [str(made.pk)]}
    assert client.post("/experiments/new/", given).status_code == 302
    experiment = Experiment.objects.get()
    assert experiment.spec["credentials"] == [{"name": "my-git"}]
    assert "--credential my-git" in text_of(client.get(f"/experiments/{experiment.pk}/"))
    stage.finish()
    page = text_of(client.get(f"/experiments/{experiment.pk}/"))
    assert "Credentials used" in page
    assert str(experiment.pk)[:13] in text_of(client.get(f"/credentials/{made.pk}/"))
    copy = text_of(client.get(f"/experiments/{experiment.pk}/clone/"))
    assert f'value="{made.pk}" id="id_credentials_0" checked' in copy


def test_a_foreign_credential_cannot_be_chosen(cast: Cast, token: Make) -> None:
    fake_cluster()
    made = token()
    given = {"command": "true", "cluster": "fake", "credentials": [str(made.pk)]}
    for name in ("bob", "charlie", "sre"):
        assert _as(cast.people[name]).post("/experiments/new/", given).status_code == 400
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("path", ["/credentials/", "/experiments/new/"])
def test_a_list_costs_the_same_with_one_and_three(path: str, cast: Cast, token: Make) -> None:
    client = _as(cast.alice)
    client.get(path)
    token("one")
    with CaptureQueriesContext(connection) as first:
        client.get(path)
    token("two", by=cast.mia)
    token("three", team=None)
    with CaptureQueriesContext(connection) as second:
        client.get(path)
    assert len(first) == len(second)


def test_a_run_does_not_tell_the_name_of_a_credential_that_its_reader_may_not_see(
    cast: Cast, token: Make, stage: Stage
) -> None:
    made = token("hidden-name", team=None)
    spec = {"team": "vision", "credentials": [{"name": str(made.pk), "as": "GIT"}]}
    experiment = stage.submit(cast.alice, **spec)
    stage.finish()
    for name, shown in (("alice", True), ("bob", False), ("mia", False)):
        page = text_of(_as(cast.people[name]).get(f"/experiments/{experiment.pk}/"))
        assert "Credentials used" in page
        assert ("hidden-name" in page) == shown
