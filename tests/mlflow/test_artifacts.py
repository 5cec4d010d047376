"""Files over MLflow's wire: its paths, its errors, and nobody else's files."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from apps.access import grants
from apps.access.decision import Role
from apps.core import blobs
from apps.tracking import content, services
from apps.tracking.models import Artifact, Run, Upload
from tests.mlflow.conftest import Wire, refused
from tests.people import Cast
from tests.tracking.conftest import Answer, call

pytestmark = pytest.mark.usefixtures("outside")

BASE = "/api/2.0/mlflow-artifacts"


@pytest.fixture
def run(cast: Cast) -> Run:
    project = services.create_project("vision", by=cast.alice, team=cast.team)
    project.refresh_from_db()
    return services.create_run(project, by=cast.alice, name="first")


def where(run: Run, name: str = "") -> str:
    run.project.refresh_from_db()
    return f"{run.project.number}/{run.pk.hex}/artifacts" + (f"/{name}" if name else "")


def send(wire: Wire, place: str, data: bytes = b"hello", base: str = BASE) -> Any:
    return wire.client.put(f"{base}/artifacts/{place}", data, content_type="text/plain")


def listed(wire: Wire, place: str, base: str = BASE) -> Any:
    answer = wire.client.get(f"{base}/artifacts", {"path": place})
    assert answer.status_code == 200, answer.content
    return answer.json()


def ask(wire: Wire, step: str, place: str, **body: Any) -> Any:
    return wire.post(f"{BASE}/mpu/{step}/{place}", body)


def fetch(link: str) -> Answer:
    parts = urlsplit(link)
    return call(content.application, "GET", f"{parts.path}?{parts.query}")


@pytest.mark.parametrize("base", [BASE, "/ajax-api/2.0/mlflow-artifacts"])
def test_a_file_goes_and_comes(alice: Wire, run: Run, base: str) -> None:
    answer = send(alice, where(run, "models/a.txt"), base=base)
    assert (answer.status_code, answer.json()) == (200, {})
    assert listed(alice, where(run), base) == {"files": [{"path": "models", "is_dir": True}]}
    inside = listed(alice, where(run, "models"), base)
    assert inside == {"files": [{"path": "a.txt", "is_dir": False, "file_size": 5}]}
    led = alice.client.get(f"{base}/artifacts/{where(run, 'models/a.txt')}")
    assert led.status_code == 302
    found = fetch(led["Location"])
    assert (found.body, found.headers["content-disposition"].split(";")[0]) == (b"hello", "attachment")
    gone = alice.client.delete(f"{base}/artifacts/{where(run, 'models')}")
    assert (gone.status_code, Artifact.objects.count()) == (200, 0)
    refused(alice.client.delete(f"{base}/artifacts/{where(run, 'models')}"), 404, "RESOURCE_DOES_NOT_EXIST")


def test_a_long_folder_comes_whole(alice: Wire, run: Run, cast: Cast, monkeypatch: Any) -> None:
    monkeypatch.setattr(services.list_folder, "__kwdefaults__", {"after": "", "limit": 2})
    for number in range(5):
        services.save_artifact(run, f"{number}", iter([b"x"]), by=cast.alice)
    assert len(listed(alice, where(run))["files"]) == 5


def test_a_file_travels_in_parts(alice: Wire, run: Run) -> None:
    part = 5 << 20
    data = b"ab" * part
    made = ask(alice, "create", where(run, "models"), path="/home/alice/big.bin", num_parts=2).json()
    assert [row["part_number"] for row in made["credentials"]] == [1, 2]
    for number, row in enumerate(made["credentials"]):
        parts = urlsplit(row["url"])
        answer = call(
            content.application, "PUT", f"{parts.path}?{parts.query}", body=data[number * part : (number + 1) * part]
        )
        assert answer.status == 200
        assert answer.headers["etag"]
    assert not Artifact.objects.exists()
    done = {"path": "/home/alice/big.bin", "upload_id": made["upload_id"], "parts": []}
    assert ask(alice, "complete", where(run, "models"), **done).json() == {}
    artifact = Artifact.objects.get(run=run, path="models/big.bin")
    with blobs.open_blob(artifact.sha256) as file:
        assert file.read() == data
    link = alice.client.get(f"{BASE}/presigned/{where(run, 'models/big.bin')}").json()
    assert (link["file_size"], fetch(link["url"]).body == data) == (len(data), True)


def test_parts_that_are_given_up(alice: Wire, run: Run) -> None:
    made = ask(alice, "create", where(run), path="big.bin", num_parts=2).json()
    early = ask(alice, "complete", where(run), path="big.bin", upload_id=made["upload_id"], parts=[])
    refused(early, 409, "RESOURCE_CONFLICT")
    assert ask(alice, "abort", where(run), path="big.bin", upload_id=made["upload_id"]).json() == {}
    assert not Upload.objects.exists()
    for wrong in (made["upload_id"], "x", "1" * 40):
        answer = ask(alice, "complete", where(run), path="big.bin", upload_id=wrong, parts=[])
        refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("parts", [0, -1, 10_001, "x", 1.5, [1]])
def test_so_many_parts_there_are_not(alice: Wire, run: Run, parts: Any) -> None:
    refused(ask(alice, "create", where(run), path="a", num_parts=parts), 400, "INVALID_PARAMETER_VALUE")


HOSTILE = (
    "", "/", "..", "../..", "1", "1/2/artifacts/a", "{number}/{hex}", "{number}/{hex}/other/a", "{other}/{hex}/artifacts/a",
    "{number}/{hex}/artifacts/../../x", "s3://bucket/a", "file:///etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "{number}/{hex}/artifacts/a%00b",
    "{number}/models/m-{hex}/artifacts/a", "http://169.254.169.254/latest",
)  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_no_other_place_has_a_path(alice: Wire, run: Run, path: str) -> None:
    run.project.refresh_from_db()
    named = path.format(number=run.project.number, hex=run.pk.hex, other=run.project.number + 1)
    answers = [
        alice.client.get(f"{BASE}/artifacts", {"path": named}),
        send(alice, named),
        alice.client.get(f"{BASE}/artifacts/{named}"),
        alice.client.delete(f"{BASE}/artifacts/{named}"),
        alice.client.get(f"{BASE}/presigned/{named}"),
        ask(alice, "create", named, path="a", num_parts=1),
    ]
    shown = answers.pop(0)  # %00 is four letters there, and a folder that is not there is empty
    assert shown.status_code in {400, 404} or shown.json() == {"files": []}
    assert {answer.status_code for answer in answers} <= {400, 404, 405}, [answer.status_code for answer in answers]
    assert not Artifact.objects.exists()
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("person", "read", "write", "delete"),
    [
        ("bob", 200, 403, 403),
        ("charlie", 404, 404, 404),
        ("dana", 200, 200, 403),
        ("mia", 200, 200, 200),
        ("olaf", 404, 404, 404),
    ],
)
def test_who_may_do_what(cast: Cast, run: Run, person: str, read: int, write: int, delete: int) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    services.save_artifact(run, "secret.txt", iter([b"secret"]), by=cast.alice)
    wire = Wire(cast.people[person])
    listed = wire.client.get(f"{BASE}/artifacts", {"path": where(run)})
    assert (listed.status_code, b"secret" in listed.content) == (read, read == 200)
    assert wire.client.get(f"{BASE}/artifacts/{where(run, 'secret.txt')}").status_code == (302 if read == 200 else 404)
    assert wire.client.get(f"{BASE}/presigned/{where(run, 'secret.txt')}").status_code == read
    assert send(wire, where(run, "new.txt")).status_code == write
    assert ask(wire, "create", where(run), path="b", num_parts=1).status_code == write
    assert wire.client.delete(f"{BASE}/artifacts/{where(run, 'secret.txt')}").status_code == delete
    assert Artifact.objects.filter(path="secret.txt").exists() == (delete != 200)


def test_nobody_without_a_token(run: Run, cast: Cast) -> None:
    services.save_artifact(run, "secret.txt", iter([b"secret"]), by=cast.alice)
    wire = Wire(None)
    refused(wire.client.get(f"{BASE}/artifacts", {"path": where(run)}), 401, "UNAUTHENTICATED")
    refused(send(wire, where(run, "a")), 401, "UNAUTHENTICATED")


def test_a_deleted_run_takes_no_file(alice: Wire, run: Run, cast: Cast) -> None:
    services.archive_run(run, by=cast.alice)
    refused(send(alice, where(run, "a")), 400, "INVALID_PARAMETER_VALUE")
    assert not Artifact.objects.exists()
