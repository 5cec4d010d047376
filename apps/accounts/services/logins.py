"""Coming in by name and password, and slowing down whoever guesses."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.contrib.auth import authenticate
from django.db.models.functions import Now

from apps.accounts.models import LoginFailure, User
from apps.accounts.proof import Proof, elsewhere
from apps.core.errors import NotAuthenticated, Throttled
from apps.core.middleware import current_request

WRONG = "The password or the code is wrong."
_FAILURE_WINDOW = timedelta(minutes=5)
_FAILURES_PER_ACCOUNT, _FAILURES_PER_ADDRESS = 10, 50


def log_in(username: str, password: str) -> User:
    """Check a password. Slowed down per account and per address.

    Raises: NotAuthenticated (never saying which part was wrong), Throttled.
    """
    with guessing(username):
        user = _whose(username, password)
        if user is None:
            msg = "The name or the password is wrong."
            raise NotAuthenticated(msg)
    return user


def check_person(user: User, proof: Proof) -> None:
    """Check that a password is that of `user`, or that he has just logged in where his password is asked.

    The caller counts the guess. Raises: NotAuthenticated.
    """
    if elsewhere(user) is not None:
        if not proof.is_fresh:
            msg = "Log in again first."
            raise NotAuthenticated(msg)
        return
    found = _whose(user.username, proof.password)
    if found is None or found.pk != user.pk:
        raise NotAuthenticated(WRONG)


@contextmanager
def guessing(username: str) -> Iterator[None]:
    """Count what is judged inside as a guess at the account; it stays counted when it raises NotAuthenticated.

    Raises: Throttled, before anything is judged.
    """
    # SECURITY: counted first and judged then. Of guesses at the same time each sees the others, so that no more are
    # judged than one after the other would be. The caller opens no transaction around this: it would hide the guess
    # from the others, and take it back with the refusal.
    ip = current_request.get().ip
    guess = LoginFailure.objects.create(username=_account(username), ip=ip)
    try:
        _refuse_too_many(guess)
        yield
    except NotAuthenticated:
        raise
    except BaseException:
        guess.delete()
        raise
    guess.delete()


def _whose(username: str, password: str) -> User | None:
    user = None if "\x00" in username + password else authenticate(username=username, password=password)
    return user if isinstance(user, User) and user.is_active else None


def _refuse_too_many(guess: LoginFailure) -> None:
    recent = LoginFailure.objects.filter(at__gt=Now() - _FAILURE_WINDOW)
    if (
        recent.filter(username=guess.username).count() > _FAILURES_PER_ACCOUNT
        or recent.filter(ip=guess.ip).count() > _FAILURES_PER_ADDRESS
    ):
        msg = "Too many failed logins. Wait five minutes."
        raise Throttled(msg, retry_after=int(_FAILURE_WINDOW.total_seconds()))


def _account(username: str) -> str:
    """Return the name under which guesses are counted: all that a directory might take for the same one."""
    return unicodedata.normalize("NFKC", username.replace("\x00", "")).casefold().strip()[:150]
