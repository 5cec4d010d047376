"""What people type to prove who they are is found nowhere: not in answers, logs, the audit trail, the database, hints."""

import json
import logging
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from django.test import Client

from apps.access.principal import SYSTEM
from apps.accounts import services
from apps.accounts.models import User
from apps.accounts.proof import Proof
from apps.audit.models import AuditEvent
from apps.teams import services as teams
from tests.factories import cast
from tests.people import PASSWORD, Cast, browser_of
from tests.searching import database, found_in, monitored

__all__ = ["cast"]

# One per place where somebody types it, so that a find says where it came from.
PLACES = (
    "login", "login-page", "login-name", "new-user", "change", "elevate", "reset", "join", "register", "code", "bearer",
)  # fmt: skip


def typed(place: str) -> str:
    return f"Canary-{place}-4c7a!x"


class Typist:
    """Sends what is typed to every door that asks for it, and keeps all answers."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def post(self, client: Client, path: str, data: Any, **options: Any) -> Any:
        response = client.post(path, data, **options)
        assert response.status_code < 500, response.content
        self.answers.append(f"{response.status_code} {response.headers} {response.content.decode()}")
        return response

    def script(self, path: str, body: Any, **headers: str) -> Any:
        client = Client(headers=headers)
        return self.post(client, f"/api/v2/{path}", json.dumps(body), content_type="application/json")


def type_everywhere(typist: Typist, people: Cast, settings: Any) -> list[str]:
    """Type every secret at its door, rightly and wrongly; return those that the platform made itself."""
    settings.SELF_REGISTRATION = True
    browser, alice, sre = Client(), browser_of(people.alice), browser_of(people.sre)
    for body in (
        {"username": "alice", "password": typed("login")},
        {"username": "alice", "password": [typed("login")]},
    ):
        typist.script("auth/login/", body)
    typist.post(browser, "/login/", {"username": "alice", "password": typed("login-page")})
    typist.post(browser, "/login/", {"username": typed("login-name"), "password": "x"})
    typist.post(sre, "/admin/accounts/user/add/", {"username": "new", "password": typed("new-user")})
    change = {"current_password": PASSWORD, "new_password": typed("change"), "again": typed("change")}
    typist.post(alice, "/account/password/", change)
    typist.post(alice, "/account/password/", {**change, "current_password": typed("change"), "again": "other"})
    typist.post(sre, "/elevate/", {"password": typed("elevate"), "reason": "to see"})
    typist.script(
        "auth/elevate/", {"password": typed("elevate"), "reason": "x"}, Authorization=f"Bearer {typed('bearer')}"
    )
    made = [services.issue_reset_link(people.bob, by=SYSTEM, reason="forgot")]
    for path in made:
        typist.post(browser, path, {"password": typed("reset"), "again": typed("reset")})
    _, link = teams.invite([(people.team, "member")], by=people.mia)
    made.append(link)
    typist.post(browser, link, {"username": "joined", "password": typed("join"), "again": typed("join")})
    typist.post(browser, "/register/", {"username": "asked", "password": typed("register"), "again": typed("register")})
    made += _second_factor(typist, people.mia)
    token, value = services.issue_token(people.alice, by=SYSTEM, name="t", expires_in=timedelta(days=1))
    made.append(value)
    made.append(services.rotate_token(token, by=people.again("alice"), overlap=timedelta(hours=1))[1])
    typist.script("tokens/", {"name": "x"}, Authorization=f"Bearer {value[:-1]}0")
    return [secret.rstrip("/").rpartition("/")[2] for secret in made]


def _second_factor(typist: Typist, person: User) -> list[str]:
    generator = pyotp.parse_uri(services.begin_second_factor(person, by=person))
    typist.post(browser_of(person), "/account/second-factor/confirm/", {"password": PASSWORD, "code": typed("code")})
    proof = Proof(PASSWORD, generator.now())  # type: ignore[union-attr]  # made for time, not for a counter
    return [generator.secret, *services.confirm_second_factor(person, by=person, proof=proof)]


@pytest.mark.django_db
def test_what_is_typed_is_found_nowhere(
    cast: Cast, settings: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    typist = Typist()
    with monitored() as hints:
        made = type_everywhere(typist, cast, settings)
    wanted = [typed(place).encode() for place in PLACES] + [secret.encode() for secret in made]
    said = capsys.readouterr()
    places = {
        "database": database(),
        "hints": "\n".join(hints),
        "log": caplog.text,
        "output": said.out + said.err,
    }
    assert {name: found_in(text, wanted) for name, text in places.items()} == {name: [] for name in places}
    # A form gives back a name and a wrong code that were typed into it, and shows the seed to the one who scans it.
    shown = {typed("login-name").encode(), typed("code").encode(), made[2].encode()}
    assert set(found_in("\n".join(typist.answers), wanted)) <= shown
    assert User.objects.filter(username="joined").exists()
    assert AuditEvent.objects.filter(outcome="denied").exists()


def test_the_search_sees_a_planted_secret() -> None:
    assert found_in("x Canary-login-4c7a!x y", [typed("login").encode()])
    assert found_in(typed("login").encode().hex(), [typed("login").encode()])
