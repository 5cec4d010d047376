"""Artifacts: what arrives is what is kept, and nothing leaves its run."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from apps.access import grants
from apps.access.decision import Role
from apps.core import blobs
from apps.core.errors import Conflict, Invalid
from apps.tracking import services
from apps.tracking.models import Artifact, Run
from apps.tracking.paths import clean_folder, clean_path
from tests.people import Cast
from tests.tracking.conftest import client_of, client_with, run_token, url

DATA = b"hello\n" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


def put(
    client: Client, run: Run, path: str, data: bytes = DATA, content_type: str = "text/plain", **headers: str
) -> Any:
    return client.put(url(run, f"artifacts/{path}"), data, content_type=content_type, headers=headers)


def save(run: Run, by: Any, path: str, data: bytes = DATA, **options: Any) -> Artifact:
    return services.save_artifact(run, path, iter([data]), by=by, **options)[0]


def content(artifact: Artifact) -> bytes:
    return blobs.path_of(artifact.sha256).read_bytes()


def listed(client: Client, run: Run, query: str = "") -> list[tuple[str, bool, int]]:
    reply = client.get(url(run, f"artifacts/{query}"))
    assert reply.status_code == 200, reply.content
    return [(row["path"], row["is_dir"], row["size_bytes"]) for row in reply.json()["results"]]


def incoming() -> list[Path]:
    folder = Path(settings.BLOB_ROOT) / "incoming"
    return list(folder.iterdir()) if folder.exists() else []


def test_what_arrives_is_kept(cast: Cast, run: Run) -> None:
    reply = put(client_of(cast.alice), run, "models/best.bin", content_type="application/x-thing")
    assert reply.status_code == 201, reply.content
    body = reply.json()
    assert (body["path"], body["size_bytes"], body["sha256"]) == ("models/best.bin", len(DATA), SHA)
    assert (body["content_type"], body["is_dir"]) == ("application/x-thing", False)
    assert body["url"].startswith(f"{settings.FATHOM_CONTENT_URL}/artifacts/{run.pk}/models/best.bin?ticket=")
    assert content(Artifact.objects.get(run=run)) == DATA


def test_an_empty_file_is_a_file(cast: Cast, run: Run) -> None:
    artifact = save(run, cast.alice, "empty", b"", size_bytes=0)
    assert (artifact.size_bytes, content(artifact)) == (0, b"")


def test_the_hash_is_verified(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    assert put(client, run, "a", x_content_sha256=SHA).status_code == 201
    assert put(client, run, "a", x_content_sha256=SHA.upper()).status_code == 200
    wrong = put(client, run, "b", x_content_sha256="0" * 64)
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["sha256"])
    assert put(client, run, "b", x_content_sha256="xyz").status_code == 400
    assert list(Artifact.objects.values_list("path", flat=True)) == ["a"]
    assert incoming() == []


def test_a_path_has_one_file(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    first = put(client, run, "a.txt", b"one").json()
    second = put(client, run, "a.txt", b"two!")
    assert second.status_code == 200
    artifact = Artifact.objects.get(run=run, path="a.txt")
    assert (content(artifact), artifact.size_bytes) == (b"two!", 4)
    assert second.json()["sha256"] != first["sha256"]
    assert blobs.path_of(first["sha256"]).exists()  # others may refer to the same bytes


def test_the_same_bytes_are_kept_once(cast: Cast, run: Run) -> None:
    assert save(run, cast.alice, "a").sha256 == save(run, cast.alice, "b").sha256
    assert len(list((Path(settings.BLOB_ROOT) / "sha256").rglob("*/*"))) == 1


def test_an_upload_that_is_cut_off_is_refused(cast: Cast, run: Run) -> None:
    with pytest.raises(Invalid, match="ended after 6000 of 6001 bytes"):
        save(run, cast.alice, "a", size_bytes=len(DATA) + 1)
    assert not Artifact.objects.exists()
    assert incoming() == []


def test_the_size_is_limited(cast: Cast, run: Run, settings: Any) -> None:
    settings.ARTIFACT_LIMIT_BYTES = len(DATA) - 1
    client = client_of(cast.alice)
    assert put(client, run, "a").status_code == 413
    read: list[int] = []

    def endless() -> Any:
        while True:
            read.append(1)
            yield b"x" * 1000

    with pytest.raises(Exception, match="larger than 5999 bytes"):
        services.save_artifact(run, "a", endless(), by=cast.alice)
    assert len(read) == 6
    assert not Artifact.objects.exists()
    assert incoming() == []


def test_a_length_is_required(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    reply = client.generic("PUT", url(run, "artifacts/a"), b"x", "text/plain", CONTENT_LENGTH="")
    assert (reply.status_code, reply.json()["code"]) == (411, "length_required")


def test_a_large_body_is_never_in_memory(cast: Cast, run: Run, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000  # which is for forms, not for streams
    data = b"x" * (3 << 20)
    assert put(client_of(cast.alice), run, "large", data).status_code == 201
    assert content(Artifact.objects.get(run=run)) == data


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "a/../b",
        "a/..",
        "..",
        ".",
        "a/./b",
        "/a",
        "a//b",
        "a/",
        "a\\b",
        "a\x00b",
        "a\nb",
        "\x7f",
        "a\u2028b",
        chr(0xD800),
        "a" * 501,
        "d/" * 250 + "a",
        "a" * 256,
        "é" * 128,
        "",
        "C:\\x",
    ],
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(Invalid) as caught:
        clean_path(path)
    assert list(caught.value.errors) == ["path"]


@pytest.mark.parametrize(
    "path", ["a", "a/b.c/d", "…", "..a", "a..", "...", "a b", "модель/лучшая.bin", "%2e%2e", "a" * 255, "~", "a:b"]
)
def test_paths_that_are_paths(path: str) -> None:
    assert clean_path(path) == path


def test_a_path_has_one_spelling() -> None:
    assert clean_path("cafe\u0301") == "caf\u00e9"
    assert [clean_folder(text) for text in ("", "/", "a", "a/", "a/b/")] == ["", "", "a", "a", "a/b"]


@pytest.mark.parametrize("path", ["%2e%2e/a", "a/%2e%2e/%2e%2e/b", "a%00b", "a%5cb", "a%01b", "//a", "a//b", "a/"])
def test_hostile_paths_over_http(cast: Cast, run: Run, path: str) -> None:
    client = client_of(cast.alice)
    for reply in (
        put(client, run, path),
        client.get(url(run, f"artifacts/{path}")),
        client.delete(url(run, f"artifacts/{path}")),
    ):
        assert reply.status_code == 400, path
        assert list(reply.json()["errors"]) == ["path"]
    assert not Artifact.objects.exists()


def test_two_spellings_are_one_file(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    assert put(client, run, "cafe%CC%81").status_code == 201
    assert put(client, run, "caf%C3%A9").status_code == 200
    assert client.get(url(run, "artifacts/cafe%CC%81")).status_code == 302


def test_a_file_is_no_folder(cast: Cast, run: Run) -> None:
    save(run, cast.alice, "a/b")
    for path in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(Conflict):
            save(run, cast.alice, path)
    save(run, cast.alice, "a/bc")
    save(run, cast.alice, "ab")
    assert Artifact.objects.count() == 3


def test_folders_are_listed(cast: Cast, run: Run) -> None:
    for path in (
        "z.txt",
        "models/a.bin",
        "models/deep/b.bin",
        "models/deep/c.bin",
        "Modelle",
        "models2",
        "100%/x",
        "a_b/x",
    ):
        save(run, cast.alice, path, b"12345")
    client = client_of(cast.alice)
    assert listed(client, run) == [
        ("100%", True, 5),
        ("Modelle", False, 5),
        ("a_b", True, 5),
        ("models", True, 15),
        ("models2", False, 5),
        ("z.txt", False, 5),
    ]
    assert listed(client, run, "?path=models") == [("models/a.bin", False, 5), ("models/deep", True, 10)]
    assert listed(client, run, "?path=models/deep/") == [
        ("models/deep/b.bin", False, 5),
        ("models/deep/c.bin", False, 5),
    ]
    assert listed(client, run, "?path=100%25") == [("100%/x", False, 5)]
    assert listed(client, run, "?path=a_b") == [("a_b/x", False, 5)]
    assert listed(client, run, "?path=axb") == []
    assert listed(client, run, "?path=none") == []


def test_long_folders_come_in_pages(cast: Cast, run: Run) -> None:
    for number in range(7):
        save(run, cast.alice, f"f/{number}/x", b"1")
    client, found, target = client_of(cast.alice), [], url(run, "artifacts/?path=f&limit=3")
    pages = 0
    while target:
        reply = client.get(target).json()
        found += [row["path"] for row in reply["results"]]
        target, pages = reply["next"], pages + 1
    assert found == [f"f/{number}" for number in range(7)]
    assert pages == 3


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=1001", "?limit=x", "?path=..", "?path=a%00", "?after=a%00", "?path=/a"]
)
def test_what_cannot_be_listed(cast: Cast, run: Run, query: str) -> None:
    assert client_of(cast.alice).get(url(run, f"artifacts/{query}")).status_code == 400


def test_a_list_needs_as_many_queries_for_three_as_for_one(
    cast: Cast, run: Run, django_assert_num_queries: Any
) -> None:
    client = client_of(cast.alice)
    client.get(url(run, "artifacts/"))
    counts = []
    for number in (1, 2):
        for extra in range(number):
            save(run, cast.alice, f"{number}{extra}")
        with django_assert_num_queries(5) as captured:  # two of them ask what she reaches
            client.get(url(run, "artifacts/"))
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_a_file_is_read_on_the_other_origin(cast: Cast, run: Run) -> None:
    save(run, cast.alice, "a b/é.txt")
    reply = client_of(cast.alice).get(url(run, "artifacts/a%20b/%C3%A9.txt"))
    assert reply.status_code == 302
    assert reply["Location"].startswith(f"{settings.FATHOM_CONTENT_URL}/artifacts/{run.pk}/a%20b/%C3%A9.txt?ticket=")
    assert reply["Cache-Control"] == "no-store"
    assert client_of(cast.alice).get(url(run, "artifacts/none")).status_code == 404


@pytest.mark.parametrize(
    ("person", "listing", "upload", "removal"),
    [
        ("alice", 200, 201, 204),
        ("bob", 200, 403, 403),
        ("charlie", 404, 404, 404),
        ("dana", 200, 201, 403),
        ("mia", 200, 201, 204),
        ("olaf", 404, 404, 404),
        ("sre", 200, 201, 204),
    ],
)
def test_who_may_do_what(cast: Cast, run: Run, person: str, listing: int, upload: int, removal: int) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    save(run, cast.alice, "secret.txt")
    client = client_of(cast.people[person])
    listed = client.get(url(run, "artifacts/"))
    assert listed.status_code == listing
    assert (b"secret" in listed.content) == (listing == 200)
    assert client.get(url(run, "artifacts/secret.txt")).status_code == (302 if listing == 200 else 404)
    assert put(client, run, "new.txt").status_code == upload
    assert Artifact.objects.filter(path="new.txt").exists() == (upload == 201)
    assert client.delete(url(run, "artifacts/secret.txt")).status_code == removal
    assert Artifact.objects.filter(path="secret.txt").exists() == (removal != 204)


def test_a_jobs_token_writes_to_its_run_only(cast: Cast, run: Run) -> None:
    other = services.create_run(run.project, by=cast.alice, name="other")
    save(other, cast.alice, "secret")
    client = client_with(run_token(run))
    assert put(client, run, "model.bin").status_code == 201
    assert client.get(url(run, "artifacts/")).status_code == 200
    assert client.delete(url(run, "artifacts/model.bin")).status_code == 403
    assert put(client, other, "model.bin").status_code == 404
    assert client.get(url(other, "artifacts/")).status_code == 404
    assert client.get(url(other, "artifacts/secret")).status_code == 404


def test_nobody_reads_nothing(cast: Cast, run: Run) -> None:
    save(run, cast.alice, "a")
    anybody = Client()
    for reply in (anybody.get(url(run, "artifacts/")), anybody.get(url(run, "artifacts/a")), put(anybody, run, "b")):
        assert reply.status_code == 401
    assert Artifact.objects.count() == 1


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("a.png", "", "image/png"),
        ("a.png", "application/octet-stream", "image/png"),
        ("a.png", "text/html; charset=utf-8", "text/html"),
        ("a.md", "", "text/markdown"),
        ("run.log", "", "text/plain"),
        ("a.ipynb", "", "application/json"),
        ("a", "", "application/octet-stream"),
        ("a.csv", "not a type", "text/csv"),
        ("a.csv", "x" * 200 + "/y", "text/csv"),
    ],
)
def test_the_content_type_is_the_senders_or_the_names(
    cast: Cast, run: Run, path: str, given: str, expected: str
) -> None:
    assert save(run, cast.alice, path, content_type=given).content_type == expected


@pytest.mark.parametrize(
    ("path", "data", "kind", "text"),
    [
        ("a.txt", b"hello", "text", "hello"),
        ("a.csv", b"a,b\n1,2\n", "csv", "a,b\n1,2\n"),
        ("a.json", b'{"a": 1}', "json", '{"a": 1}'),
        ("a.png", b"\x89PNG", "image", ""),
        ("a.bin", b"\x00\x01", "other", ""),
        ("a.txt", b"\xff\xfe", "other", ""),
        ("a.txt", b"a\x00b", "other", ""),
        ("LICENSE", b"free", "text", "free"),
        ("a.pdf", b"%PDF", "other", ""),
        ("a.txt", b"", "text", ""),
    ],
)
def test_previews(cast: Cast, run: Run, path: str, data: bytes, kind: str, text: str) -> None:
    preview = services.read_preview(save(run, cast.alice, path, data))
    assert (preview.kind, preview.text, preview.truncated) == (kind, text, False)


def test_a_preview_is_cut_between_characters(cast: Cast, run: Run) -> None:
    preview = services.read_preview(save(run, cast.alice, "a.txt", b"x" + "é".encode() * 40_000))
    assert preview.truncated
    assert preview.text == "x" + "é" * ((65_536 - 1) // 2)
