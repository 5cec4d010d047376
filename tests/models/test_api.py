"""The API of the registry, from outside."""

import io
import json
import tarfile
from typing import Any
from urllib.parse import quote, urlsplit

from django.test import Client, RequestFactory
from django.urls import resolve

from apps.access import grants
from apps.access.decision import Role
from apps.models import services
from apps.models.models import ModelVersion, RegisteredModel, VersionFile
from apps.tracking.models import Run
from tests.models.conftest import upload
from tests.people import Cast
from tests.tracking.conftest import client_of, token_of

ROOT = "/api/v2/models/"


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return getattr(client, method)(
        path, data=None if body is None else json.dumps(body), content_type="application/json", headers=headers
    )


def at(model: RegisteredModel, rest: str = "") -> str:
    return f"{ROOT}{model.pk}/{rest}"


def test_the_life_of_a_version(cast: Cast, run: Run) -> None:
    alice = client_of(cast.alice)
    made = send(alice, "post", ROOT, {"name": "digits", "team": "vision", "tags": {"task": "vision"}})
    assert made.status_code == 201, made.content
    model = f"{ROOT}{made.json()['id']}/"
    body = {
        "run": str(run.pk),
        "path": "model",
        "datasets": [{"name": "mnist", "digest": "9a"}],
        "description": "**good**",
    }
    first = send(alice, "post", f"{model}versions/", body)
    assert first.status_code == 201, first.content
    told = first.json()
    assert (told["number"], told["created_by"], told["files_count"]) == (1, "alice", 3)
    assert told["datasets"] == [{"name": "mnist", "digest": "9a"}]
    assert told["metrics"] == {"accuracy": 0.93, "loss": "NaN"}
    changed = send(alice, "patch", f"{model}versions/1/", {"tags": {"a": "1", "b": "2"}, "description": "new"})
    assert (changed.json()["tags"], changed.json()["description"]) == ({"a": "1", "b": "2"}, "new")
    assert send(alice, "patch", f"{model}versions/1/", {"tags": {"a": None}}).json()["tags"] == {"b": "2"}
    moved = send(alice, "put", f"{model}aliases/champion/", {"version": "latest", "reason": "the first"})
    assert (moved.status_code, moved.json()["version"]) == (200, 1)
    assert send(alice, "get", f"{model}versions/champion/").json()["id"] == told["id"]
    staged = send(alice, "post", f"{model}versions/1/stage/", {"stage": "Production"})
    assert staged.json()["stage"] == "Production"
    lines = send(alice, "get", f"{model}moves/").json()["results"]
    assert [(row["target"], row["before"], row["after"], row["by"], row["reason"]) for row in lines] == [
        ("stage", "None", "Production", "alice", ""),
        ("alias", "", "1", "alice", "the first"),
    ]
    assert send(alice, "get", f"{model}pointed/?alias=champion").json()["after"] == "1"
    assert send(alice, "get", f"{model}pointed/?alias=champion&at=2001-01-01T00:00:00Z").status_code == 404
    shown = send(alice, "get", model).json()
    assert (shown["aliases"], shown["tags"], shown["newest_number"]) == ({"champion": 1}, {"task": "vision"}, 1)
    assert send(alice, "delete", f"{model}aliases/champion/?reason=bad").status_code == 204
    assert send(alice, "delete", f"{model}versions/1/").status_code == 204
    assert send(alice, "get", f"{model}versions/").json()["results"] == []
    assert send(alice, "delete", model).status_code == 204
    assert send(alice, "get", model).status_code == 404


def test_the_same_key_makes_one_version(cast: Cast, model: RegisteredModel, run: Run) -> None:
    alice, body = client_of(cast.alice), {"run": str(run.pk), "path": "model"}
    answers = [send(alice, "post", at(model, "versions/"), body, **{"Idempotency-Key": "one"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert {answer.json()["id"] for answer in answers} == {str(ModelVersion.objects.get().pk)}
    other = send(alice, "post", at(model, "versions/"), {**body, "path": ""}, **{"Idempotency-Key": "one"})
    assert other.status_code == 422


def test_a_protected_alias_through_the_api(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    alice, mia = client_of(cast.alice), client_of(cast.mia)
    rule = {"name": "champion", "approvals": 1, "thresholds": [{"metric": "accuracy", "operator": ">=", "value": 0.9}]}
    assert send(mia, "post", at(model, "protections/"), rule).status_code == 200
    refused = send(alice, "put", at(model, "aliases/champion/"), {"version": "1"})
    assert refused.status_code == 403
    assert refused.json()["missing"] == [
        "It needs the approval of somebody else: ask for them with a request on the model's page, or by the API."
    ]
    asked = send(alice, "post", at(model, "requests/"), {"name": "champion", "version": "1", "reason": "good"})
    assert asked.status_code == 201, asked.content
    one = f"/api/v2/model-requests/{asked.json()['id']}/"
    assert send(alice, "post", f"{one}approve/", {}).status_code == 403
    assert send(client_of(cast.bob), "post", f"{one}approve/", {}).status_code == 403
    assert send(client_of(cast.charlie), "get", one).status_code == 404
    assert send(mia, "post", f"{one}refuse/", {}).status_code == 400
    done = send(mia, "post", f"{one}approve/", {"reason": "I looked"})
    assert (done.json()["state"], done.json()["decisions"][0]["by"]) == ("done", "mia")
    assert send(alice, "get", at(model)).json()["aliases"] == {"champion": 1}
    assert len(send(mia, "get", "/api/v2/model-requests/?state=done").json()["results"]) == 1
    kept = send(mia, "get", at(model, "protections/")).json()
    assert send(alice, "delete", at(model, f"protections/{kept[0]['id']}/")).status_code == 204


def test_lists_show_what_one_may_see(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    own = services.create_model("digits", by=cast.charlie)
    assert [row["id"] for row in send(client_of(cast.charlie), "get", ROOT).json()["results"]] == [str(own.pk)]
    assert [row["id"] for row in send(client_of(cast.bob), "get", ROOT).json()["results"]] == [str(model.pk)]
    grants.grant(cast.charlie, model, Role.VIEWER)
    charlie = client_of(cast.charlie)
    assert [row["id"] for row in send(charlie, "get", f"{ROOT}?shared=1").json()["results"]] == [str(model.pk)]
    assert send(charlie, "get", f"{ROOT}?name=digits&team=vision").json()["results"][0]["id"] == str(model.pk)
    assert send(charlie, "get", f"{ROOT}?q=nothing").json()["results"] == []


def test_lists_narrow(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    second = upload(model, cast.alice)
    services.tag_version(second, {"a": "1"}, by=cast.alice)
    services.move_stage(second, "Staging", by=cast.alice)
    alice = client_of(cast.alice)
    numbers = lambda query: [r["number"] for r in send(alice, "get", at(model, f"versions/{query}")).json()["results"]]  # noqa: E731 -- short
    assert numbers("") == [2, 1]
    assert numbers("?stage=Staging") == numbers("?tag=a%3D1") == [2]
    assert numbers("?limit=1") == [2]
    for query in ("?stage=staging", "?tag=a", "?tag=%00%3D"):
        assert send(alice, "get", at(model, f"versions/{query}")).status_code == 400
    for query in ("?q=%00", "?tag=a", f"?name={'x' * 300}"):
        assert send(alice, "get", f"{ROOT}{query}").status_code == 400, query


def tar(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def test_uploads(cast: Cast, model: RegisteredModel) -> None:
    alice = client_of(cast.alice)
    details = quote(json.dumps({"tags": {"k": "v"}, "metrics": {"accuracy": 0.5}, "signature": {"inputs": []}}))
    whole = alice.post(at(model, f"uploads/?details={details}"), tar(a=b"x", b=b"yy"), content_type="application/gzip")
    assert whole.status_code == 201, whole.content
    assert (whole.json()["files_count"], whole.json()["tags"], whole.json()["metrics"]) == (
        2,
        {"k": "v"},
        {"accuracy": 0.5},
    )
    one = alice.post(at(model, "uploads/?filename=m/w.bin"), b"weights", content_type="application/octet-stream")
    assert (one.status_code, one.json()["number"]) == (201, 2)
    files = alice.get(at(model, "versions/2/files/")).json()["results"]
    assert [(row["path"], row["size_bytes"]) for row in files] == [("m/w.bin", 7)]
    page = alice.get(at(model, "versions/1/files/?limit=1")).json()
    assert ([row["path"] for row in page["results"]], page["next"].rpartition("?")[2]) == (["a"], "limit=1&after=a")


def test_what_is_refused_of_uploads(cast: Cast, model: RegisteredModel) -> None:
    alice = client_of(cast.alice)
    for query, data, kind, status in (
        ("", b"x", "text/plain", 415),
        ("", b"x", "application/octet-stream", 400),
        ("?filename=../x", b"x", "application/octet-stream", 400),
        ("?details=nonsense", tar(a=b"x"), "application/gzip", 400),
        ("?details=%7B%22tags%22%3A1%7D", tar(a=b"x"), "application/gzip", 400),
        ("", b"no archive", "application/gzip", 400),
        ("", tar(), "application/gzip", 400),
    ):
        answer = alice.post(at(model, f"uploads/{query}"), data, content_type=kind)
        assert answer.status_code == status, (query, kind, answer.content)
    assert (
        client_of(cast.bob).post(at(model, "uploads/"), tar(a=b"x"), content_type="application/gzip").status_code == 403
    )
    assert not ModelVersion.objects.exists()


class _Cut:
    """A connection that is lost: the body ends before what was announced."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def test_an_upload_that_is_cut_off_leaves_nothing(cast: Cast, model: RegisteredModel) -> None:
    data = tar(a=b"x" * 100_000)
    for body, kind, query in ((data, "application/gzip", ""), (b"x" * 1000, "application/octet-stream", "?filename=a")):
        for sent in (len(body) // 2, len(body)):
            address = at(model, f"uploads/{query}")
            request = RequestFactory(headers={"Authorization": f"Bearer {token_of(cast.alice)}"}).generic(
                "POST", address, b"", CONTENT_TYPE=kind, CONTENT_LENGTH=str(len(body) + 10)
            )
            request._stream = _Cut(body[:sent])  # type: ignore[attr-defined]
            found = resolve(urlsplit(address).path)
            answer = found.func(request, *found.args, **found.kwargs)
            answer.render()
            assert (answer.status_code, b"ended after" in answer.content) == (400, True), answer.content
    assert not ModelVersion.objects.exists()
    assert not VersionFile.objects.exists()
    model.refresh_from_db()
    assert model.newest == 0


def test_comparing(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    upload(model, cast.alice, metrics={"accuracy": 0.95}, MLmodel=b"x")
    alice = client_of(cast.alice)
    told = send(alice, "get", at(model, "compare/?version=1&version=2")).json()
    assert told["versions"] == [1, 2]
    assert told["metrics"][0] == {"name": "accuracy", "values": [0.93, 0.95], "differs": True}
    assert [line["name"] for line in told["files"]] == ["MLmodel", "model.pkl", "requirements.txt"]
    assert all(line["differs"] for line in told["files"])
    assert {line["name"] for line in told["signature"]} == {"inputs.x", "outputs.0"}
    for query in ("", "?version=1", "?version=1&version=1"):
        assert send(alice, "get", at(model, f"compare/{query}")).status_code == 400
    assert send(alice, "get", at(model, "compare/?version=1&version=77")).status_code == 404


def test_bad_input_is_never_an_error_of_ours(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    alice = client_of(cast.alice)
    for method, rest, body in (
        ("post", "versions/", {"run": "x"}),
        ("post", "versions/", {"run": str(model.pk)}),
        ("post", "versions/", []),
        ("put", "aliases/a b/", {"version": "1"}),
        ("put", "aliases/ok/", {"version": "99999999999999"}),
        ("put", "aliases/ok/", {}),
        ("post", "versions/1/stage/", {"stage": "x"}),
        ("patch", "versions/1/", {"tags": {"": "x"}}),
        ("patch", "", {"name": ""}),
        ("patch", "", {"name": "a/b"}),
        ("post", "protections/", {"approvals": 99}),
        ("post", "protections/", {"target": "stage", "name": "nope"}),
        ("post", "requests/", {"name": "x", "version": "1"}),
        ("get", "pointed/?alias=x&at=yesterday", None),
        ("get", "versions/1/files/?limit=0", None),
        ("get", "versions/0/", None),
        ("get", "versions/%00/", None),
        ("delete", "protections/x/", None),
        ("get", "versions/1/files/nothing", None),
    ):
        answer = send(alice, method, at(model, rest), body)
        assert 400 <= answer.status_code < 500, (method, rest, answer.status_code, answer.content)
    for wrong in ("x", "0" * 36, str(version.pk)):
        assert send(alice, "get", f"{ROOT}{wrong}/").status_code == 404
        assert send(alice, "get", f"{ROOT}{wrong}/versions/").status_code == 404
