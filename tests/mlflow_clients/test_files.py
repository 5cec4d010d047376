"""MLflow's own clients put, list, fetch and delete files as they do with MLflow's own server, in one piece and in parts."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_clients.conftest import ANSWERS, CLIENTS, LONG, python_of
from tests.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_SCRIPT = Path(__file__).parent / "files_script.py"


def _answers_of(client: str, url: str, token: str = "", *, parts: bool = False) -> Any:
    settings = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true" if parts else "false",
        **({"MLFLOW_TRACKING_TOKEN": token} if token else {}),
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHONPATH"))}
    command = [str(python_of(client)), str(_SCRIPT), url]
    done = subprocess.run(command, env={**kept, **settings}, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def _recorded(client: str) -> Any:
    return json.loads((ANSWERS / f"files-{client}.json").read_text())


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "parts"])
@pytest.mark.parametrize("client", CLIENTS)
def test_files_go_and_come_as_with_mlflow(client: str, platform: Platform, token: str, *, parts: bool) -> None:
    found, expected = _answers_of(client, platform.url, token, parts=parts), _recorded(client)
    assert found == expected
    assert found["big"] is True


@pytest.mark.skipif(not LONG, reason="needs MLflow's own server: make mlflow")
@pytest.mark.parametrize("client", CLIENTS)
def test_mlflow_still_does_as_it_did(client: str, mlflow_server: str) -> None:
    found = _answers_of(client, mlflow_server)
    if os.environ.get("FATHOM_RECORD"):
        (ANSWERS / f"files-{client}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == _recorded(client)
