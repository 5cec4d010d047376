"""Guesses at the same time are counted like guesses one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.accounts import providers, services
from apps.accounts.models import LoginFailure, User
from apps.accounts.services import logins
from apps.core.errors import NotAuthenticated, Throttled
from tests.factories import in_threads
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.usefixtures("committed")
AT_ONCE = 16
LIMIT = 10


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was really compared with the stored password."""
    seen: list[str] = []
    judge: Callable[[str, str], tuple[User | None, str]] = providers.judge

    def record(username: str, password: str) -> tuple[User | None, str]:
        seen.append(password)
        return judge(username, password)

    monkeypatch.setattr(providers, "judge", record)
    return seen


def guess(number: int) -> type:
    try:
        services.log_in("alice", f"guess {number}")
    except (NotAuthenticated, Throttled) as refusal:
        return type(refusal)
    return User


@pytest.mark.parametrize("before", [0, 7])
def test_no_more_are_judged_than_the_limit(before: int, cast: Cast, judged: list[str]) -> None:
    LoginFailure.objects.bulk_create(LoginFailure(username="alice", ip=None) for _ in range(before))
    outcomes = [outcome for _ in range(3) for outcome in in_threads(AT_ONCE, guess)]
    assert set(outcomes) == {NotAuthenticated, Throttled}
    assert len(judged) <= LIMIT - before
    assert outcomes.count(NotAuthenticated) == len(judged)
    assert LoginFailure.objects.count() == before + len(judged)


def test_without_counting_first_more_are_judged(cast: Cast, judged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: count, judge, and only then write down."""

    @contextmanager
    def counted_last(username: str) -> Iterator[LoginFailure]:
        if LoginFailure.objects.filter(username=username).count() >= LIMIT:
            msg = "Too many."
            raise Throttled(msg, retry_after=300)
        try:
            yield LoginFailure()
        except NotAuthenticated:
            LoginFailure.objects.create(username=username)
            raise

    monkeypatch.setattr(logins, "guessing", counted_last)
    in_threads(AT_ONCE, guess)
    assert len(judged) > LIMIT


def test_right_passwords_at_the_same_time_are_not_counted(cast: Cast) -> None:
    def log_in(_: int) -> Any:
        return services.log_in("alice", PASSWORD).pk

    assert in_threads(LIMIT, log_in) == [cast.alice.pk] * LIMIT
    assert not LoginFailure.objects.exists()


def test_one_code_is_taken_once(cast: Cast) -> None:
    """The same code at the same time in many browsers: one of them is let in."""
    import pyotp

    from apps.accounts.proof import Proof
    from apps.accounts.services import second_factor

    address = services.begin_second_factor(cast.sre, by=cast.sre)
    generator = pyotp.parse_uri(address)
    assert isinstance(generator, pyotp.TOTP)
    services.confirm_second_factor(cast.sre, by=cast.sre, proof=Proof(PASSWORD, generator.now()))
    later = generator.at(second_factor.timezone.now(), counter_offset=1)

    def use(_: int) -> bool:
        try:
            second_factor.check_code(cast.sre, later)
        except NotAuthenticated:
            return False
        return True

    assert sorted(in_threads(8, use)) == [False] * 7 + [True]
