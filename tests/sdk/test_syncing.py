"""Uploading offline files: complete, once, and again after any interruption."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fathom
from fathom.client import Client
from fathom.syncing import spool_files, sync_file
from tests.sdk.stub_platform import TOKEN, StubPlatform, problem

OFFLINE = """
import fathom, pathlib
pathlib.Path("model.bin").write_bytes(b"weights")
with fathom.start_run(project="vision", name="plane"):
    fathom.log_param("lr", 0.1)
    for n in range(2500):
        fathom.log_metric("x", n)
    fathom.log_artifact("model.bin")
"""


@pytest.fixture
def file() -> Path:
    env = {**os.environ, "FATHOM_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", OFFLINE], env=env, check=True, capture_output=True, timeout=60)
    (path,) = spool_files(Path("fathom-offline"))
    return path


def assert_complete(platform: StubPlatform) -> None:
    (made,) = platform.runs.values()
    assert (made["name"], made["project"]["name"], made["status"]) == ("plane", "vision", "finished")
    assert made["params"] == {"lr": "0.1"}
    assert [value for _, value, _, _ in platform.points[made["id"]]] == list(range(2500))
    assert platform.artifacts == {(made["id"], "model.bin"): b"weights"}


def test_everything_arrives(platform: StubPlatform, client: Client, file: Path) -> None:
    result = sync_file(client, file)
    assert (result.batches >= 3, result.artifacts, result.incomplete) == (True, 1, False)
    assert_complete(platform)


def test_again_sends_nothing(platform: StubPlatform, client: Client, file: Path) -> None:
    sync_file(client, file)
    before = len(platform.requests)
    assert sync_file(client, file).batches == 0
    assert len(platform.requests) == before


def test_again_without_its_notes_adds_nothing(platform: StubPlatform, client: Client, file: Path) -> None:
    sync_file(client, file)
    file.with_name(f"{file.name}.sync").unlink()
    sync_file(client, file)
    assert_complete(platform)


@pytest.mark.parametrize("lost_answer", [False, True])
@pytest.mark.parametrize("where", ["/runs/", "log-batch", "/artifacts/", "/finish/"])
def test_interrupted_sync_goes_on(platform: StubPlatform, file: Path, where: str, lost_answer: bool) -> None:
    impatient = Client(platform.url, TOKEN, retry_seconds=0)
    platform.fail("*", where, problem(503, "unavailable", "Later."), after_effect=lost_answer)
    with pytest.raises(fathom.Unavailable):
        sync_file(impatient, file)
    sync_file(impatient, file)
    assert_complete(platform)


def test_cut_off_last_line_is_told_and_the_rest_arrives(platform: StubPlatform, client: Client, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])
    assert sync_file(client, file).incomplete
    (made,) = platform.runs.values()
    assert len(platform.points[made["id"]]) == 2500
    assert made["status"] == "running"  # its end was the line that was cut off


def test_damage_in_the_middle_is_an_error_with_a_place(client: Client, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = b"garbage\n"
    file.write_bytes(b"".join(lines))
    with pytest.raises(fathom.FathomError, match="is damaged near byte"):
        sync_file(client, file)


def test_refused_record_does_not_stop_the_others(platform: StubPlatform, client: Client, file: Path) -> None:
    lines = file.read_text().splitlines()
    extra = {"type": "batch", "batch_id": "b", "params": {}, "tags": {}}
    extra["metrics"] = {"key": ["refused"], "value": [1], "step": [0], "time": [0]}
    file.write_text("\n".join([lines[0], json.dumps(extra), *lines[1:]]) + "\n")
    assert sync_file(client, file).refused == ("A metric cannot be called so.",)
    assert_complete(platform)


def test_file_of_a_job_goes_to_its_run(platform: StubPlatform, client: Client) -> None:
    made = platform.add_run()
    env = {**os.environ, "FATHOM_OFFLINE": "1", "FATHOM_RUN_ID": made["id"]}
    code = "import fathom; fathom.log_metric('x', 1)"
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, timeout=60)
    (path,) = spool_files(Path("fathom-offline"))
    sync_file(client, path)
    assert len(platform.points[made["id"]]) == 1
    assert list(platform.runs) == [made["id"]]


def test_folder_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(fathom.FathomError, match="no tracking file"):
        spool_files(tmp_path)
