"""Coming in by name and password, and slowing down whoever guesses."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models.functions import Now

from apps.accounts import providers
from apps.accounts.models import LoginFailure, User
from apps.accounts.proof import Proof, elsewhere
from apps.audit import services as audit
from apps.core.errors import DomainError, NotAuthenticated, Throttled
from apps.core.middleware import current_request

WRONG = "The password or the code is wrong."
_FAILURE_WINDOW = timedelta(minutes=5)
_FAILURES_PER_ACCOUNT, _FAILURES_PER_ADDRESS = 10, 50


def log_in(username: str, password: str) -> User:
    """Check a password. Slowed down per account and per address.

    Raises: NotAuthenticated (never saying which part was wrong), Throttled, Unready when the directory that would know
    does not answer, which is no failure of the person.
    """
    with guessing(username) as guess:
        user, reason = providers.judge(username, password)
        if user is None:
            LoginFailure.objects.filter(pk=guess.pk).update(reason=reason)
            msg = "The name or the password is wrong."
            raise _refused(guess, NotAuthenticated(msg))
    return user


def check_person(user: User, proof: Proof) -> None:
    """Check that a password is that of `user`, or that he has just logged in where his password is asked.

    The caller counts the guess. Raises: NotAuthenticated, Unready.
    """
    if elsewhere(user) is not None:
        if not proof.is_fresh:
            msg = "Log in again first."
            raise NotAuthenticated(msg)
        return
    found, _ = providers.judge(user.username, proof.password)
    if found is None or found.pk != user.pk:
        raise audit.refused(user, "prove", user, NotAuthenticated(WRONG))


@contextmanager
def guessing(username: str) -> Iterator[LoginFailure]:
    """Count what is judged inside as a guess at the account; it stays counted when it raises NotAuthenticated.

    Raises: Throttled, before anything is judged.
    """
    # SECURITY: counted first and judged then. Of guesses at the same time each sees the others, so that no more are
    # judged than one after the other would be. The caller opens no transaction around this: it would hide the guess
    # from the others, and take it back with the refusal.
    name = providers.canonical(username.replace("\x00", ""))[:150]
    guess = LoginFailure.objects.create(username=name, ip=current_request.get().ip)
    try:
        _refuse_too_many(guess)
        yield guess
    except NotAuthenticated:
        raise
    except BaseException:
        guess.delete()
        raise
    guess.delete()


def _refuse_too_many(guess: LoginFailure) -> None:
    recent = LoginFailure.objects.filter(at__gt=Now() - _FAILURE_WINDOW)
    if (
        recent.filter(username=guess.username).count() > _FAILURES_PER_ACCOUNT
        or recent.filter(ip=guess.ip).count() > _FAILURES_PER_ADDRESS
    ):
        msg = "Too many failed logins. Wait five minutes."
        raise _refused(guess, Throttled(msg, retry_after=int(_FAILURE_WINDOW.total_seconds())))


def _refused(guess: LoginFailure, error: DomainError) -> DomainError:
    """Note whose account was tried. SECURITY: a name that nobody has may be a password in the wrong field: not kept."""
    known = User.objects.filter(username__iexact=guess.username).first()
    return audit.refused(None, "log_in", known or "accounts.user", error)
