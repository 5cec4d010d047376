"""What a person shows, beside being logged in, before he may do what a stolen session must not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from apps.accounts.models import User

FRESH = timedelta(minutes=5)  # a login elsewhere, so long ago at most, stands in for a password


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
    """A provider whose people type their password at its own site, never here.

    `knows` says whose it is; `login_url` returns where such a person logs in anew and comes back to a path of ours.
    """

    knows: Callable[[User], bool]
    login_url: Callable[[str], str]


_elsewhere: list[Elsewhere] = []


def register(provider: Elsewhere) -> None:
    """Declare a provider, in `AppConfig.ready`. Directories that judge a password typed here need not."""
    _elsewhere.append(provider)


def elsewhere(user: User) -> Elsewhere | None:
    """Return the provider at whose site the person logs in; None when his password is asked here."""
    return next((provider for provider in _elsewhere if provider.knows(user)), None)
