"""Coming in: the password, the one-time link, and where one goes on."""

import pytest
from django.test import Client

from apps.accounts import services
from apps.accounts.models import User
from tests.people import PASSWORD, Cast
from tests.portal.reading import text_of


def test_the_right_password_lets_in_and_goes_on(cast: Cast) -> None:
    client = Client()
    response = client.post("/login/", {"username": "alice", "password": PASSWORD, "next": "/usage/"})
    assert (response.status_code, response["Location"]) == (302, "/usage/")
    assert int(client.session["_auth_user_id"]) == cast.alice.pk


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "http:///evil.example", ""],
)
def test_next_never_leaves_the_platform(wanted: str, cast: Cast) -> None:
    client = Client()
    assert client.post("/login/", {"username": "alice", "password": PASSWORD, "next": wanted})["Location"] == "/"
    assert client.get("/login/", {"next": wanted})["Location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "xyzzy-9"), ("nobody", "xyzzy-9"), ("ivan", PASSWORD), ("a\0", "xyzzy-9")]
)
def test_a_wrong_password_says_the_same_for_everybody(name: str, password: str, cast: Cast) -> None:
    client = Client()
    response = client.post("/login/", {"username": name, "password": password})
    assert response.status_code in {400, 401}
    assert "_auth_user_id" not in client.session
    if "\0" not in name:
        assert "The name or the password is wrong." in text_of(response)
        assert f'value="{name}"' in text_of(response)
    assert password not in text_of(response)


def test_guessing_is_slowed_down(cast: Cast) -> None:
    client = Client()
    for _ in range(10):
        client.post("/login/", {"username": "alice", "password": "wrong"})
    response = client.post("/login/", {"username": "alice", "password": PASSWORD})
    assert response.status_code == 429
    assert "Too many failed logins" in text_of(response)


def test_the_session_gets_a_new_key_at_login(cast: Cast) -> None:
    client = Client()
    session = client.session
    session["seen"] = "before"
    session.save()
    before = session.session_key
    client.post("/login/", {"username": "alice", "password": PASSWORD})
    assert client.session.session_key != before


def test_logging_out_needs_a_post(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_the_setup_link_makes_the_first_admin_once() -> None:
    path = services.issue_setup_link()
    client = Client()
    assert client.get(path).status_code == 200
    form = {"username": "root", "email": "", "password": "correct horse battery", "again": "correct horse battery"}
    assert client.post(path, form)["Location"] == "/"
    root = User.objects.get(username="root")
    assert root.platform_role == "admin"
    assert client.get("/admin/").status_code == 200  # the password was given just now
    assert int(client.session["_auth_user_id"]) == root.pk
    stranger = Client()
    assert stranger.get(path).status_code == 404
    assert stranger.post(path, form | {"username": "second"}).status_code == 404
    assert not User.objects.filter(username="second").exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"again": "something else"}, "The two passwords differ."),
        ({"password": "short", "again": "short"}, "This password is too short."),
        ({"username": "with space"}, "Enter a valid username."),
        ({"email": "no"}, "Enter a valid email address."),
    ],
)
def test_the_setup_form_says_what_is_wrong(changes: dict[str, str], sentence: str) -> None:
    path = services.issue_setup_link()
    form = {"username": "root", "email": "", "password": "correct horse battery", "again": "correct horse battery"}
    response = Client().post(path, form | changes)
    assert response.status_code == 400
    assert sentence in text_of(response)
    assert not User.objects.exists()


@pytest.mark.django_db
def test_an_unknown_setup_link_is_not_found() -> None:
    assert Client().get("/setup/fth_set_nonsense/").status_code == 404
