"""MLflow's own clients put, list, fetch and delete files as they do with MLflow's own server.

The environments of the clients and of the server lie in `build/mlflow`; one that is missing is skipped.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform import REPOSITORY, Platform, free_port, wait_for

ENVIRONMENTS = REPOSITORY / "build" / "mlflow"
SCRIPT = Path(__file__).with_name("artifact_script.py")
CLIENTS = ("newest", "2.22", "2.9")

pytestmark = pytest.mark.skipif(
    not (ENVIRONMENTS / "server").exists(), reason="MLflow is not installed in build/mlflow"
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("mlflow-files")
    folder.chmod(0o755)
    found = Platform(folder / "home")
    found.start()
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="module")
def token(platform: Platform) -> str:
    return platform.make_user("alice")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server, which serves files."""
    folder, port = tmp_path_factory.mktemp("mlflow-server"), free_port()
    command = [
        str(ENVIRONMENTS / "server/bin/mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'db'}", "--artifacts-destination", str(folder / "files"), "--serve-artifacts",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        wait_for(lambda: _answers(port), seconds=120, every=0.5, what="MLflow's server")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _answers(port: int) -> bool:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run_client(version: str, uri: str, **extra: str) -> dict[str, Any]:
    python = ENVIRONMENTS / version / "bin/python"
    if not python.exists():
        pytest.skip(f"MLflow {version} is not installed")
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", **extra}
    done = subprocess.run(
        [str(python), str(SCRIPT), uri], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("version", CLIENTS)
@pytest.mark.parametrize("parts", ["", "true"])
def test_a_client_sees_what_it_sees_of_mlflow(
    platform: Platform, token: str, theirs: str, version: str, parts: str
) -> None:
    ours = run_client(
        version, platform.url, MLFLOW_TRACKING_TOKEN=token, MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=parts or "false"
    )
    expected = run_client(version, theirs)
    assert ours == expected
    assert ours["big"] is True
