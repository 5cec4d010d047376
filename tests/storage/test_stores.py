"""One suite over every store: what is kept is what comes back, and nothing is there before it is whole."""

import hashlib
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.core import blobs
from apps.core.blobs import Blob, Missing, Store
from apps.core.errors import Invalid, TooLarge, Unready
from tests import s3

pytestmark = pytest.mark.django_db

DATA = bytes(range(256)) * 5000
SHA = hashlib.sha256(DATA).hexdigest()
PART = 5 << 20


def read(sha256: str, *part: int) -> bytes:
    with closing(blobs.open_blob(sha256, *part)) as file:
        return b"".join(iter(lambda: file.read(1000), b""))


def send(store: Store, folder: Path, name: str, ref: str, parts: Iterable[tuple[int, bytes]]) -> None:
    for number, data in parts:
        source = folder / f"part-{number}"
        source.write_bytes(data)
        store.put_part(name, ref, number, source)


def cut(data: bytes) -> list[tuple[int, bytes]]:
    return [(number, data[start : start + PART]) for number, start in enumerate(range(0, len(data), PART), 1)]


def test_what_is_kept_comes_back(store: Store) -> None:
    blob = blobs.write([DATA[:1000], DATA[1000:]], limit=len(DATA), expected_sha256=SHA)
    assert (blob, store.size_of(SHA)) == (Blob(SHA, len(DATA)), len(DATA))
    assert read(SHA) == DATA
    assert read(SHA, 10) == DATA[10:]
    assert read(SHA, 10, 300) == DATA[10:300]
    assert read(SHA, 5, 5) == b""
    assert blobs.local_path(SHA).read_bytes() == DATA
    assert [(found.sha256, found.size_bytes) for found in store.walk()] == [(SHA, len(DATA))]


def test_the_same_bytes_lie_once(store: Store) -> None:
    for _ in range(3):
        blobs.write([DATA], limit=len(DATA))
    assert [found.sha256 for found in store.walk()] == [SHA]


def test_nothing_and_the_empty_file(store: Store) -> None:
    blob = blobs.write([], limit=10)
    assert (blob.size_bytes, read(blob.sha256), store.size_of(blob.sha256)) == (0, b"", 0)
    assert store.size_of("0" * 64) is None
    with pytest.raises(Missing):
        blobs.open_blob("0" * 64)
    store.delete("0" * 64)


def test_what_is_refused_leaves_nothing(store: Store) -> None:
    with pytest.raises(Invalid):
        blobs.write([DATA], limit=len(DATA), expected_sha256="0" * 64)
    with pytest.raises(TooLarge):
        blobs.write([DATA], limit=len(DATA) - 1)
    assert list(store.walk()) == []


def test_what_is_deleted_is_gone(store: Store) -> None:
    blobs.write([DATA], limit=len(DATA))
    blobs.local_path(SHA)
    store.delete(SHA)
    assert (store.size_of(SHA), list(store.walk())) == (None, [])
    assert not blobs.path_of(SHA).exists()


def test_parts_become_one(store: Store, tmp_path: Path) -> None:
    data = b"ab" * PART + b"the end"
    whole = Blob(hashlib.sha256(data).hexdigest(), len(data))
    ref = store.begin("u1")
    parts = cut(data)
    send(store, tmp_path, "u1", ref, [parts[2], parts[0], (2, b"x" * PART)])  # out of order, one twice
    time.sleep(1.1)  # this server lists what was replaced as well, with times in whole seconds
    send(store, tmp_path, "u1", ref, [parts[1]])
    assert store.parts("u1", ref) == {1: PART, 2: PART, 3: len(b"the end")}
    assert list(store.walk()) == []
    joined = blobs.join("u1", ref, 3, expected=whole, limit=1 << 30)
    assert joined == whole
    again = blobs.join("u1", ref, 3, expected=whole, limit=1 << 30)  # as after a crash before its row was written
    assert (again, read(whole.sha256)) == (whole, data)
    store.abort("u1", ref)
    store.abort("u1", ref)
    assert store.parts("u1", ref) == {}
    with pytest.raises(Missing):
        blobs.join("u1", ref, 3, expected=whole, limit=1 << 30)


def test_parts_that_are_something_else(store: Store, tmp_path: Path) -> None:
    ref = store.begin("u2")
    send(store, tmp_path, "u2", ref, [(1, b"hello")])
    with pytest.raises(Invalid):
        blobs.join("u2", ref, 1, expected=Blob(SHA, 5), limit=100)
    assert list(store.walk()) == []


def test_leftovers_are_found_when_they_are_old(store: Store, tmp_path: Path) -> None:
    ref = store.begin("u3")
    send(store, tmp_path, "u3", ref, [(1, b"hello")])
    blobs.join("u3", ref, 1, expected=None, limit=100)
    assert list(store.leftovers(timezone.now() - timedelta(hours=1))) == []
    assert list(store.leftovers(timezone.now() + timedelta(hours=1))) == ["u3"]


def test_a_store_that_works_says_so(store: Store) -> None:
    store.check()
    assert list(store.walk()) == []


def test_a_folder_that_cannot_be_written(in_folder: Path, settings: Any) -> None:
    (in_folder / "file").write_text("")
    settings.BLOB_ROOT = in_folder / "file"
    with pytest.raises(Unready, match="cannot be written to"):
        blobs.store().check()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"S3_SECRET_KEY": "wrong"}, "it refuses our secret key"),
        ({"S3_ACCESS_KEY": "NOBODY"}, "it does not know our access key"),
        ({"ARTIFACT_STORE": "s3://another-bucket"}, "there is no such bucket"),
        ({"S3_ENDPOINT": "http://127.0.0.1:9"}, "it does not answer"),
    ],
)
def test_wrong_keys_are_refused_and_said(in_s3: s3.Server, settings: Any, changes: Any, sentence: str) -> None:
    blobs.write([b"secret"], limit=10)
    for name, value in changes.items():
        setattr(settings, name, value)
    with pytest.raises(Unready, match=sentence):
        blobs.store().check()
    with pytest.raises((Unready, Missing)):
        read(hashlib.sha256(b"secret").hexdigest())
    with pytest.raises(Unready) as caught:
        blobs.write([DATA], limit=len(DATA))
    assert in_s3.secret_key not in caught.value.detail
    assert len(in_s3.keys()) == 1


@pytest.mark.parametrize(
    "name",
    ["file:///etc", "s3://", "s3://A", "s3://bucket/../x y", "http://169.254.169.254/", "s3://a@b", "s3://bu/..%2f"],
)
def test_a_store_is_a_folder_or_a_bucket(settings: Any, name: str) -> None:
    settings.ARTIFACT_STORE = name
    with pytest.raises(Unready, match="FATHOM_ARTIFACT_STORE"):
        blobs.store()
