"""Every call with good input and with bad: the right answer, or one in MLflow's form, never a 5xx."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.core.errors import DomainError
from apps.mlflow.calls import Call
from apps.mlflow.urls import ROUTES
from apps.tracking import services as tracking
from apps.tracking.models import MetricPoint, Project, Run, Tag
from tests.mlflow.conftest import Wire, refused
from tests.people import Cast
from tests.tracking.conftest import run_token

pytestmark = pytest.mark.django_db
NOBODY = "0" * 32
T0 = 1_700_000_000_000


@pytest.fixture
def experiment(alice: Wire) -> str:
    return str(alice.made("experiments/create", name="first")["experiment_id"])


@pytest.fixture
def run(alice: Wire, experiment: str) -> str:
    made = alice.made(
        "runs/create", experiment_id=experiment, start_time=T0, run_name="one", tags=[{"key": "a", "value": "b"}]
    )
    return str(made["run"]["info"]["run_id"])


def test_an_experiment_is_a_project(alice: Wire, experiment: str, cast: Cast) -> None:
    project = Project.objects.get(number=int(experiment))
    assert (project.owner, project.name, project.team, project.visibility) == (cast.alice, "first", None, "private")
    seen = alice.read("experiments/get", experiment_id=experiment)["experiment"]
    assert (seen["name"], seen["lifecycle_stage"]) == ("first", "active")
    assert seen["artifact_location"] == f"mlflow-artifacts:/{experiment}"


def test_an_experiment_of_a_team(alice: Wire, cast: Cast) -> None:
    tags = [{"key": "fathom.team", "value": "vision"}, {"key": "k", "value": "v"}]
    made = alice.made("experiments/create", name="ours", tags=tags)
    project = Project.objects.get(number=int(made["experiment_id"]))
    assert (project.team, project.visibility) == (cast.team, "team")
    bob = Wire(cast.bob)
    assert bob.read("experiments/get-by-name", experiment_name="ours")["experiment"]["tags"] == tags
    refused(bob.post("runs/create", experiment_id=made["experiment_id"]), 403, "PERMISSION_DENIED")
    refused(
        alice.post("experiments/create", name="x", tags=[{"key": "fathom.team", "value": "speech"}]),
        400,
        "INVALID_PARAMETER_VALUE",
    )


def test_a_name_means_ones_own_first(alice: Wire, cast: Cast) -> None:
    theirs = tracking.create_project("same", by=cast.mia, team=cast.team)
    tracking.create_project("same", by=cast.charlie, visibility="private")
    tracking.create_project("same", by=cast.olaf, visibility="public")
    found = alice.read("experiments/get-by-name", experiment_name="same")["experiment"]
    assert Project.objects.get(number=int(found["experiment_id"])) == theirs  # her team's before others'
    mine = alice.made("experiments/create", name="same")["experiment_id"]
    assert alice.read("experiments/get-by-name", experiment_name="same")["experiment"]["experiment_id"] == mine
    refused(alice.post("experiments/create", name="same"), 400, "RESOURCE_ALREADY_EXISTS")


def test_number_nought_is_ones_default_project(alice: Wire, cast: Cast) -> None:
    made = alice.made("runs/create", experiment_id="0", start_time=T0)
    assert Run.objects.get(pk=made["run"]["info"]["run_id"]).project.name == "default"
    assert alice.read("experiments/get", experiment_id="0") == alice.read(
        "experiments/get-by-name", experiment_name="Default"
    )
    assert len(alice.made("runs/search", experiment_ids=["0"])["runs"]) == 1
    assert Wire(cast.charlie).made("runs/search", experiment_ids=["0"])["runs"] == []


def test_deleting_an_experiment_takes_its_runs_and_restoring_brings_them_back(
    alice: Wire, experiment: str, run: str
) -> None:
    other = alice.made("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    alice.made("runs/delete", run_id=other)
    alice.made("experiments/delete", experiment_id=experiment)
    assert alice.read("runs/get", run_id=run)["run"]["info"]["lifecycle_stage"] == "deleted"
    refused(alice.post("runs/restore", run_id=run), 409, "RESOURCE_CONFLICT")
    alice.made("experiments/restore", experiment_id=experiment)
    stages = [alice.read("runs/get", run_id=one)["run"]["info"]["lifecycle_stage"] for one in (run, other)]
    assert stages == ["active", "deleted"]  # what was deleted before stays so


def test_an_experiment_with_runs_of_others_is_not_deleted_over_their_heads(cast: Cast) -> None:
    project = tracking.create_project("ours", by=cast.alice, team=cast.team)
    project.refresh_from_db()
    tracking.create_run(project, by=cast.mia, name="hers", visibility="private")
    message = refused(
        Wire(cast.alice).post("experiments/delete", experiment_id=str(project.number)), 403, "PERMISSION_DENIED"
    )
    assert "may not delete" in message
    assert Run.objects.filter(archived_at=None).count() == 1


def test_a_name_that_was_given_away_is_not_taken_back(alice: Wire, experiment: str, cast: Cast) -> None:
    alice.made("experiments/delete", experiment_id=experiment)
    refused(alice.post("experiments/create", name="first"), 400, "RESOURCE_ALREADY_EXISTS")
    tracking.create_project("first", by=cast.alice)
    refused(alice.post("experiments/restore", experiment_id=experiment), 400, "RESOURCE_ALREADY_EXISTS")


def test_a_run_is_ours(alice: Wire, run: str, cast: Cast) -> None:
    row = Run.objects.get(pk=run)
    assert (row.owner, row.name, row.status, row.visibility) == (cast.alice, "one", "running", "private")
    info = alice.read("runs/get", run_id=run)["run"]["info"]
    assert info["artifact_uri"] == f"mlflow-artifacts:/{row.project.number}/{run}/artifacts"
    assert (info["start_time"], info["user_id"]) == (T0, "alice")
    assert AuditEvent.objects.filter(object_id=str(row.pk), action="create").exists()


def test_the_users_name_is_not_believed(alice: Wire, experiment: str) -> None:
    made = alice.made("runs/create", experiment_id=experiment, user_id="mallory")
    assert made["run"]["info"]["user_id"] == "alice"


def test_exact_values(alice: Wire, run: str) -> None:
    values = ["NaN", "Infinity", "-Infinity", 1e-320, 0.1, 12345678901234567890]
    points = [{"key": "v", "value": value, "timestamp": str(T0 + n), "step": n} for n, value in enumerate(values)]
    alice.made("runs/log-batch", run_id=run, metrics=points)
    history = alice.read("metrics/get-history", run_id=run, metric_key="v")["metrics"]
    assert [point["value"] for point in history] == [*values[:5], float(values[5])]
    assert [point["timestamp"] for point in history] == [T0 + n for n in range(6)]


def test_the_same_batch_twice_is_one(alice: Wire, run: str) -> None:
    batch = {"run_id": run, "metrics": [{"key": "m", "value": n, "timestamp": T0 + n, "step": n} for n in range(50)]}
    for _ in range(3):
        alice.made("runs/log-batch", **batch)
    assert MetricPoint.objects.count() == 50
    alice.made("runs/log-batch", **{**batch, "tags": [{"key": "new", "value": "1"}]})  # more than the same: written
    assert Tag.objects.filter(run=run, key="new").exists()
    one = {"run_id": run, "key": "x", "value": 1, "timestamp": T0, "step": 0}
    for body in (one, one, {**one, "value": 2}):
        alice.made("runs/log-metric", **body)
    assert MetricPoint.objects.filter(series__key="x").count() == 2


def test_a_refused_param_takes_its_batch_with_it(alice: Wire, run: str) -> None:
    alice.made("runs/log-parameter", run_id=run, key="p", value="1")
    body = {"run_id": run, "params": [{"key": "p", "value": "2"}], "tags": [{"key": "lost", "value": "1"}]}
    body["metrics"] = [{"key": "lost", "value": 1, "timestamp": T0}]
    assert "logged as '1'" in refused(alice.post("runs/log-batch", body), 400, "INVALID_PARAMETER_VALUE")
    data = alice.read("runs/get", run_id=run)["run"]["data"]
    assert data["params"] == [{"key": "p", "value": "1"}]
    assert "metrics" not in data
    assert not Tag.objects.filter(key="lost").exists()


def test_a_page_of_points(alice: Wire, run: str) -> None:
    alice.made(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "m", "value": n, "timestamp": T0 + n, "step": n} for n in range(25)],
    )
    found, token = [], ""
    while True:
        page = alice.read("metrics/get-history", run_id=run, metric_key="m", max_results=10, page_token=token)
        found.append([point["step"] for point in page["metrics"]])
        token = page.get("next_page_token", "")
        if not token:
            break
    assert [len(part) for part in found] == [10, 10, 5]
    assert [step for part in found for step in part] == list(range(25))


def test_thinned_points_keep_both_ends(alice: Wire, run: str) -> None:
    alice.made(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "m", "value": n, "timestamp": T0 + n, "step": n} for n in range(1000)],
    )
    for most in (1, 2, 3, 7, 10, 320, 999, 1000, 2500):
        steps = [
            point["step"]
            for point in alice.read(
                "metrics/get-history-bulk-interval", run_ids=[run], metric_key="m", max_results=most
            )["metrics"]
        ]
        assert len(steps) == min(most, 1000)
        assert steps[-1] == 999
        assert most == 1 or steps[0] == 0
        gaps = {after - before for before, after in pairwise(steps)}
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_job_logs_to_its_run_and_says_nothing_of_how_it_ended(cast: Cast, alice: Wire, experiment: str) -> None:
    from tests.people import fake_cluster, submit

    fake_cluster()
    job = submit(cast.alice)
    wire = Wire(None, Authorization=f"Bearer {run_token(job.run)}")
    wire.made("runs/log-metric", run_id=job.pk.hex, key="loss", value=1, timestamp=T0)
    wire.made("runs/update", run_id=job.pk.hex, status="FINISHED", end_time=T0)
    assert Run.objects.get(pk=job.pk).status == "running"
    assert wire.read("runs/get", run_id=job.pk.hex)["run"]["data"]["metrics"][0]["value"] == 1
    refused(wire.post("runs/create", experiment_id=experiment), 404, "RESOURCE_DOES_NOT_EXIST")
    other = alice.made("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    refused(
        wire.post("runs/log-metric", run_id=other, key="loss", value=1, timestamp=T0), 404, "RESOURCE_DOES_NOT_EXIST"
    )
    refused(alice.post("runs/delete", run_id=job.pk.hex), 409, "RESOURCE_CONFLICT")


def test_files_are_listed(alice: Wire, run: str, cast: Cast, settings: Any, tmp_path: Any) -> None:
    settings.BLOB_ROOT = tmp_path
    row = Run.objects.get(pk=run)
    for path in ("a/b/c.txt", "a/d.txt", "top"):
        tracking.save_artifact(row, path, [b"123"], by=cast.alice)
    found = alice.read("artifacts/list", run_id=run)
    assert found["files"] == [{"path": "a", "is_dir": True}, {"path": "top", "is_dir": False, "file_size": 3}]
    assert [entry["path"] for entry in alice.read("artifacts/list", run_id=run, path="a")["files"]] == [
        "a/b",
        "a/d.txt",
    ]
    refused(alice.get("artifacts/list", run_id=run, path="../x"), 400, "INVALID_PARAMETER_VALUE")


def test_a_logged_model_lies_among_the_files_of_its_run(
    alice: Wire, experiment: str, run: str, cast: Cast, settings: Any, tmp_path: Any
) -> None:
    settings.BLOB_ROOT = tmp_path
    info = alice.made("logged-models", experiment_id=experiment, source_run_id=run, name="net")["model"]["info"]
    root = f"mlflow-artifacts:/{experiment}/{run}/artifacts/"
    assert info["artifact_uri"] == f"{root}models/{info['model_id']}"
    tracking.save_artifact(Run.objects.get(pk=run), f"models/{info['model_id']}/sub/MLmodel", [b"x"], by=cast.alice)
    where = f"logged-models/{info['model_id']}/artifacts/directories"
    assert alice.read(where)["files"] == [{"path": "sub", "is_dir": True}]
    assert alice.read(where, artifact_directory_path="sub")["files"][0]["path"] == "sub/MLmodel"
    refused(Wire(cast.charlie).get(where), 404, "RESOURCE_DOES_NOT_EXIST")


BAD = [
    None,
    "",
    "x",
    "x" * 70_000,
    "a\x00b",
    "\ud800",
    -1,
    1 << 70,
    1.5,
    True,
    [],
    {},
    [1],
    [None],
    [{}],
    {"a": 1},
    "0x",
    "987654321",
    NOBODY,
    "m-" + NOBODY,
]


class Noting(dict[str, Any]):
    """Fields of a call that note which of them are looked at."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def _read_by(route: Any, user: Any, good: dict[str, Any]) -> list[str]:
    """Return the fields that a call looks at."""
    given = Noting(good)
    with transaction.atomic():
        with suppress(DomainError):
            route.translator(Call(user, given))
        transaction.set_rollback(True)
    return sorted(given.read)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_bad_input_is_refused_in_mlflows_form(route: Any, alice: Wire, experiment: str, run: str, cast: Cast) -> None:
    """Each field that it reads, wrong in twenty ways, beside others that are right."""
    model = alice.made("logged-models", experiment_id=experiment, source_run_id=run, name="net")["model"]["info"][
        "model_id"
    ]
    good = {
        "experiment_id": experiment, "experiment_ids": [experiment], "run_id": run, "run_ids": [run], "key": "k", "value": "1", "timestamp": T0,
        "metric_key": "k", "experiment_name": "first", "name": "n",
    }  # fmt: skip
    names = {"model_id": model, "tag_key": "k"}
    parts = {name: value for name, value in names.items() if f":{name}>" in route.path}
    url = reverse(route.name, kwargs=parts)
    statuses = set()
    for field in ["what", *_read_by(route, cast.alice, {**good, **parts})]:
        for bad in BAD:
            given = {**good, field: bad}
            if route.method == "GET":
                texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
                texts = {name: value for name, value in texts.items() if "\ud800" not in value}
                answer = alice.get(url, **texts)
            else:
                answer = alice.post(url, json.dumps(given), method=route.method.lower())
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (field, bad, answer.content)
            if answer.status_code != 200:
                found = answer.json()
                assert all(found[name] for name in ("error_code", "message")), (field, bad)
                assert answer.status_code in {400, 403, 404, 409}, (field, bad, found)
    assert statuses - {404}, "nothing but not found: the good values were not good"


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff", b'{"a": NaN}', b'"x"', b"[" * 100_000])
def test_what_is_no_json_object(alice: Wire, body: bytes) -> None:
    refused(alice.post("runs/create", body), 400, "INVALID_PARAMETER_VALUE")


def test_a_body_that_is_too_large(alice: Wire) -> None:
    refused(alice.post("runs/create", b" " * (4 << 20) + b" "), 413, "INVALID_PARAMETER_VALUE")
