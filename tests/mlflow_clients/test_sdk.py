"""`fathom.autolog()` and `fathom.runs.search(…)`, with real libraries against a real platform."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.mlflow_clients.conftest import python_of
from tests.platform import REPOSITORY, Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TRAIN = """
import json, fathom
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
run = fathom.start_run(project="auto")
fathom.autolog()
LogisticRegression(C=0.125, max_iter=77).fit(*load_iris(return_X_y=True))
fathom.log_metric("mine", 2.5)
fathom.flush()
found = fathom.runs.search("params.C = '0.125' AND metrics.mine > 2", projects=["auto"], order_by=["metrics.mine DESC"])
none = fathom.runs.search("params.C = 'other'", projects=["auto"])
row = found.iloc[0]
print(json.dumps([len(found), row["run_id"] == run.id.replace("-", ""), row["params.max_iter"], row["metrics.mine"], row["owner"],
                  row["project"], sorted(none.columns), [c for c in found.columns if c == "metrics.training_score"]]))
"""
REFUSED = """
import fathom
for arguments in ({"filter": "nothing"}, {"projects": ["no such project"]}):
    try:
        fathom.runs.search(**arguments)
    except fathom.FathomError as error:
        print(type(error).__name__, error)
"""


def _python(platform: Platform, token: str, script: str, folder: Any) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "FATHOM_"))}
    env |= {"FATHOM_URL": platform.url, "FATHOM_TOKEN": token, "PYTHONPATH": str(REPOSITORY / "sdk" / "src")}
    command = [str(python_of("newest")), "-c", script]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_what_scikit_learn_does_is_logged_and_found(platform: Platform, token: str, tmp_path: Any) -> None:
    platform.api(token, "POST", "/projects/", {"name": "auto"})
    lines = _python(platform, token, TRAIN, tmp_path).splitlines()
    found = json.loads(next(line for line in lines if line.startswith("[")))
    assert found[:6] == [1, True, "77", 2.5, "alice", "auto"]
    assert found[6] == ["finished_at", "name", "owner", "project", "run_id", "started_at", "status"]
    assert found[7] == ["metrics.training_score"]


def test_a_search_that_is_refused_says_why(platform: Platform, token: str, tmp_path: Any) -> None:
    first, second = _python(platform, token, REFUSED, tmp_path).splitlines()
    assert first.startswith("Invalid Invalid filter 'nothing'")
    assert second.startswith("NotFound Could not find experiment")
