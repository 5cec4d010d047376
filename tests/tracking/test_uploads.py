"""Files in parts: whatever breaks off, nothing is visible before it is whole, and nothing is lost after."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.core import blobs
from apps.core.errors import Conflict
from apps.quotas.choices import ARTIFACTS
from apps.quotas.models import QuotaLimit
from apps.tracking import content, services
from apps.tracking.models import Artifact, Run, Upload
from apps.tracking.services import uploads
from tests.people import Cast
from tests.tracking.conftest import Answer, call, client_of, client_with, run_token, url

pytestmark = pytest.mark.usefixtures("outside")

PART = 5 << 20
DATA = b"0123456789abcdef" * ((2 * PART + 100) // 16)
SHA = hashlib.sha256(DATA).hexdigest()
PARTS = [DATA[start : start + PART] for start in range(0, len(DATA), PART)]


def begin(client: Client, run: Run, path: str = "big.bin", data: bytes = DATA, **changes: Any) -> Any:
    body = {
        "path": path,
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "part_bytes": PART,
        **changes,
    }
    return client.post(url(run, "uploads/"), body, content_type="application/json")


def begun(client: Client, run: Run, **changes: Any) -> str:
    reply = begin(client, run, **changes)
    assert reply.status_code == 200, reply.content
    return str(reply.json()["id"])


def links(client: Client, upload: str, *numbers: int) -> list[str]:
    reply = client.post(f"/api/v2/uploads/{upload}/links/", {"parts": numbers}, content_type="application/json")
    assert reply.status_code == 200, reply.content
    return [row["url"] for row in reply.json()["results"]]


def put(link: str, data: bytes, **options: Any) -> Answer:
    parts = urlsplit(link)
    return call(content.application, "PUT", f"{parts.path}?{parts.query}", body=data, **options)


def send(client: Client, upload: str, *numbers: int) -> None:
    for number, link in zip(numbers, links(client, upload, *numbers), strict=True):
        answer = put(link, PARTS[number - 1])
        assert answer.status == 200, answer.body


def complete(client: Client, upload: str) -> Any:
    return client.post(f"/api/v2/uploads/{upload}/complete/")


def received(client: Client, upload: str) -> list[int]:
    return [row["part"] for row in client.get(f"/api/v2/uploads/{upload}/").json()["received"]]


def visible(run: Run) -> list[str]:
    return list(Artifact.objects.filter(run=run).values_list("path", flat=True))


def used() -> int:
    """What the platform's node holds of artifact storage."""
    return (
        QuotaLimit.objects.filter(node__key="platform", resource=ARTIFACTS).values_list("used", flat=True).first() or 0
    )


def content_of(run: Run, path: str) -> bytes:
    with blobs.open_blob(Artifact.objects.get(run=run, path=path).sha256) as file:
        return file.read()


def test_parts_come_in_any_order_and_more_than_once(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 3, 1, 2, 1)
    assert received(client, upload) == [1, 2, 3]
    assert (visible(run), used()) == ([], len(DATA))
    reply = complete(client, upload)
    assert (reply.status_code, reply.json()["sha256"], reply.json()["size_bytes"]) == (200, SHA, len(DATA))
    assert (content_of(run, "big.bin"), used()) == (DATA, len(DATA))
    assert not list((Path(uploads.settings.BLOB_ROOT) / "incoming").iterdir())


def test_what_was_begun_is_gone_on_with(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 2)
    again = begin(client_of(cast.alice), run).json()  # another process, which knows the file alone
    assert (again["id"], again["received"]) == (upload, [{"part": 2, "size_bytes": PART}])
    assert used() == len(DATA)
    send(client, upload, 1, 3)
    assert complete(client, upload).status_code == 200


def test_completing_twice_is_completing_once(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 1, 2, 3)
    first, second = complete(client, upload), complete(client, upload)
    same = {"sha256", "created_at", "path"}
    assert {key: first.json()[key] for key in same} == {key: second.json()[key] for key in same}
    shown = client.get(f"/api/v2/uploads/{upload}/").json()
    assert (shown["state"], shown["artifact"]["sha256"]) == ("completed", SHA)
    assert (visible(run), used()) == (["big.bin"], len(DATA))
    (link,) = [f"/uploads/{upload}/parts/1"]
    assert links_refused(client, upload) == 409
    assert put(link, PARTS[0]).status == 401


def links_refused(client: Client, upload: str) -> int:
    return client.post(f"/api/v2/uploads/{upload}/links/", {"parts": [1]}, content_type="application/json").status_code


def test_missing_parts_are_named(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 2)
    reply = complete(client, upload)
    assert (reply.status_code, reply.json()["missing"]) == (409, [1, 3])
    assert visible(run) == []
    send(client, upload, 1, 3)
    assert complete(client, upload).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * (PART + 1), {}, 413),
        (b"x" * (PART - 1), {}, 400),
        (PARTS[0], {"x-content-sha256": "0" * 64}, 400),
        (PARTS[0], {"x-content-sha256": "nonsense"}, 400),
        (PARTS[0], {"content-length": "x"}, 411),
        (PARTS[0][:-1], {"content-length": str(PART)}, 400),  # cut off on the way
        (b"", {}, 411),
    ],
)
def test_a_part_that_is_not_what_was_said(
    cast: Cast, run: Run, body: bytes, headers: dict[str, str], status: int
) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    (link,) = links(client, upload, 1)
    assert put(link, body, headers=headers).status == status
    assert received(client, upload) == []
    assert [path.name for path in (Path(uploads.settings.BLOB_ROOT) / "incoming").iterdir()] == [f"parts-{upload}"]


def test_a_file_that_is_not_what_was_promised_is_thrown_away(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 1, 2)
    (link,) = links(client, upload, 3)
    assert put(link, b"?" * len(PARTS[2])).status == 200
    reply = complete(client, upload)
    assert (reply.status_code, list(reply.json()["errors"])) == (400, ["sha256"])
    assert (visible(run), used(), complete(client, upload).status_code) == ([], 0, 404)
    assert list(blobs.store().walk()) == []


def test_an_upload_is_given_up(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 1)
    (link,) = links(client, upload, 2)
    assert client.delete(f"/api/v2/uploads/{upload}/").status_code == 204
    assert (used(), Upload.objects.count(), put(link, PARTS[1]).status) == (0, 0, 404)
    assert client.get(f"/api/v2/uploads/{upload}/").status_code == 404


def test_what_takes_too_long_is_given_up(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    (link,) = links(client, upload, 1)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert (put(link, PARTS[0]).status, complete(client, upload).status_code) == (409, 409)
    (group,) = uploads.Expiry().preview()
    assert (group.owner, group.count, group.bytes) == ("alice", 1, len(DATA))
    assert uploads.Expiry().carry_out() == (1, len(DATA))
    assert (used(), Upload.objects.count(), visible(run)) == (0, 0, [])


def test_nobody_gets_bytes_for_their_hash(cast: Cast, run: Run) -> None:
    services.save_artifact(run, "secret.bin", iter([DATA]), by=cast.alice)
    project = services.create_project("his", by=cast.charlie)
    his = services.create_run(project, by=cast.charlie, name="his")
    reply = begin(client_of(cast.charlie), his)
    assert (reply.status_code, reply.json()["state"], reply.json()["received"]) == (200, "open", [])
    assert complete(client_of(cast.charlie), reply.json()["id"]).status_code == 409
    assert visible(his) == []


def test_what_one_may_see_need_not_be_sent_again(cast: Cast, run: Run) -> None:
    services.save_artifact(run, "here.bin", iter([DATA]), by=cast.alice)
    project = services.create_project("bobs", by=cast.bob)
    his = services.create_run(project, by=cast.bob, name="bobs")
    reply = begin(client_of(cast.bob), his, path="there.bin")
    assert (reply.status_code, reply.json()["id"], reply.json()["artifact"]["sha256"]) == (201, None, SHA)
    assert (visible(his), used()) == (["there.bin"], 2 * len(DATA))
    wrong = begin(client_of(cast.bob), his, path="x", sha256=SHA, size_bytes=len(DATA) - 1)
    assert wrong.json()["state"] == "open"


@pytest.mark.parametrize(
    "changes",
    [
        {"size_bytes": -1}, {"size_bytes": 1 << 63}, {"size_bytes": "x"}, {"size_bytes": None},
        {"sha256": "0" * 63}, {"sha256": "G" * 64}, {"sha256": SHA.upper()}, {"sha256": None},
        {"path": "../a"}, {"path": ""}, {"path": "a\x01"}, {"path": "/etc/passwd"},
        {"part_bytes": 0}, {"part_bytes": 1}, {"part_bytes": 1 << 40},
        {"content_type": "x" * 121},
    ],
)  # fmt: skip
def test_what_cannot_be_begun(cast: Cast, run: Run, changes: dict[str, Any]) -> None:
    assert begin(client_of(cast.alice), run, **changes).status_code == 400
    assert Upload.objects.count() == 0


@pytest.mark.parametrize("numbers", [[], [0], [4], [-1], ["x"], [1] * 101, None, "1"])
def test_parts_that_there_are_not(cast: Cast, run: Run, numbers: Any) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    reply = client.post(f"/api/v2/uploads/{upload}/links/", {"parts": numbers}, content_type="application/json")
    assert reply.status_code == 400


@pytest.mark.parametrize("place", ["s3://bucket/key", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data"])
def test_no_address_is_taken_from_anybody(cast: Cast, run: Run, place: str, monkeypatch: Any) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("socket.create_connection", lambda *args, **_: opened.append(args))
    client = client_of(cast.alice)
    for changes in ({"path": place}, {"uri": place, "source": place, "store": place, "ref": place}):
        begin(client, run, **changes)
    assert client.get(url(run, f"artifacts/{place}")).status_code in {400, 404}
    assert client.get(url(run, f"artifacts/a?source={place}")).status_code == 404
    assert opened == []
    assert set(Upload.objects.values_list("ref", flat=True)) == {""}


def test_another_persons_upload_is_not_there(cast: Cast, run: Run) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    alice, dana = client_of(cast.alice), client_of(cast.dana)
    upload = begun(alice, run)
    send(alice, upload, 1, 2, 3)
    for client in (dana, client_of(cast.bob), client_of(cast.charlie), client_of(cast.sre)):
        assert client.get(f"/api/v2/uploads/{upload}/").status_code == 404
        assert links_refused(client, upload) == 404
        assert complete(client, upload).status_code == 404
        assert client.delete(f"/api/v2/uploads/{upload}/").status_code == 404
    for nonsense in (uuid4(), "x", "%00"):
        assert alice.get(f"/api/v2/uploads/{nonsense}/").status_code == 404
    other = begun(dana, run)
    assert other != upload
    assert visible(run) == []


@pytest.mark.parametrize(
    ("person", "status"), [("bob", 403), ("charlie", 404), ("olaf", 404), ("dana", 200), ("mia", 200), ("sre", 200)]
)
def test_who_may_begin(cast: Cast, run: Run, person: str, status: int) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    assert begin(client_of(cast.people[person]), run).status_code == status
    assert Upload.objects.exists() == (status == 200)


def test_a_jobs_token_reaches_its_own_run_only(cast: Cast, run: Run) -> None:
    other = services.create_run(run.project, by=cast.alice, name="other")
    mine = begun(client_of(cast.alice), other)
    client = client_with(run_token(run))
    upload = begun(client, run)
    send(client, upload, 1, 2, 3)
    assert complete(client, upload).status_code == 200
    assert begin(client, other).status_code == 404
    assert complete(client, mine).status_code == 404
    assert client.get(f"/api/v2/uploads/{mine}/").status_code == 404


def test_a_link_is_for_one_part_and_ends_with_the_right(cast: Cast, run: Run) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    client = client_of(cast.dana)
    upload = begun(client, run)
    (link,) = links(client, upload, 1)
    assert put(link.replace("parts/1", "parts/2"), PARTS[1]).status == 401
    assert put(link.replace("parts/1", "parts/01"), PARTS[0]).status == 404
    assert put(link.split("?", maxsplit=1)[0], PARTS[0]).status == 401
    method = urlsplit(link)
    assert call(content.application, "GET", f"{method.path}?{method.query}").status == 405
    grants.revoke(cast.dana, run)
    assert put(link, PARTS[0]).status == 404
    assert not list(blobs.store().parts(upload, ""))


def test_a_deleted_run_takes_nothing_more(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    (link,) = links(client, upload, 1)
    services.archive_run(run, by=cast.alice)
    assert (put(link, PARTS[0]).status, complete(client, upload).status_code) == (404, 404)
    assert begin(client, run).status_code == 404


def test_so_many_uploads_are_open_at_a_time(cast: Cast, run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(uploads, "MOST_OPEN", 1)
    client = client_of(cast.alice)
    begun(client, run)
    reply = begin(client, run, path="other")
    assert (reply.status_code, Upload.objects.count()) == (409, 1)


def test_an_empty_file_has_one_empty_part(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run, data=b"")
    (link,) = links(client, upload, 1)
    assert put(link, b"", headers={"content-length": "0"}).status == 200
    assert complete(client, upload).json()["size_bytes"] == 0


def test_a_file_of_unknown_size_is_counted_when_it_is_whole(cast: Cast, run: Run, settings: Any) -> None:
    settings.ARTIFACT_LIMIT_BYTES = len(DATA)
    upload = services.begin_unmeasured_upload(run, "model.bin", by=cast.alice, parts=3)
    answers = [
        put(link.url, part)
        for link, part in zip(services.part_links(upload, [1, 2, 3], by=cast.alice), PARTS, strict=True)
    ]
    assert ([answer.status for answer in answers], used()) == ([200, 200, 200], 0)
    artifact = services.complete_upload(upload, by=cast.alice)
    assert (artifact.sha256, used()) == (SHA, len(DATA))
    second = services.begin_unmeasured_upload(run, "second.bin", by=cast.alice, parts=4)
    found = [put(link.url, PARTS[0]).status for link in services.part_links(second, [1, 2, 3], by=cast.alice)]
    assert found == [200, 200, 413]
    with pytest.raises(Conflict):
        services.complete_upload(second, by=cast.alice)


@pytest.mark.parametrize("cut", ["keep_part", "join"])
def test_a_crash_leaves_what_can_be_gone_on_with(cast: Cast, run: Run, monkeypatch: Any, cut: str) -> None:
    client = client_of(cast.alice)
    upload = begun(client, run)
    send(client, upload, 1, 2)

    def die(name: str) -> None:
        if name == {"keep_part": "upload.after_part", "join": "upload.after_join_before_row"}[cut]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(uploads.failpoints, "hit", die)
        (link,) = links(client, upload, 3)
        if cut == "join":
            patched.undo()
            send(client, upload, 3)
            patched.setattr(uploads.failpoints, "hit", die)
        with pytest.raises(KeyboardInterrupt):
            put(link, PARTS[2]) if cut == "keep_part" else complete(client, upload)
    assert (visible(run), used()) == ([], len(DATA))
    assert received(client, upload) == [1, 2, 3]
    assert complete(client, upload).status_code == 200
    assert content_of(run, "big.bin") == DATA
