"""Who vouches for people: the one place where identity providers are known, whatever they are.

A password provider judges name and password; a redirect provider shows a button and lets the browser come back. Apps
above register theirs in `ready()`. SECURITY: an account belongs to one source for ever: the password of an account is
asked of its own source only, so no directory can open a local account, and no local password one of a directory's.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password

from apps.accounts.choices import IdentitySource
from apps.accounts.models import User

logger = structlog.get_logger(__name__)

_SESSIONS = "django.contrib.auth.backends.ModelBackend"  # loads everybody's, and keeps disabled people out


class Refused(Exception):
    """The person was recognised and yet may not come in. `reason` is for operators; he hears what everybody hears."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PasswordProvider(Protocol):
    """Judges passwords of the accounts of one source, and of people who have no account yet."""

    @property
    def source(self) -> IdentitySource: ...

    def is_on(self) -> bool:
        """Say whether this installation uses it."""

    def log_in(self, username: str, password: str) -> User | None:
        """Return whose password it is, None when it is wrong. Raises: Refused, Unready."""


@dataclass(frozen=True, slots=True)
class Button:
    """What a redirect provider shows on the login page."""

    label: str
    url: str


_passwords: dict[IdentitySource, PasswordProvider] = {}
_buttons: dict[IdentitySource, Callable[[], Button | None]] = {}


def register_passwords(provider: PasswordProvider) -> None:
    _passwords[provider.source] = provider


def register_redirect(source: IdentitySource, button: Callable[[], Button | None]) -> None:
    """Offer a way in through another site; `button` returns None while it is switched off."""
    _buttons[source] = button


def buttons() -> list[Button]:
    """List the ways in besides the password."""
    return [shown for button in _buttons.values() if (shown := button()) is not None]


def canonical(username: str) -> str:
    """Return the one spelling under which guesses are counted and directories are asked.

    SECURITY: directories compare without regard to case and much else, so each spelling would have guesses of its own.
    """
    return unicodedata.normalize("NFKC", username).strip().lower()


def judge(username: str, password: str) -> tuple[User | None, str]:
    """Return who it is; or None, with a reason when there is one besides a wrong password. Raises: Unready."""
    if "\x00" in username + password:
        return None, ""
    try:
        user = _ask(username, password)
    except Refused as refusal:
        logger.warning("login_refused", username=username, reason=refusal.reason)
        return None, refusal.reason[:300]
    if user is not None and not user.is_active:
        return None, "the account is disabled"
    return user, ""


def _ask(username: str, password: str) -> User | None:
    name = canonical(username)
    accounts = dict(User.objects.filter(username__iexact=name).values_list("username", "identity_source"))
    # The very name first: an account made later under another spelling must not shut its elder out.
    owner = accounts.get(username) or accounts.get(name)
    known = {owner} if owner else set(accounts.values())
    asked = [provider for source, provider in _passwords.items() if source in (known or {source}) and provider.is_on()]
    if IdentitySource.LOCAL in known or not asked:
        user = authenticate(username=username, password=password)
        return user if isinstance(user, User) and user.identity_source == IdentitySource.LOCAL else None
    for provider in asked:
        if password and (user := provider.log_in(name, password)) is not None:
            user.backend = _SESSIONS  # where Django's own `authenticate` writes it
            return user
    make_password(password)  # as long as a local account would have taken: the answer's time tells nothing
    return None
