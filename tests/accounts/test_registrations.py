"""People who ask for an account: what they are told, and what an admin decides."""

from typing import Any

import pytest

from apps.accounts import services
from apps.accounts.models import Registration, User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotAuthenticated, NotFound, Throttled
from tests.people import PASSWORD, Cast


@pytest.fixture(autouse=True)
def _open(settings: Any) -> None:
    settings.SELF_REGISTRATION = True


def ask(name: str = "newt", **facts: str) -> Registration:
    return services.register(**{"username": name, "email": "newt@example.org", "password": PASSWORD, **facts})


def test_nothing_is_taken_where_it_is_off(settings: Any, cast: Cast) -> None:
    settings.SELF_REGISTRATION = False
    with pytest.raises(NotFound):
        ask()
    assert not Registration.objects.exists()


def test_there_is_no_account_before_an_admin_says_yes(cast: Cast) -> None:
    asked = ask()
    with pytest.raises(NotAuthenticated):
        services.log_in("newt", PASSWORD)
    assert not User.objects.filter(username="newt").exists()
    user = services.approve_registration(asked, by=cast.sre, reason="known")
    assert services.log_in("newt", PASSWORD) == user
    assert (asked.state, asked.user, asked.password) == ("approved", user, "")
    assert not user.groups.exists()
    assert AuditEvent.objects.filter(action__in=["register", "approve"]).count() == 2


def test_who_is_rejected_never_comes_in(cast: Cast) -> None:
    asked = ask()
    services.reject_registration(asked, by=cast.sre, reason="unknown")
    assert (asked.state, asked.password, asked.reason) == ("rejected", "", "unknown")
    with pytest.raises(Conflict):
        services.approve_registration(asked, by=cast.sre)
    assert not User.objects.filter(username="newt").exists()


@pytest.mark.parametrize("name", ["alice", "mia", "aud", "charlie"])
def test_only_an_admin_decides(name: str, cast: Cast) -> None:
    asked = ask()
    for decide in (services.approve_registration, services.reject_registration):
        with pytest.raises((NotAllowed, NotFound)):
            decide(asked, by=cast.people[name], reason="x")
    asked.refresh_from_db()
    assert asked.state == "waiting"
    expected = [asked] if name == "aud" else []
    assert list(Registration.objects.visible_to(cast.people[name], "view")) == expected


def test_asking_does_not_tell_whether_a_name_exists(cast: Cast) -> None:
    """The same answer for a taken name and a free one; who approves hears that it is taken."""
    asked = [ask("alice"), ask("nobody-yet")]
    assert [one.state for one in asked] == ["waiting", "waiting"]
    with pytest.raises(Conflict):
        services.approve_registration(asked[0], by=cast.sre)
    assert services.log_in("alice", PASSWORD) == cast.alice
    asked[0].refresh_from_db()
    assert asked[0].state == "waiting"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"username": "a b"}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"email": "nonsense"}, "email"),
        ({"password": "short"}, "password"),
        ({"first_name": "x" * 151}, "first_name"),
    ],
)
def test_what_is_ill_formed_is_refused(facts: dict[str, str], field: str, cast: Cast) -> None:
    with pytest.raises(Invalid) as refusal:
        ask(**({"name": facts["username"]} if "username" in facts else facts))
    assert field in refusal.value.errors
    assert not Registration.objects.exists()


def test_asking_often_from_one_address_is_slowed_down(cast: Cast) -> None:
    for number in range(5):
        ask(f"newt-{number}")
    with pytest.raises(Throttled):
        ask("newt-6")
    assert Registration.objects.count() == 5
