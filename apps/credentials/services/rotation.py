"""Rotation of keys, while the platform runs. Every step is one row, so it may be stopped anywhere and begun again."""

import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.core import failpoints, sealing
from apps.core.errors import Conflict, DomainError, Invalid, NotAllowed
from apps.core.sealing import Ring
from apps.credentials import crypto
from apps.credentials.models import DataKey, SecretValue


@dataclass(slots=True)
class Rotation:
    """What a rotation did."""

    primary: str = ""
    is_new: bool = False
    resealed: int = 0
    reencrypted: int = 0
    data_keys_removed: int = 0


@dataclass(slots=True)
class Findings:
    """What a look at everything stored found: how many blobs are under each key, and what cannot be opened."""

    primary: str
    references: Counter[str] = field(default_factory=Counter)
    values: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def removable(self) -> list[str]:
        return [kid for kid in sealing.ring().keys if kid != self.primary and not self.references[kid]]


def rotate_keys(*, by: Any, values: bool = False) -> Rotation:
    """Seal everything under a new primary key; with `values` also encrypt each value under a new data key.

    A rotation that was stopped is gone on with: no further key is made. With a key ring from the environment the new
    primary key is the operator's to add, before. Old keys stay usable until they are retired. Audited.
    Raises: NotAllowed, KeyUnavailable, SealBroken.
    """
    _require_operator(by)
    done = Rotation()
    if not settings.CREDENTIAL_KEYS and not _is_under_way():
        _add_key(Path(settings.CREDENTIAL_KEYS_FILE))
        done.is_new = True
    done.primary = sealing.ring().primary
    for row in sealing.reseal_all():
        done.resealed += 1
        if isinstance(row, DataKey):
            audit.record("reseal", row, by=by, key=done.primary)
        failpoints.hit("secret.rotate.mid")
    if values:
        _rotate_data_keys(done, by)
    return done


def verify_keys(*, by: Any) -> Findings:
    """Open everything that is stored, and count what is under which key. Raises: NotAllowed, KeyUnavailable."""
    _require_operator(by)
    found = Findings(sealing.ring().primary, sealing.references())
    for name in sealing.unopenable():
        found.broken.append(name)
    for row in SecretValue.objects.select_related("data_key").order_by("pk").iterator(chunk_size=200):
        found.values += 1
        try:
            crypto.open_value(row)
        except DomainError as error:
            found.broken.append(f"credential {row.credential_id}, {row.field}: {error.detail}")
    return found


def retire_key(kid: str, *, by: Any) -> None:
    """Take a key out of the ring for ever. Raises: NotAllowed, Invalid, Conflict while anything is sealed under it."""
    _require_operator(by)
    keys = sealing.ring()
    if kid not in keys.keys:
        raise Invalid(errors={"key": ["It is not in the key ring."]})
    if kid == keys.primary:
        msg = "It is the primary key. Rotate first."
        raise Conflict(msg)
    if count := sealing.references()[kid]:
        msg = f"{count} secrets are sealed under it. Rotate first."
        raise Conflict(msg)
    if settings.CREDENTIAL_KEYS:
        msg = "Nothing is sealed under it: take it out of FATHOM_CREDENTIAL_KEYS, which this command cannot change."
        raise Conflict(msg)
    left = {name: key for name, key in keys.keys.items() if name != kid}
    sealing.write_ring(Path(settings.CREDENTIAL_KEYS_FILE), Ring(left))


def _is_under_way() -> bool:
    primary = sealing.ring().primary
    return any(kid != primary for kid in sealing.references())


def _add_key(path: Path) -> None:
    fresh = {f"k{secrets.token_hex(4)}": secrets.token_bytes(sealing.KEY_BYTES)}
    sealing.write_ring(path, Ring({**fresh, **sealing.ring().keys}))


def _rotate_data_keys(done: Rotation, by: Any) -> None:
    if not DataKey.objects.exclude(retired_at=None).exists():  # else one that was stopped is gone on with
        DataKey.objects.filter(retired_at=None).update(retired_at=Now())
    for old in DataKey.objects.exclude(retired_at=None).order_by("pk"):
        for pk in list(old.values.order_by("pk").values_list("pk", flat=True)):
            done.reencrypted += _reencrypt(pk)
            failpoints.hit("secret.rotate.mid")
        done.data_keys_removed += _remove(old, by)


@transaction.atomic
def _reencrypt(pk: UUID) -> int:
    row = SecretValue.objects.select_related("data_key", "credential__team").filter(pk=pk).first()
    if row is None:
        return 0
    return int(crypto.reencrypt(row, crypto.current_key(crypto.scope_of(row.credential))))


@transaction.atomic
def _remove(key: DataKey, by: Any) -> int:
    """Destroy a data key that nothing is encrypted under; a value written under it at the last moment keeps it."""
    if key.values.exists():
        return 0
    audit.record("destroy", key, by=by)
    key.delete()
    return 1


def _require_operator(by: Any) -> None:
    if by is not SYSTEM and not by.is_superuser:
        msg = "Only an admin rotates keys."
        raise NotAllowed(msg)
