"""From a value to what is stored, and back: a data key per tenant, each value bound to its place.

A value is encrypted under a data key; data keys are sealed under the key ring, which is never in the database. What a
value is bound to names credential, version, field and data key, so a ciphertext that is moved does not open.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from apps.core import sealing
from apps.core.errors import SealBroken
from apps.core.locks import lock_row
from apps.credentials.models import Credential, DataKey, SecretValue

WRAPPED = sealing.Column("credentials.DataKey", "wrapped", lambda key: _place_of_key(key))


def store(credential: Credential, values: Mapping[str, bytes]) -> None:
    """Write the values of the credential's present version and destroy those of any other. Raises: KeyUnavailable."""
    key = current_key(scope_of(credential))
    opened = open_key(key)
    SecretValue.objects.filter(credential=credential).delete()
    SecretValue.objects.bulk_create(
        SecretValue(
            credential=credential,
            version=credential.version,
            field=field,
            data_key=key,
            ciphertext=sealing.encrypt(
                opened, value, bound_to=_place(credential.pk, credential.version, field, key.pk)
            ),
        )
        for field, value in values.items()
    )


def open_values(rows: Iterable[SecretValue]) -> dict[str, bytes]:
    """Decrypt the values of one credential, loaded with their data keys. Raises: KeyUnavailable, SealBroken."""
    return {row.field: open_value(row) for row in rows}


def open_value(row: SecretValue) -> bytes:
    """Raises: KeyUnavailable, SealBroken."""
    place = _place(row.credential_id, row.version, row.field, row.data_key_id)
    return sealing.decrypt(open_key(row.data_key), bytes(row.ciphertext), bound_to=place)


def reencrypt(row: SecretValue, key: DataKey) -> bool:
    """Move a value to another data key; false when it was replaced or moved meanwhile. Raises: KeyUnavailable, SealBroken."""
    place = _place(row.credential_id, row.version, row.field, key.pk)
    fresh = sealing.encrypt(open_key(key), open_value(row), bound_to=place)
    same = SecretValue.objects.filter(
        pk=row.pk, version=row.version, data_key=row.data_key_id, ciphertext=row.ciphertext
    )
    return bool(same.update(data_key=key, ciphertext=fresh))


@transaction.atomic
def current_key(scope: str) -> DataKey:
    """Return the data key that takes new values of `scope`; made when there is none. Raises: KeyUnavailable.

    LOCKING: the row stays locked to the end of the transaction, so that the key is not destroyed under what it encrypts.
    """
    live = DataKey.objects.filter(scope=scope, retired_at=None)
    try:
        return lock_row(live)
    except DataKey.DoesNotExist:
        pass
    key = DataKey(scope=scope)
    key.wrapped = sealing.seal(secrets.token_bytes(sealing.KEY_BYTES), bound_to=_place_of_key(key))
    try:
        with transaction.atomic():
            key.save()
    except IntegrityError:  # made meanwhile by another
        return lock_row(live)
    return key


def open_key(key: DataKey) -> bytes:
    """Raises: KeyUnavailable, SealBroken."""
    opened = sealing.open_sealed(bytes(key.wrapped), bound_to=_place_of_key(key))
    if len(opened) != sealing.KEY_BYTES:
        msg = "A data key has the wrong length."
        raise SealBroken(msg)
    return opened


def scope_of(credential: Credential) -> str:
    """Return the tenant whose data key encrypts the values: the team's organization, or the owner."""
    if credential.team is None:
        return f"user:{credential.owner_id}"
    return f"org:{credential.team.organization_id}"


def fingerprint(credential_id: UUID, values: Mapping[str, bytes]) -> str:
    """Return eight digits by which its managers tell one value from another.

    SECURITY: keyed, and bound to the credential: neither a dump nor a second credential tells whether a guess is right.
    """
    digest = hmac.new(_fingerprint_key(), credential_id.bytes, hashlib.sha256)
    for field in sorted(values):
        digest.update(f"|{field}|{len(values[field])}|".encode() + values[field])
    return digest.hexdigest()[:8]


def _fingerprint_key() -> bytes:
    return hmac.digest(bytes.fromhex(settings.FATHOM_DATA_KEY), b"credential-fingerprint", hashlib.sha256)


def _place(credential: UUID, version: int, field: str, key: UUID) -> str:
    return f"credential|{credential}|{version}|{field}|{key}"


def _place_of_key(key: DataKey) -> str:
    return f"data-key|{key.scope}|{key.pk}"
