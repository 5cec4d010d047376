"""What a person shows, beside being logged in, before he may do what a stolen session must not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.accounts.models import User

FRESH = timedelta(minutes=5)  # a login elsewhere, so long ago at most, stands in for a password
LOGGED_IN_AT = "logged_in_at"  # in a session: when a provider says that the password was last typed, in epoch seconds


@dataclass(frozen=True, slots=True)
class Proof:
    """`password`, the `code` of a second factor, and when the person last logged in elsewhere (`auth_time`)."""

    password: str = ""
    code: str = ""
    logged_in_at: datetime | None = None

    @property
    def is_fresh(self) -> bool:
        return self.logged_in_at is not None and timezone.now() - self.logged_in_at < FRESH


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A provider that keeps the passwords of its people. `knows` says whose it is.

    `login_url` returns where such a person logs in anew and comes back to a path of ours; who comes back so has
    LOGGED_IN_AT in his session. None: the password is typed here, and whoever judges passwords asks the provider.
    """

    knows: Callable[[User], bool]
    login_url: Callable[[str], str] | None = None


_elsewhere: list[Elsewhere] = []


def register(provider: Elsewhere) -> None:
    """Declare a provider, in `AppConfig.ready`."""
    _elsewhere.append(provider)


def has_password_here(user: User) -> bool:
    """Say whether the person's password is this platform's to keep and to change."""
    return user.service_of_id is None and not any(provider.knows(user) for provider in _elsewhere)


def elsewhere(user: User) -> Callable[[str], str] | None:
    """Return the way to the site where the person types his password; None when he types it here."""
    return next((provider.login_url for provider in _elsewhere if provider.knows(user)), None)


def logged_in_at(session: Any) -> datetime | None:
    """Return when the person of a session last logged in elsewhere."""
    seconds = session.get(LOGGED_IN_AT)  # None, too, where the provider does not say
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC)
