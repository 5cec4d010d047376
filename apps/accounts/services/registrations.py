"""People who ask for an account by themselves. Nothing is made before an admin says yes.

SECURITY: asking tells nobody whether a name exists: it is not looked up. Who approves sees that it is taken.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.access.principal import SYSTEM
from apps.accounts.models import Registration, User
from apps.accounts.services.people import open_account
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotFound, Throttled
from apps.core.locks import lock_row
from apps.core.middleware import current_request

_WINDOW = timedelta(hours=1)
_PER_ADDRESS = 5
_MOST_WAITING = 1000  # a queue nobody could read any more


@transaction.atomic
def register(*, username: str, email: str, password: str, note: str = "", **names: str) -> Registration:
    """Ask for an account. Audited, as the platform's doing: there is nobody yet.

    Raises: NotFound when the platform does not take registrations, Throttled, Invalid for an ill-formed name or a weak
    password.
    """
    require_open()
    ip = current_request.get().ip
    lately = Registration.objects.filter(ip=ip, created_at__gt=Now() - _WINDOW).count()
    if lately >= _PER_ADDRESS or Registration.objects.waiting().count() >= _MOST_WAITING:
        msg = "Too many people have asked for an account lately. Try again in an hour."
        raise Throttled(msg, retry_after=int(_WINDOW.total_seconds()))
    asked = User(username=username, email=email, **names)
    try:
        asked.clean_fields(exclude=["password"])
        validate_password(password, asked)
    except ValidationError as error:
        found = error.message_dict if hasattr(error, "error_dict") else {"password": list(error.messages)}
        raise Invalid(errors=found) from error
    facts = {"note": note[:500], "password": make_password(password), "ip": ip}
    made = Registration.objects.create(username=username, email=email, **names, **facts)
    audit.record("register", made, by=SYSTEM)
    return made


def require_open() -> None:
    """Let pass where the platform takes registrations. Raises: NotFound."""
    if not settings.SELF_REGISTRATION:
        raise NotFound


@transaction.atomic
def approve_registration(registration: Registration, *, by: Any, reason: str = "") -> User:
    """Make the account that was asked for, with the password that was chosen then. Audited.

    Raises: NotAllowed unless `by` is an admin, Conflict when it was decided before, or its name is taken.
    """
    row = _undecided(registration, by)
    names = {"first_name": row.first_name, "last_name": row.last_name}
    try:
        user = open_account(row.username, by=by, email=row.email, **names)
    except Invalid as error:
        msg = f"{error.detail} Reject it, and tell the person to ask under another name."
        raise Conflict(msg) from error
    user.password = row.password
    user.save(update_fields=["password"])
    _decide(row, registration, by=by, reason=reason, user=user)
    audit.record("approve", row, by=by, reason=reason)
    return user


@transaction.atomic
def reject_registration(registration: Registration, *, by: Any, reason: str) -> None:
    """Say no. Audited. Raises: NotAllowed unless `by` is an admin, Conflict when it was decided before."""
    row = _undecided(registration, by)
    _decide(row, registration, by=by, reason=reason, user=None)
    audit.record("reject", row, by=by, reason=reason)


def _undecided(registration: Registration, by: Any) -> Registration:
    policy.require(by, "decide", registration)
    row = lock_row(Registration.objects.filter(pk=registration.pk))
    if row.decided_at is not None:
        msg = f"It is {row.state} already."
        raise Conflict(msg)
    return row


def _decide(row: Registration, given: Registration, *, by: Any, reason: str, user: User | None) -> None:
    row.decided_by_id, row.reason, row.user, row.password = by.pk, reason[:500], user, ""
    row.decided_at = Now()
    row.save(update_fields=["decided_at", "decided_by", "reason", "user", "password"])
    given.refresh_from_db()
