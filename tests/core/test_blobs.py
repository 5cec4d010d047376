"""The content-addressed store: written whole or not at all."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core import blobs
from apps.core.errors import Invalid, TooLarge

pytestmark = pytest.mark.django_db  # the keeper of the store notes each blob

DATA = b"some bytes"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings: Any) -> Path:
    settings.BLOB_ROOT = tmp_path / "blobs"
    return tmp_path


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_blob_lies_under_its_hash(root: Path) -> None:
    assert blobs.write([b"some ", b"bytes"], limit=100) == blobs.Blob(SHA, 10)
    assert blobs.write([DATA], limit=10, expected_sha256=SHA).sha256 == SHA
    (found,) = files(root)
    assert found == blobs.path_of(SHA)
    assert found.read_bytes() == DATA
    assert found.parent.stat().st_mode & 0o077 == 0
    assert found.stat().st_mode & 0o077 == 0


def broken() -> Iterator[bytes]:
    yield b"half"
    raise ConnectionError


@pytest.mark.parametrize(
    ("chunks", "facts", "error"),
    [
        ([DATA], {"limit": 9}, TooLarge),
        ([DATA], {"limit": 100, "expected_sha256": "0" * 64}, Invalid),
        (broken(), {"limit": 100}, ConnectionError),
    ],
)
def test_what_is_refused_or_breaks_off_leaves_nothing(root: Path, chunks: Any, facts: Any, error: Any) -> None:
    with pytest.raises(error):
        blobs.write(chunks, **facts)
    assert files(root) == []


@pytest.mark.parametrize(
    "name", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" + "0" * 61, "0" * 32 + "/" + "0" * 31]
)
def test_a_path_is_made_of_a_hash_only(name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        blobs.path_of(name)
