"""Experiments over the API, from submission to deletion."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.compute.backends.fake.world import FakePlan
from apps.compute.models import Workload
from apps.experiments.models import CodeUpload, Experiment
from tests.api.answers import API, NOWHERE, good, problem, walk
from tests.api.conftest import As
from tests.factories import Stage, attempt_of
from tests.people import Cast, share

SPEC = {"command": "true", "cluster": {"name": "fake"}}


@pytest.fixture
def alice(as_: As, stage: Stage) -> APIClient:
    return as_("alice")


def submit(client: APIClient, **spec: Any) -> Any:
    return good(client.post(f"{API}/experiments/", {**SPEC, **spec}), 201)


def test_an_experiment_is_shown_whole(alice: APIClient) -> None:
    body = submit(alice, name="n", tags={"k": "v"}, priority=3, team="vision", timeout="1m")
    assert good(alice.get(f"{API}/experiments/{body['id']}/")) == body
    times = {"created_at", "started_at", "finished_at"}
    assert {key: value for key, value in body.items() if key not in times} == {
        "id": body["id"],
        "name": "n",
        "kind": "shell",
        "state": "queued",
        "reason": "",
        "message": "",
        "desired_state": "run",
        "source": None,
        "project": {"id": body["project"]["id"], "name": "default"},
        "owner": "alice",
        "team": "vision",
        "visibility": "team",
        "spec": {**SPEC, "name": "n", "tags": {"k": "v"}, "priority": 3, "team": "vision", "timeout": "1m"},
        "resources": {"cpu": 1000, "memory": 1 << 30, "gpu": 0, "disk": 0, "gpu_model": "", "other": {}},
        "priority": 3,
        "priority_class": "",
        "cluster": "fake",
        "attempt": 0,
        "exit_code": None,
        "duration_seconds": None,
        "tags": {"k": "v"},
        "url": body["url"],
        "actions": ["stop", "clone"],
    }
    assert body["url"].endswith(f"/experiments/{body['id']}/")
    assert body["created_at"].endswith("Z")


def test_the_life_of_an_experiment(alice: APIClient, stage: Stage) -> None:
    stage.plan(duration=5, exit_code=3, log="ä\n".encode())
    path = f"{API}/experiments/{submit(alice)['id']}"
    stage.turn(times=2)
    assert good(alice.get(f"{path}/"))["state"] == "running"
    stage.pass_time(6)
    stage.finish()
    body = good(alice.get(f"{path}/"))
    assert (body["state"], body["reason"], body["exit_code"], body["duration_seconds"]) == (
        "failed",
        "ExitCode",
        3,
        5.0,
    )
    assert body["actions"] == ["retry", "clone", "delete"]
    events = good(alice.get(f"{path}/events/"))
    assert [event["to_state"] for event in events] == ["queued", "starting", "running", "failed"]
    (attempt,) = good(alice.get(f"{path}/attempts/"))
    assert (attempt["no"], attempt["verdict"], attempt["log_bytes"], attempt["cluster"]) == (1, "failed", 3, "fake")
    log = good(alice.get(f"{path}/logs/"))
    assert (log["data"], log["next_offset"], log["eof"], log["attempt"], log["total_bytes"]) == ("ä\n", 3, True, 1, 3)
    download: Any = alice.get(f"{path}/logs/download/")
    assert b"".join(download.streaming_content) == "ä\n".encode()
    assert download["Content-Disposition"].startswith("attachment")
    assert good(alice.post(f"{path}/retry/"))["state"] == "queued"
    problem(alice.delete(f"{path}/"), 409, "conflict")
    stage.turn(times=2)
    stage.pass_time(6)
    stage.finish()
    assert alice.delete(f"{path}/").status_code == 204
    problem(alice.get(f"{path}/"), 404, "not_found")
    assert good(alice.get(f"{API}/experiments/"))["results"] == []


def test_stopping(alice: APIClient, stage: Stage) -> None:
    stage.plan(duration=None)
    path = f"{API}/experiments/{submit(alice)['id']}"
    stage.turn(times=2)
    assert good(alice.post(f"{path}/stop/", {"reason": "enough"}), 202)["desired_state"] == "stop"
    good(alice.post(f"{path}/stop/"), 200)
    stage.finish()
    assert good(alice.get(f"{path}/"))["message"] == "stopped by alice: enough"
    good(alice.post(f"{path}/stop/"), 200)


def test_what_has_ended_conflicts(alice: APIClient, stage: Stage) -> None:
    path = f"{API}/experiments/{submit(alice)['id']}"
    stage.finish()
    for action in ("stop", "retry"):
        assert problem(alice.post(f"{path}/{action}/"), 409, "conflict")["state"] == "succeeded"


def test_cloning(alice: APIClient, as_: As, stage: Stage) -> None:
    first = submit(alice, visibility="public", tags={"k": "v"})
    charlie = as_("charlie")
    copy = good(charlie.post(f"{API}/experiments/{first['id']}/clone/", {"overrides": {"name": "c"}}), 201)
    assert (copy["owner"], copy["name"], copy["tags"]) == ("charlie", "c", {"k": "v"})
    errors = problem(charlie.post(f"{API}/experiments/{first['id']}/clone/", {"overrides": {"x": 1}}), 400, "invalid")
    assert errors["errors"] == {"x": ["Unknown field."]}
    assert Experiment.objects.count() == 2


def test_a_quota_that_never_fits(alice: APIClient) -> None:
    body = problem(alice.post(f"{API}/experiments/", {**SPEC, "resources": {"cpu": 17}}), 422, "quota_never_fits")
    assert (body["resource"], body["limit"], body["need"]) == ("cpu", 16_000, 17_000)
    assert not Workload.objects.exists()


def test_errors_are_told_per_field(alice: APIClient) -> None:
    body = problem(alice.post(f"{API}/experiments/", {"command": "", "resources": {"cpu": "x"}}), 400, "invalid")
    assert set(body["errors"]) == {"command", "resources.cpu"}
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("name", ["charlie", "olaf", "ivan-token", ""])
def test_the_invisible_is_as_if_it_were_not(cast: Cast, as_: As, stage: Stage, name: str) -> None:
    experiment = stage.submit(cast.alice, team="vision", name="secret")
    stage.finish()
    client = as_(name if name in cast.people else "")
    for method, path in PATHS:
        real = getattr(client, method)(f"{API}/experiments/{experiment.pk}/{path}")
        absent = getattr(client, method)(f"{API}/experiments/{NOWHERE}/{path}")
        expected = (404, "not_found") if name in cast.people else (401, "not_authenticated")
        bodies = [problem(answer, *expected) for answer in (real, absent)]
        for body in bodies:
            body.pop("request_id")
        assert bodies[0] == bodies[1], path
        assert {k: v for k, v in real.headers.items() if k != "X-Request-ID"} == {
            k: v for k, v in absent.headers.items() if k != "X-Request-ID"
        }
        assert "secret" not in real.content.decode()
    assert Experiment.objects.get().archived_at is None
    assert Workload.objects.get().state == "succeeded"


PATHS = [
    ("get", ""),
    ("delete", ""),
    ("post", "stop/"),
    ("post", "retry/"),
    ("post", "clone/"),
    ("get", "events/"),
    ("get", "attempts/"),
    ("get", "logs/"),
    ("get", "logs/download/"),
]


def test_a_viewer_reads_and_is_told_why_he_may_not_more(cast: Cast, as_: As, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice, team="vision")
    stage.turn(times=2)
    bob, path = as_("bob"), f"{API}/experiments/{experiment.pk}"
    for part in ("", "events/", "attempts/", "logs/"):
        good(bob.get(f"{path}/{part}"))
    for method, part, needed in (("post", "stop/", "editor"), ("post", "retry/", "editor"), ("delete", "", "manager")):
        body = problem(getattr(bob, method)(f"{path}/{part}"), 403, "forbidden")
        assert body["detail"].startswith("You are viewer of this experiment;")
        assert body["detail"].endswith(f"needs {needed}.")
    assert Workload.objects.get().desired_state == "run"


def test_a_shared_editor_may_stop_and_not_delete(cast: Cast, as_: As, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    share(experiment, cast.dana)
    dana, path = as_("dana"), f"{API}/experiments/{experiment.pk}/"
    good(dana.post(f"{path}stop/"), 202)
    problem(dana.delete(path), 403, "forbidden")


@pytest.mark.parametrize(("scopes", "status"), [(("read",), 403), (("experiment:stop",), 404), (("run:view",), 404)])
def test_a_token_narrows(cast: Cast, as_: As, stage: Stage, scopes: tuple[str, ...], status: int) -> None:
    experiment = stage.submit(cast.alice)
    client = as_("alice", scopes)
    answer = client.post(f"{API}/experiments/{experiment.pk}/stop/")
    if status == 403:
        assert problem(answer, 403, "insufficient_scope")["need"] == ["experiment:stop"]
        problem(client.post(f"{API}/experiments/", SPEC), 403, "insufficient_scope")
    else:
        problem(answer, 404, "not_found")  # it may not be viewed with this token
    assert Workload.objects.get().desired_state == "run"


def test_lists_show_what_each_may_see(cast: Cast, as_: As, stage: Stage) -> None:
    stage.submit(cast.alice, name="private")
    stage.submit(cast.alice, name="team", team="vision")
    stage.submit(cast.olaf, name="public", visibility="public")
    seen = {name: {row["name"] for row in walk(as_(name), f"{API}/experiments/")} for name in ("bob", "charlie", "sre")}
    assert seen == {"bob": {"team", "public"}, "charlie": {"public"}, "sre": {"private", "team", "public"}}


def test_filters_narrow(alice: APIClient) -> None:
    for name in ("one", "two"):
        submit(alice, name=name, tags={"n": name})
    rows = good(alice.get(f"{API}/experiments/?q=ON&state=queued&tag=n%3Done"))["results"]
    assert [row["name"] for row in rows] == ["one"]
    assert set(problem(alice.get(f"{API}/experiments/?state=up&tag=x"), 400, "invalid")["errors"]) == {"state", "tag"}


# --- logs


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("offset=0&limit=2", 200),
        ("offset=-2", 200),
        ("offset=9999999999999999", 200),
        ("attempt=1", 200),
        ("offset=x", 400),
        ("offset=", 400),
        ("offset=1e3", 400),
        ("offset=१", 400),
        ("offset=99999999999999999999", 400),
        ("limit=0", 400),
        ("limit=-1", 400),
        ("limit=1048577", 400),
        ("attempt=0", 404),
        ("attempt=2", 404),
        ("attempt=-1", 404),
        ("attempt=9999999999999999", 404),
        ("attempt=%00", 400),
    ],
)
def test_reading_a_log_with_any_numbers(alice: APIClient, stage: Stage, query: str, status: int) -> None:
    stage.plan(log=b"hello\n")
    path = f"{API}/experiments/{submit(alice)['id']}/logs/?{query}"
    stage.finish()
    assert alice.get(path).status_code == status


def test_an_empty_log_can_be_downloaded(alice: APIClient, stage: Stage) -> None:
    answer: Any = alice.get(f"{API}/experiments/{submit(alice)['id']}/logs/download/")
    assert b"".join(answer.streaming_content) == b""


# --- code


@pytest.fixture(autouse=True)
def _own_blobs(tmp_path: Path, settings: Any) -> None:
    settings.BLOB_ROOT = tmp_path


def put(client: APIClient, data: bytes, sha: str = "", content_type: str = "application/gzip") -> Any:
    sha = sha or hashlib.sha256(data).hexdigest()
    return client.put(f"{API}/code/sha256:{sha}/", data, content_type=content_type)


def test_code_is_uploaded_and_used(alice: APIClient, as_: As) -> None:
    data = gzip.compress(b"x" * 3_000_000)
    sha = hashlib.sha256(data).hexdigest()
    path, expected = f"{API}/code/sha256:{sha}/", {"ref": f"sha256:{sha}", "size_bytes": len(data), "format": "tar.gz"}
    problem(alice.get(path), 404, "not_found")
    assert good(put(alice, data), 201) == expected
    assert good(put(alice, data), 200) == expected
    assert good(alice.get(path)) == expected
    problem(as_("charlie").get(path), 404, "not_found")
    assert submit(alice, code={"upload": f"sha256:{sha}"})["spec"]["code"] == {"upload": f"sha256:{sha}"}
    body = problem(
        as_("charlie").post(f"{API}/experiments/", {**SPEC, "code": {"upload": f"sha256:{sha}"}}), 400, "invalid"
    )
    assert list(body["errors"]) == ["code.upload"]


def test_a_bad_upload_is_refused(alice: APIClient, as_: As, settings: Any) -> None:
    assert list(problem(put(alice, b"x", sha="0" * 64), 400, "invalid")["errors"]) == ["sha256"]
    assert list(problem(put(alice, b"x", content_type="text/html"), 400, "invalid")["errors"]) == ["Content-Type"]
    settings.CODE_LIMIT_BYTES = 10
    problem(put(alice, b"x" * 11), 413, "too_large")
    problem(put(as_("alice", ("read",)), b"x"), 403, "insufficient_scope")
    problem(put(as_(), b"x"), 401, "not_authenticated")
    assert alice.put(f"{API}/code/sha256:xyz/", b"x", content_type="application/gzip").status_code == 404
    assert not CodeUpload.objects.exists()


def test_the_token_of_a_run_sees_its_run_only(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    own, other = stage.submit(cast.alice), stage.submit(cast.alice)
    stage.turn()
    spec = stage.world.workloads[attempt_of(own).handle].spec
    assert spec is not None
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {spec.secrets['FATHOM_TOKEN']}")
    assert [row["id"] for row in walk(client, f"{API}/experiments/")] == [str(own.pk)]
    good(client.get(f"{API}/experiments/{own.pk}/"))
    problem(client.get(f"{API}/experiments/{other.pk}/"), 404, "not_found")
    problem(client.post(f"{API}/experiments/{own.pk}/stop/"), 403, "insufficient_scope")
    problem(client.post(f"{API}/experiments/", SPEC), 403, "insufficient_scope")
    problem(client.post(f"{API}/tokens/", {"name": "mine"}), 403, "insufficient_scope")
    assert walk(client, f"{API}/tokens/") == []
    assert walk(client, f"{API}/teams/") == []
    assert good(client.get(f"{API}/usage/")) == {"nodes": [], "queue": []}
    stage.world.workloads[attempt_of(own).handle].plan = FakePlan()
    stage.turn(times=2)
    problem(client.get(f"{API}/experiments/{own.pk}/"), 401, "not_authenticated")
