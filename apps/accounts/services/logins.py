"""Coming in by name and password."""

from datetime import timedelta

from django.db.models.functions import Now

from apps.accounts import providers
from apps.accounts.models import LoginFailure, User
from apps.audit import services as audit
from apps.core.errors import DomainError, NotAuthenticated, Throttled
from apps.core.middleware import current_request

_FAILURE_WINDOW = timedelta(minutes=5)
_FAILURES_PER_ACCOUNT, _FAILURES_PER_ADDRESS = 10, 50


def log_in(username: str, password: str) -> User:
    """Check a password. Slowed down per account and per address.

    Raises: NotAuthenticated (never saying which part was wrong), Throttled, Unready when the directory that would know
    does not answer, which is no failure of the person.
    """
    ip = current_request.get().ip
    name = providers.canonical(username.replace("\x00", ""))[:150]
    recent = LoginFailure.objects.filter(at__gt=Now() - _FAILURE_WINDOW)
    too_many = (
        recent.filter(username=name).count() >= _FAILURES_PER_ACCOUNT
        or recent.filter(ip=ip).count() >= _FAILURES_PER_ADDRESS
    )
    if too_many:
        msg = "Too many failed logins. Wait five minutes."
        raise _login_refused(name, Throttled(msg, retry_after=int(_FAILURE_WINDOW.total_seconds())))
    user, reason = providers.judge(username, password)
    if user is None:
        LoginFailure.objects.create(username=name, ip=ip, reason=reason)
        msg = "The name or the password is wrong."
        raise _login_refused(name, NotAuthenticated(msg))
    return user


def _login_refused(name: str, error: DomainError) -> DomainError:
    """Note whose account was tried. SECURITY: a name that nobody has may be a password in the wrong field: not kept."""
    return audit.refused(None, "log_in", User.objects.filter(username=name).first() or "accounts.user", error)
