"""The one-time link by which the first admin comes in."""

import hashlib
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import tokens
from apps.accounts.choices import PlatformRole
from apps.accounts.models import SetupLink, User
from apps.accounts.services.people import create_user
from apps.core.errors import NotAllowed, NotFound
from apps.core.locks import lock_row

SETUP_LINK_LIFETIME = timedelta(hours=24)


@transaction.atomic
def issue_setup_link() -> str:
    """Return the path of a fresh one-time link for the first admin; earlier links end.

    Raises: NotAllowed when an admin exists already.
    """
    if User.objects.filter(platform_role=PlatformRole.ADMIN, is_active=True).exists():
        msg = "An admin exists already."
        raise NotAllowed(msg)
    SetupLink.objects.filter(used_at=None).delete()
    value = tokens.random_token("set")
    SetupLink.objects.create(digest=_link_digest(value), expires_at=timezone.now() + SETUP_LINK_LIFETIME)
    return f"/setup/{value}/"


def is_setup_link_live(value: str) -> bool:
    """Say whether the link would still make an admin."""
    return SetupLink.objects.filter(digest=_link_digest(value), used_at=None, expires_at__gt=Now()).exists()


@transaction.atomic
def redeem_setup_link(value: str, *, username: str, email: str, password: str) -> User:
    """Create the first admin. The link works once.

    Raises: NotFound for an unknown, used or expired link, Invalid for a weak password or a bad name.
    """
    try:
        link = lock_row(SetupLink.objects.filter(digest=_link_digest(value), used_at=None, expires_at__gt=Now()))
    except SetupLink.DoesNotExist:
        raise NotFound from None
    user = create_user(username, by=SYSTEM, email=email, password=password, is_admin=True)
    link.used_at = timezone.now()
    link.save(update_fields=["used_at"])
    return user


def _link_digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()
