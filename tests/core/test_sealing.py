from pathlib import Path
from typing import Any

import pytest

from apps.core import sealing
from apps.core.errors import KeyUnavailable, SealBroken
from apps.core.sealing import Ring

_OLD, _NEW = Ring({"old": b"o" * 32}), Ring({"new": b"n" * 32, "old": b"o" * 32})


@pytest.fixture
def ring_file(settings: Any, tmp_path: Path) -> Path:
    path = tmp_path / "credential.keys"
    settings.CREDENTIAL_KEYS = ""
    settings.CREDENTIAL_KEYS_FILE = path
    sealing.write_ring(path, _OLD)
    return path


def test_a_blob_opens_in_its_place_only() -> None:
    blob = sealing.seal(b"canary", bound_to="totp|1")
    assert sealing.open_sealed(blob, bound_to="totp|1") == b"canary"
    assert b"canary" not in blob
    assert sealing.seal(b"canary", bound_to="totp|1") != blob
    with pytest.raises(SealBroken):
        sealing.open_sealed(blob, bound_to="totp|2")


def test_every_changed_byte_is_noticed() -> None:
    blob = sealing.seal(b"canary", bound_to="here")
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1
        with pytest.raises((SealBroken, KeyUnavailable)):
            sealing.open_sealed(bytes(changed), bound_to="here")
    for length in range(len(blob)):
        with pytest.raises((SealBroken, KeyUnavailable)):
            sealing.open_sealed(blob[:length], bound_to="here")


def test_plain_text_is_never_taken_for_a_secret() -> None:
    for plain in (b"", b"v", b"v1", b"v1\x04test", b"a plain password that somebody wrote into the column"):
        with pytest.raises(SealBroken):
            sealing.open_sealed(plain, bound_to="here")


def test_the_file_is_private_and_read_anew_when_it_changes(ring_file: Path) -> None:
    assert ring_file.stat().st_mode & 0o777 == 0o600
    blob = sealing.seal(b"canary", bound_to="here")
    assert not sealing.needs_resealing(blob)
    sealing.write_ring(ring_file, _NEW)
    assert sealing.needs_resealing(blob)
    assert sealing.open_sealed(blob, bound_to="here") == b"canary"
    assert sealing.key_of(sealing.seal(b"canary", bound_to="here")) == "new"


def test_without_its_key_a_blob_stays_closed(ring_file: Path) -> None:
    blob = sealing.seal(b"canary", bound_to="here")
    sealing.write_ring(ring_file, Ring({"new": b"n" * 32}))
    with pytest.raises(KeyUnavailable, match="The key old is not in the key ring"):
        sealing.open_sealed(blob, bound_to="here")
    ring_file.unlink()
    with pytest.raises(KeyUnavailable, match="cannot be read"):
        sealing.seal(b"canary", bound_to="here")


@pytest.mark.parametrize(
    "text", ["", "\n,", "a", "a:11", f"a:{'g' * 64}", f"a:{'1' * 64},a:{'2' * 64}", f"a b:{'1' * 64}"]
)
def test_a_malformed_ring_is_refused(text: str) -> None:
    with pytest.raises(KeyUnavailable):
        sealing.parse_ring(text)
