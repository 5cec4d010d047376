"""The promise of the README: a fresh clone, `make run`, and a real model is trained on a real platform."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.platform import REPOSITORY, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_OURS = ("FATHOM_", "DJANGO_", "DATABASE_URL", "REDIS_URL", "PYTEST", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS")


def test_make_run_in_a_fresh_clone_trains_the_sample(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    out = tmp_path / "out"
    options = f"--home {tmp_path / 'home'} --port {free_port()} --content-port {free_port()} --no-color"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with out.open("wb") as file:
        run = subprocess.Popen(
            ["make", "run", f"HOME_OPTIONS={options}"],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _is_trained(run, out), seconds=600, what="the sample to succeed")
        assert "/setup/" in out.read_text()
    finally:
        os.killpg(run.pid, signal.SIGINT)
        try:
            run.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    assert "Stopped." in out.read_text()


def _is_trained(run: "subprocess.Popen[bytes]", out: Path) -> bool:
    said = out.read_text(errors="replace")
    assert run.poll() is None, said[-4000:]
    return "succeeded  digits" in said and "valid_accuracy" in said  # the table comes last
