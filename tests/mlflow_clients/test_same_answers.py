"""The same script with an unmodified client of MLflow, against MLflow's own server and against Fathom: the same answers.

What MLflow's server answered is kept in `answers/`, so that the short form needs no such server. The long form
(`make mlflow`) asks a real one again; with FATHOM_RECORD=1 it writes down what that answered.
"""

import json
import os
from typing import Any

import pytest

from tests.mlflow_clients.conftest import ANSWERS, CLIENTS, LONG, answers_of
from tests.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _recorded(client: str) -> Any:
    return json.loads((ANSWERS / f"{client}.json").read_text())


@pytest.mark.parametrize("client", CLIENTS)
def test_fathom_answers_as_mlflow(client: str, platform: Platform, token: str) -> None:
    found, expected = answers_of(client, platform.url, token), _recorded(client)
    assert set(found) == set(expected)
    for step, answer in expected.items():
        assert found[step] == answer, step


@pytest.mark.skipif(not LONG, reason="needs MLflow's own server: make mlflow")
@pytest.mark.parametrize("client", CLIENTS)
def test_mlflow_still_answers_as_it_did(client: str, mlflow_server: str) -> None:
    found = answers_of(client, mlflow_server)
    if os.environ.get("FATHOM_RECORD"):
        (ANSWERS / f"{client}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == _recorded(client)


def test_the_script_tries_something() -> None:
    """A script that fails everywhere would also give the same answers everywhere."""
    for client in CLIENTS:
        answers = _recorded(client)
        assert len(answers) > 12
        failed = [step for step, answer in answers.items() if isinstance(answer, str)]
        assert failed == []
        assert answers["filters"]["metrics.loss < 0.2"] == ["run 5", "run 4", "run 3"]
