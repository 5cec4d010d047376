"""Codes from a generator: enrolled, asked for, taken once, recovered, switched off and reset."""

import base64
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts import services
from apps.accounts.models import RecoveryCode, SecondFactor, UserSession
from apps.accounts.proof import Proof
from apps.accounts.services import second_factor
from apps.audit.models import AuditEvent
from apps.core import sealing
from apps.core.errors import Conflict, NotAllowed, NotAuthenticated, SealBroken, Throttled
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.django_db
GIVEN = {"password": PASSWORD, "reason": "look after the queue", "next": "/admin/"}


@pytest.fixture
def client(cast: Cast) -> Client:
    browser = Client()
    browser.force_login(cast.sre)
    return browser


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Turn the clock of the codes on by so many seconds."""
    ahead = 0.0

    def turn(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    class Clock:
        @staticmethod
        def now() -> Any:
            return timezone.now() + timedelta(seconds=ahead)

    monkeypatch.setattr(second_factor, "timezone", Clock)
    return turn


def enrol(client: Client) -> tuple[str, list[str]]:
    """Enrol through the pages; return the seed and the recovery codes."""
    page = client.post("/account/second-factor/").text
    found = re.search(r'id="seed">([A-Z2-7]{32})<', page)
    assert found is not None
    answer = client.post("/account/second-factor/confirm/", {"password": PASSWORD, "code": pyotp.TOTP(found[1]).now()})
    assert answer.status_code == 200
    return found[1], re.findall(r"<code>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</code>", answer.text)


def code(seed: str, step: int = 0) -> str:
    """The code of the step so many after the present one, by the clock of the platform."""
    return pyotp.TOTP(seed).at(second_factor.timezone.now(), counter_offset=step)


def elevate(client: Client, given: str) -> int:
    return client.post("/elevate/", GIVEN | {"code": given}).status_code


def test_the_page_shows_a_picture_made_here(client: Client) -> None:
    page = client.post("/account/second-factor/").text
    picture = re.search(r'<img class="qr" src="(data:image/svg\+xml[^"]+)"', page)
    assert picture is not None
    assert "<svg" in unquote(unescape(picture[1]))
    assert client.post("/account/second-factor/").text.count("data:image/svg") == 1


def test_the_address_is_what_generators_read(cast: Cast) -> None:
    address = urlsplit(services.begin_second_factor(cast.alice, by=cast.alice))
    query = parse_qs(address.query)
    assert (address.scheme, address.netloc, unquote(address.path)) == ("otpauth", "totp", "/Fathom:alice")
    assert query["issuer"] == ["Fathom"]
    assert len(base64.b32decode(query["secret"][0])) == 20


def test_the_seed_is_sealed_and_bound_to_its_person(client: Client, cast: Cast) -> None:
    seed, codes = enrol(client)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT f::text FROM accounts_secondfactor f UNION ALL SELECT r::text FROM accounts_recoverycode r"
        )
        dump = str(cursor.fetchall())
    for secret in (seed, seed.encode().hex(), *codes, *(one.replace("-", "") for one in codes)):
        assert secret not in dump
    row = SecondFactor.objects.get()
    assert sealing.open_sealed(bytes(row.seed), bound_to=f"totp|{cast.sre.pk}") == seed.encode()
    SecondFactor.objects.create(user=cast.alice, seed=row.seed, confirmed_at=timezone.now())
    with pytest.raises(SealBroken):
        second_factor.check_code(cast.alice, code(seed))


def test_it_is_in_force_once_confirmed(client: Client, cast: Cast) -> None:
    client.post("/account/second-factor/")
    assert not services.has_second_factor(cast.sre)
    assert client.post("/account/second-factor/confirm/", {"password": PASSWORD, "code": "000000"}).status_code == 401
    right = pyotp.TOTP(
        sealing.open_sealed(bytes(SecondFactor.objects.get().seed), bound_to=f"totp|{cast.sre.pk}").decode()
    ).now()
    assert client.post("/account/second-factor/confirm/", {"password": "wrong", "code": right}).status_code == 401
    assert not services.has_second_factor(cast.sre)
    assert client.post("/account/second-factor/confirm/", {"password": PASSWORD, "code": right}).status_code == 200
    assert services.has_second_factor(cast.sre)
    assert client.post("/account/second-factor/").status_code == 409
    assert AuditEvent.objects.filter(action="enable_second_factor", actor=cast.sre).count() == 1


def test_elevation_takes_a_code_and_each_only_once(client: Client, clock: Callable[[float], None]) -> None:
    seed, _ = enrol(client)
    assert elevate(client, "") == 401
    assert elevate(client, code(seed)) == 401  # it has confirmed the generator already
    clock(30)
    fresh = code(seed)
    assert client.post("/elevate/", GIVEN | {"code": fresh, "password": "wrong"}).status_code == 401
    assert elevate(client, fresh) == 302  # a wrong password had not used it up
    assert elevate(client, fresh) == 401
    assert elevate(client, f"{code(seed, 1)[:3]} {code(seed, 1)[3:]}") == 302
    assert elevate(client, fresh) == 401


@pytest.mark.parametrize(("step", "status"), [(-2, 401), (-1, 302), (0, 302), (1, 302), (2, 401)])
def test_a_clock_may_be_off_by_one_step(step: int, status: int, client: Client, clock: Callable[[float], None]) -> None:
    seed, _ = enrol(client)
    clock(300)
    assert elevate(client, code(seed, step)) == status


def test_codes_are_refused_when_guessed_too_often(client: Client, clock: Callable[[float], None]) -> None:
    seed, _ = enrol(client)
    clock(60)
    for _ in range(10):
        assert elevate(client, "000000") == 401
    assert elevate(client, code(seed)) == 429
    assert not UserSession.objects.exclude(elevated_until=None).exists()


def test_recovery_codes_stand_in_once(client: Client, cast: Cast) -> None:
    _, codes = enrol(client)
    assert len(set(codes)) == 10
    assert elevate(client, codes[0].upper().replace("-", " ")) == 302
    assert elevate(client, codes[0]) == 401
    assert services.recovery_codes_left(cast.sre) == 9
    assert elevate(client, codes[1]) == 302


def test_recovery_codes_are_ones_own(client: Client, cast: Cast) -> None:
    _, codes = enrol(client)
    row = RecoveryCode.objects.filter(user=cast.sre).first()
    assert row is not None
    RecoveryCode.objects.create(user=cast.alice, digest=row.digest)
    with pytest.raises(NotAuthenticated):
        second_factor.check_code(cast.alice, codes[0])


def test_switching_off_takes_password_and_code(client: Client, cast: Cast, clock: Callable[[float], None]) -> None:
    seed, _ = enrol(client)
    clock(60)
    for wrong in ({"off-password": PASSWORD, "off-code": "000000"}, {"off-password": "wrong", "off-code": code(seed)}):
        assert client.post("/account/second-factor/off/", wrong).status_code == 401
    assert services.has_second_factor(cast.sre)
    right = {"off-password": PASSWORD, "off-code": code(seed)}
    assert client.post("/account/second-factor/off/", right)["Location"] == "/account/"
    assert not services.has_second_factor(cast.sre)
    assert not RecoveryCode.objects.exists()
    assert AuditEvent.objects.filter(action="disable_second_factor").count() == 1
    assert client.post("/account/second-factor/off/", right).status_code == 409


def test_another_admin_resets_a_lost_one(client: Client, cast: Cast) -> None:
    enrol(client)
    other = services.create_user("ops", by=cast.sre, password=PASSWORD, is_admin=True)
    with pytest.raises(NotAllowed):
        services.reset_second_factor(cast.sre, by=other, reason="lost")  # he does not act as an admin
    with pytest.raises(NotAllowed):
        services.reset_second_factor(cast.sre, by=cast.alice, reason="lost")
    with pytest.raises(Conflict):
        services.reset_second_factor(cast.sre, by=cast.sre, reason="lost")
    assert services.has_second_factor(cast.sre)
    other.elevated_until = timezone.now() + timedelta(minutes=1)
    services.reset_second_factor(cast.sre, by=other, reason="telephone lost, seen in person")
    assert not services.has_second_factor(cast.sre)
    event = AuditEvent.objects.get(action="reset_second_factor")
    assert (event.actor_label, event.reason) == ("ops", "telephone lost, seen in person")


def test_the_platform_may_insist(client: Client, cast: Cast, settings: Any, clock: Callable[[float], None]) -> None:
    settings.REQUIRE_ADMIN_TOTP = True
    assert "Set one up" in client.get("/elevate/").text
    assert elevate(client, "") == 403
    body = {"password": PASSWORD, "reason": "x"}
    assert client.post("/api/v2/auth/elevate/", body, content_type="application/json").status_code == 403
    seed, _ = enrol(client)
    clock(60)
    assert client.post("/api/v2/auth/elevate/", body, content_type="application/json").status_code == 401
    answer = client.post("/api/v2/auth/elevate/", body | {"code": code(seed)}, content_type="application/json")
    assert answer.status_code == 201
    assert elevate(client, code(seed, 1)) == 302


def test_a_person_without_one_gives_none(cast: Cast) -> None:
    for given in ("", "000000", "aaaa-aaaa-aaaa-aaaa"):
        with pytest.raises(NotAuthenticated):
            second_factor.check_code(cast.alice, given)
    with pytest.raises(Conflict):
        services.disable_second_factor(cast.alice, by=cast.alice, proof=Proof(PASSWORD, "000000"))
    with pytest.raises(Conflict):
        services.confirm_second_factor(cast.alice, by=cast.alice, proof=Proof(PASSWORD, "000000"))


def test_confirming_is_slowed_down_too(cast: Cast) -> None:
    services.begin_second_factor(cast.alice, by=cast.alice)
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            services.confirm_second_factor(cast.alice, by=cast.alice, proof=Proof(PASSWORD, "000000"))
    with pytest.raises(Throttled):
        services.confirm_second_factor(cast.alice, by=cast.alice, proof=Proof(PASSWORD, "000000"))
