"""A platform, MLflow's clients in environments of their own, and for the long form MLflow's own server."""

import json
import os
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform import REPOSITORY, Platform, free_port, wait_for

CLIENTS = ("newest", "2.22", "2.9")
FOLDER = REPOSITORY / "build" / "mlflow"
ANSWERS = Path(__file__).parent / "answers"
LONG = bool(os.environ.get("FATHOM_LONG_TESTS"))

_SCRIPT = Path(__file__).parent / "script.py"

_SHOW = f"""
from apps.access.principal import SYSTEM
from apps.compute import services
from apps.compute.models import Cluster
cluster = Cluster.objects.get()
cluster.settings = {{**cluster.settings, "readable_paths": [{str(FOLDER)!r}]}}
services.save_cluster(cluster, by=SYSTEM)
"""


def python_of(name: str) -> Path:
    """Return the Python of a client's environment, or skip: it could not be installed here."""
    found = FOLDER / name / "bin" / "python"
    if not found.exists():
        pytest.skip(f"MLflow's client {name} is not installed (make mlflow-clients)")
    return found


def answers_of(name: str, url: str, token: str = "", script: Path = _SCRIPT) -> Any:
    """Run a script with one client against one server."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHONPATH"))}
    settings = {
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [str(python_of(name)), str(script), url, f"u{uuid.uuid4().hex[:12]}"],
        env={**kept, **{key: value for key, value in settings.items() if value}},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("mlflow")
    folder.chmod(0o755)  # jobs run as a user of their own and must reach their folder
    found = Platform(folder / "home")
    found.start()
    found.manage(_SHOW)  # the clients' environments, to jobs
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="module")
def token(platform: Platform) -> str:
    return platform.make_user("alice", password="correct horse battery")


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start `mlflow server` from PyPI on an SQLite file; return its address."""
    program = FOLDER / "server" / "bin" / "mlflow"
    if not program.exists():
        pytest.skip("MLflow's server is not installed (make mlflow-server)")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    options = ["--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", str(folder / "files")]
    with (folder / "out").open("wb") as out:
        running = subprocess.Popen(
            [str(program), "server", *options, "--port", str(port), "--workers", "1"],
            cwd=folder, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for(is_up, seconds=120, every=0.2, what="MLflow's server")
    yield url
    os.killpg(running.pid, 15)
    running.wait(30)
