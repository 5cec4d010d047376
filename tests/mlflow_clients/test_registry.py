"""Registered models with an unmodified client of MLflow: the same answers as from MLflow's own server; and what a client is
told that may not move a protected alias. Kept and asked again as in `test_same_answers`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fathom.client import Client
from tests.mlflow_clients.conftest import ANSWERS, CLIENTS, LONG, answers_of, python_of
from tests.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_SCRIPT = Path(__file__).parent / "registry_script.py"


def _recorded(client: str) -> Any:
    return json.loads((ANSWERS / f"registry-{client}.json").read_text())


@pytest.mark.parametrize("client", CLIENTS)
def test_fathom_answers_as_mlflow(client: str, platform: Platform, token: str) -> None:
    found, expected = answers_of(client, platform.url, token, script=_SCRIPT), _recorded(client)
    assert set(found) == set(expected)
    for step, answer in expected.items():
        assert found[step] == answer, step


@pytest.mark.skipif(not LONG, reason="needs MLflow's own server: make mlflow")
@pytest.mark.parametrize("client", CLIENTS)
def test_mlflow_still_answers_as_it_did(client: str, mlflow_server: str) -> None:
    found = answers_of(client, mlflow_server, script=_SCRIPT)
    if os.environ.get("FATHOM_RECORD"):
        (ANSWERS / f"registry-{client}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == _recorded(client)


def test_the_script_tries_something() -> None:
    """A script that fails everywhere would also give the same answers everywhere."""
    for client in CLIENTS:
        answers = _recorded(client)
        assert [step for step, answer in answers.items() if isinstance(answer, str)] == []
        assert answers["searches"]["models"]["tags.fruit = 'red'"] == ["s-apple"]


_MOVE = """
import sys, mlflow
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
for call in (
    lambda: client.set_registered_model_alias("guarded", "champion", "1"),
    lambda: client.transition_model_version_stage("guarded", "1", "Production"),
):
    try:
        call()
    except mlflow.exceptions.MlflowException as error:
        print(error.error_code, error)
client.set_registered_model_alias("guarded", "free", "1")
"""


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_is_told_why_it_may_not_move(name: str, platform: Platform, token: str) -> None:
    with Client(platform.url, token) as ours:
        try:
            model = ours.models.find("guarded")
        except Exception:  # noqa: BLE001 -- the first client makes it
            model = ours.models.create("guarded")
            run = ours.runs.create(name="r")
            source = Path(__file__)
            ours.runs.put_artifact(run.id, source, "model/x")
            ours.models.register_run(model.id, run.id, "model", metrics={"accuracy": 0.5})
            threshold = {"metric": "accuracy", "operator": ">=", "value": 0.9}
            ours.models.protect(model.id, "champion", approvals=2, thresholds=[threshold])
            ours.models.protect(model.id, "Production", target="stage")
    done = subprocess.run(
        [str(python_of(name)), "-c", _MOVE, platform.url],
        env={**os.environ, "MLFLOW_TRACKING_TOKEN": token, "PYTHONPATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (line for line in done.stdout.splitlines() if line.startswith("PERMISSION_DENIED"))
    assert "accuracy must be at least 0.9; it is 0.5." in first
    assert "approvals of 2 others" in first
    assert "The stage Production is protected." in second
