"""Secrets at rest: authenticated encryption with keys that are never in the database.

`seal` encrypts a small secret under the primary key of the ring and binds it to its place (`bound_to`, for example
"totp|<user id>"): a blob that is moved to another place does not open. Whoever stores sealed blobs declares the column
in `AppConfig.ready`, so that a rotation finds it:

    sealing.declare(sealing.Column("accounts.AdminSeed", "seed", lambda row: f"totp|{row.user_id}"))

Nothing here falls back to plain text: without the key there is `KeyUnavailable`, with a changed blob `SealBroken`.
"""

import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings

from apps.core.errors import KeyUnavailable, SealBroken

KEY_BYTES = 32
_VERSION = b"v1"
_NONCE_BYTES = 12
_ENTRY = re.compile(r"([A-Za-z0-9_-]{1,32}):([0-9A-Fa-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys by their ids, the primary first."""

    keys: Mapping[str, bytes]

    @property
    def primary(self) -> str:
        return next(iter(self.keys))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of sealed blobs: "app.Model", the field, and what each row's blob is bound to."""

    model: str
    field: str
    bound_to: Callable[[Any], str]

    def rows(self) -> Any:
        """Return the rows that hold a blob, in the order of their keys."""
        manager = apps.get_model(self.model)._base_manager  # noqa: SLF001 -- generic code
        return manager.exclude(**{self.field: None}).exclude(**{self.field: b""}).order_by("pk")


_columns: dict[tuple[str, str], Column] = {}


def declare(column: Column) -> None:
    """Tell the rotation of a column of sealed blobs."""
    _columns[column.model, column.field] = column


def seal(value: bytes, *, bound_to: str) -> bytes:
    """Encrypt under the primary key. Raises: KeyUnavailable."""
    keys = ring()
    kid = keys.primary
    head = _VERSION + bytes([len(kid)]) + kid.encode()
    return head + encrypt(keys.keys[kid], value, bound_to=f"{kid}|{bound_to}")


def open_sealed(blob: bytes, *, bound_to: str) -> bytes:
    """Decrypt what `seal` made for this place. Raises: KeyUnavailable, SealBroken."""
    kid, body = _split(blob)
    key = ring().keys.get(kid)
    if key is None:
        msg = f"The key {kid} is not in the key ring: put it back, then try again."
        raise KeyUnavailable(msg)
    return decrypt(key, body, bound_to=f"{kid}|{bound_to}")


def key_of(blob: bytes) -> str:
    """Return the id of the key that a blob is sealed under. Raises: SealBroken."""
    return _split(blob)[0]


def needs_resealing(blob: bytes) -> bool:
    """Say whether a blob is under another key than the primary. Raises: KeyUnavailable, SealBroken."""
    return key_of(blob) != ring().primary


def references() -> Counter[str]:
    """Count the sealed blobs under each key, over all declared columns. Raises: SealBroken."""
    found: Counter[str] = Counter()
    for column in _columns.values():
        values = column.rows().values_list(column.field, flat=True)
        found.update(key_of(bytes(blob)) for blob in values.iterator(chunk_size=1000))
    return found


def reseal_all() -> Iterator[str]:
    """Seal every declared blob under the primary key; yields the model of each that was changed.

    Each row by itself, by compare-and-swap on the old blob: it may be stopped at any point and begun again, beside
    running processes. Raises: KeyUnavailable, SealBroken.
    """
    for column in _columns.values():
        for row in column.rows().iterator(chunk_size=200):
            blob = bytes(getattr(row, column.field))
            if not needs_resealing(blob):
                continue
            place = column.bound_to(row)
            fresh = seal(open_sealed(blob, bound_to=place), bound_to=place)
            if column.rows().filter(pk=row.pk, **{column.field: blob}).update(**{column.field: fresh}):
                yield column.model


def encrypt(key: bytes, value: bytes, *, bound_to: str) -> bytes:
    """AES-256-GCM with a random nonce, which goes first."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, value, bound_to.encode())


def decrypt(key: bytes, data: bytes, *, bound_to: str) -> bytes:
    """Raises: SealBroken when key, data or place are not those of `encrypt`."""
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError):
        msg = "A stored secret was changed or moved: it cannot be opened. Replace it."
        raise SealBroken(msg) from None


def ring() -> Ring:
    """Return the key ring; a file is read anew when it has changed, so a rotation needs no restart.

    Raises: KeyUnavailable.
    """
    if settings.CREDENTIAL_KEYS:
        return parse_ring(settings.CREDENTIAL_KEYS)
    path = Path(settings.CREDENTIAL_KEYS_FILE)
    try:
        state = path.stat()
        return _read_ring(path, state.st_mtime_ns, state.st_ino)
    except OSError as error:
        msg = f"The key ring {path} cannot be read: {error.strerror}. Secrets can neither be stored nor used."
        raise KeyUnavailable(msg) from error


@lru_cache(maxsize=4)
def _read_ring(path: Path, _changed: int, _inode: int) -> Ring:
    return parse_ring(path.read_text())


@lru_cache(maxsize=4)
def parse_ring(text: str) -> Ring:
    """Read `kid:hex` entries, separated by commas or lines; the first is the primary. Raises: KeyUnavailable."""
    keys: dict[str, bytes] = {}
    for entry in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        match = _ENTRY.match(entry)
        if match is None or match[1] in keys:
            msg = "The key ring is malformed: it holds entries id:key, each key 64 hexadecimal digits, each id once."
            raise KeyUnavailable(msg)
        keys[match[1]] = bytes.fromhex(match[2])
    if not keys:
        msg = "The key ring is empty: secrets can neither be stored nor used."
        raise KeyUnavailable(msg)
    return Ring(keys)


def write_ring(path: Path, keys: Ring) -> None:
    """Write the ring's file with mode 0600, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.writelines(f"{kid}:{key.hex()}\n" for kid, key in keys.keys.items())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _split(blob: bytes) -> tuple[str, bytes]:
    length = blob[len(_VERSION)] if len(blob) > len(_VERSION) else 0
    start = len(_VERSION) + 1
    if not blob.startswith(_VERSION) or len(blob) < start + length + _NONCE_BYTES:
        msg = "A stored secret is not of a known form: it cannot be opened. Replace it."
        raise SealBroken(msg)
    return blob[start : start + length].decode("ascii", "replace"), blob[start + length :]
