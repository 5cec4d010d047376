"""Writes on people."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Lower

from apps.access.policy import require_admin
from apps.accounts import recent
from apps.accounts.choices import PlatformRole
from apps.accounts.models import User, UserSession
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row

SERVICE_PREFIX = "svc."  # names that begin so are service accounts'
_RESERVED = {"import"}  # a word in the addresses of the API
_EDITABLE = {"username", "email", "first_name", "last_name"}


@transaction.atomic
def create_user(
    username: str,
    *,
    by: Any,
    email: str = "",
    password: str | None = None,
    is_admin: bool = False,
    platform_role: PlatformRole | str = PlatformRole.NONE,
    first_name: str = "",
    last_name: str = "",
) -> User:
    """Create a person; without a password he can only use tokens until one is set. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid for a taken name (in whatever case) or a weak password.
    """
    require_admin(by)
    role = PlatformRole.ADMIN if is_admin else platform_role
    facts = {"email": email, "first_name": first_name, "last_name": last_name, "platform_role": role}
    return open_account(username, by=by, password=password, **facts)


@transaction.atomic
def open_account(username: str, *, by: Any, password: str | None = None, **facts: Any) -> User:
    """Make an account in the name of `by`, who has been judged by the caller. Audited.

    Raises: Invalid for a taken or reserved name, or a weak password.
    """
    user = User(username=username, **facts)
    _require_free(user)
    set_first_password(user, password)
    _save(user)
    shown = {"platform_role": str(user.platform_role)} | ({"team": str(user.service_of)} if user.service_of else {})
    audit.record("create", user, by=by, **shown)
    return user


@transaction.atomic
def open_accounts(people: Sequence[User], *, by: Any) -> list[User]:
    """Make many accounts at once, without passwords: a file of thousands must not take a statement for each check.

    Admins only. Audited one by one. Raises: NotAllowed, Invalid when any name is taken, reserved or ill-formed.
    """
    require_admin(by)
    for user in people:
        user.set_unusable_password()
        _require_free(user)
        try:
            user.clean_fields(exclude=["password"])
        except ValidationError as error:
            raise Invalid(errors=error.message_dict) from error
    names = [user.username.lower() for user in people]
    taken = (
        User.objects.annotate(low=Lower("username")).filter(low__in=names).values_list("username", flat=True).first()
    )
    if taken is not None or len(set(names)) != len(names):
        raise Invalid(errors={"username": [f"The name {taken or 'of two of them'} is taken."]})
    try:
        with transaction.atomic():
            made: list[User] = User.objects.bulk_create(people, batch_size=500)
    except IntegrityError as error:
        raise Invalid(errors={"username": ["One of the names was taken meanwhile."]}) from error
    for user in made:
        audit.record("create", user, by=by, platform_role=str(user.platform_role))
    return made


@transaction.atomic
def update_user(user: User, *, by: Any, reason: str = "", **changes: str) -> User:
    """Change a person's name, e-mail, first or last name. Audited, with what it was.

    Raises: NotAllowed unless `by` is an admin, Invalid for a taken or ill-formed value, Conflict for the name of a
    service account, which says whose it is.
    """
    require_admin(by)
    if unknown := set(changes) - _EDITABLE:
        raise Invalid(errors={name: ["This cannot be changed here."] for name in sorted(unknown)})
    row = lock_row(User.objects.filter(pk=user.pk))
    before = {name: getattr(row, name) for name, value in changes.items() if getattr(row, name) != value}
    if not before:
        return user
    if "username" in before and row.service_of_id is not None:
        msg = "The name of a service account is made from its team's."
        raise Conflict(msg)
    for name in before:
        setattr(row, name, changes[name])
        setattr(user, name, changes[name])
    if "username" in before:
        _require_free(row)
    _save(row, only=sorted(before))
    recent.forget()
    audit.record("update", row, by=by, reason=reason, before=before, after={name: changes[name] for name in before})
    return user


def refused_name(username: str) -> str:
    """Say why no person may have this name, taken or not; or ""."""
    name = username.lower()
    if name.startswith(SERVICE_PREFIX):
        return f"Names that begin with {SERVICE_PREFIX} are service accounts'."
    return "This name is taken." if name in _RESERVED else ""


def _require_free(user: User) -> None:
    """Raises: Invalid for a name that no person may have."""
    if user.service_of_id is None and (sentence := refused_name(user.username)):
        raise Invalid(errors={"username": [sentence]})


def _save(user: User, only: list[str] | None = None) -> None:
    """Raises: Invalid. A name is taken in whatever case: people read Alice and alice as one."""
    try:
        user.full_clean(exclude=["password"])
        if User.objects.filter(username__iexact=user.username).exclude(pk=user.pk).exists():
            raise Invalid(errors={"username": ["This name is taken."]})
        with transaction.atomic():
            user.save(update_fields=only)
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Invalid(errors={"username": ["This name is taken."]}) from error


def set_first_password(user: User, password: str | None) -> None:
    """Put a checked password onto an account that is being made, or none. Raises: Invalid."""
    if password is None:
        user.set_unusable_password()
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(errors={"password": list(error.messages)}) from error
    user.set_password(password)


@transaction.atomic
def set_platform_role(user: User, role: PlatformRole | str, *, by: Any, reason: str = "") -> None:
    """Make a person an admin, an auditor, or neither. Idempotent. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid for an unknown role, Conflict for oneself, so that an admin
    always remains, and for a service account.
    """
    require_admin(by)
    if role not in PlatformRole.values:
        raise Invalid(errors={"platform_role": [f"One of {', '.join(filter(None, PlatformRole.values))}, or empty."]})
    if by.pk == user.pk:
        msg = "You cannot change your own platform role. Ask another admin."
        raise Conflict(msg)
    row = lock_row(User.objects.filter(pk=user.pk))
    if role and row.service_of_id is not None:
        msg = "A service account has no platform role."
        raise Conflict(msg)
    before = row.platform_role
    if before != role:
        User.objects.filter(pk=user.pk).update(platform_role=role)
        UserSession.objects.filter(user=user).update(elevated_until=None)
        user.platform_role = role
        recent.forget()
        audit.record("set_platform_role", user, by=by, reason=reason, before=before, after=str(role))
