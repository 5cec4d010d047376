"""The second factor: codes from a generator (TOTP, RFC 6238), each taken once, and recovery codes."""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Any

import pyotp
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.accounts.models import RecoveryCode, SecondFactor, User
from apps.accounts.proof import Proof
from apps.accounts.services.logins import WRONG, check_person, guessing
from apps.audit import services as audit
from apps.core import sealing
from apps.core.errors import Conflict, Invalid, NotAuthenticated

_STEP_SECONDS = 30
_RECOVERY_CODES = 10
_RECOVERY_BYTES = 10


def place_of(user_id: Any) -> str:
    """Return what a sealed seed is bound to."""
    return f"totp|{user_id}"


def has_second_factor(user: User) -> bool:
    return SecondFactor.objects.filter(user=user).exclude(confirmed_at=None).exists()


@transaction.atomic
def begin_second_factor(user: User, *, by: Any) -> str:
    """Return the `otpauth:` address of a new seed, for a QR code; it is in force once a code has confirmed it.

    Raises: NotAllowed, Conflict when one is in force already, KeyUnavailable.
    """
    policy.require(by, "edit", user)
    seed = pyotp.random_base32()
    sealed = sealing.seal(seed.encode(), bound_to=place_of(user.pk))
    factor, is_new = SecondFactor.objects.get_or_create(user=user, defaults={"seed": sealed})
    if factor.confirmed_at is not None:
        msg = "You have a second factor already. Switch it off first."
        raise Conflict(msg)
    if not is_new:
        seed = _seed_of(factor)  # the page was loaded again: the same code stays on it
    return str(pyotp.TOTP(seed).provisioning_uri(name=user.username, issuer_name="Fathom"))


def confirm_second_factor(user: User, *, by: Any, proof: Proof) -> list[str]:
    """Put the new generator in force by a first code, beside the password; return recovery codes, shown this once. Audited.

    Raises: NotAllowed, Conflict when there is nothing to confirm, NotAuthenticated, Throttled.
    """
    policy.require(by, "edit", user)
    factor = SecondFactor.objects.filter(user=user, confirmed_at=None).first()
    if factor is None:
        msg = "There is no second factor to confirm."
        raise Conflict(msg)
    with guessing(user.username):
        check_person(user, proof)
        if not _accept(factor, proof.code):
            raise NotAuthenticated(WRONG)
    codes = [_recovery_code() for _ in range(_RECOVERY_CODES)]
    with transaction.atomic():
        if not SecondFactor.objects.filter(user=user, confirmed_at=None).update(confirmed_at=Now()):
            msg = "It was confirmed meanwhile."
            raise Conflict(msg)
        RecoveryCode.objects.filter(user=user).delete()
        RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
        audit.record("enable_second_factor", user, by=by)
    return codes


def check_code(user: User, code: str) -> None:
    """Take a code of the generator, or a recovery code, once. The caller counts the guess.

    Raises: NotAuthenticated, KeyUnavailable, SealBroken.
    """
    factor = SecondFactor.objects.filter(user=user).exclude(confirmed_at=None).first()
    if factor is None or not (_accept(factor, code) or _accept_recovery(user, code)):
        raise NotAuthenticated(WRONG)


@transaction.atomic
def drop_second_factor(user: User) -> bool:
    """Delete generator and recovery codes, for services that have judged; say whether there was one in force."""
    RecoveryCode.objects.filter(user=user).delete()
    deleted, _ = SecondFactor.objects.filter(user=user).exclude(confirmed_at=None).delete()
    SecondFactor.objects.filter(user=user).delete()
    return bool(deleted)


@transaction.atomic
def reset_second_factor(user: User, *, by: Any, reason: str) -> None:
    """Take a lost second factor off somebody else's account. Idempotent. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid without a reason, Conflict for one's own, which takes a code.
    """
    policy.require_admin(by)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    if by.pk == user.pk:
        msg = "Your own second factor is switched off with a code, on your account page."
        raise Conflict(msg)
    if drop_second_factor(user):
        audit.record("reset_second_factor", user, by=by, reason=reason)


def recovery_codes_left(user: User) -> int:
    return int(RecoveryCode.objects.filter(user=user, used_at=None).count())


def _accept(factor: SecondFactor, code: str) -> bool:
    """Compare with the codes of now and of the steps beside it. SECURITY: compare-and-swap, so that none counts twice."""
    typed = re.sub(r"\s", "", code)
    if not re.fullmatch(r"[0-9]{6}", typed):
        return False
    generator = pyotp.TOTP(_seed_of(factor))
    now = int(timezone.now().timestamp()) // _STEP_SECONDS
    for step in (now, now - 1, now + 1):
        if hmac.compare_digest(generator.generate_otp(step), typed):
            rows = SecondFactor.objects.filter(user_id=factor.user_id, seed=factor.seed, last_step__lt=step)
            return bool(rows.update(last_step=step))
    return False


def _accept_recovery(user: User, code: str) -> bool:
    rows = RecoveryCode.objects.filter(user=user, digest=_digest(user, code), used_at=None)
    return bool(rows.update(used_at=Now()))


def _seed_of(factor: SecondFactor) -> str:
    return sealing.open_sealed(bytes(factor.seed), bound_to=place_of(factor.user_id)).decode()


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _digest(user: User, code: str) -> str:
    plain = re.sub(r"[^a-z2-7]", "", code.lower())
    return hashlib.sha256(f"{user.pk}|{plain}".encode()).hexdigest()
