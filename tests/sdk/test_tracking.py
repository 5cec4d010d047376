"""Tracking as training code meets it: real processes against a platform that answers, fails, vanishes and returns."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.stub_platform import TOKEN, StubPlatform, problem

ABSENT = "http://127.0.0.1:9"


def job_environment(url: str, run_id: str, **extra: str) -> dict[str, str]:
    token_file = Path("token").absolute()
    token_file.write_text(TOKEN)
    job = {"FATHOM_URL": url, "FATHOM_RUN_ID": run_id, "FATHOM_TOKEN_FILE": str(token_file)}
    return {**os.environ, **job, **extra}


def run(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def eventually(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def spooled(folder: Path = Path("fathom-offline")) -> list[dict[str, Any]]:
    (file,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_job_needs_no_configuration_and_delivers_at_exit(platform: StubPlatform) -> None:
    made = platform.add_run()
    Path("model.bin").write_bytes(b"weights")
    code = """
import fathom
fathom.log_params({"lr": 0.1, "layers": [1, 2]})
fathom.set_tag("dataset", "digits")
for step, value in enumerate([0.5, float("nan"), float("inf"), float("-inf")]):
    fathom.log_metric("loss", value, step=step)
fathom.log_metrics({"a": 1, "b": 2}, step=7)
fathom.log_artifact("model.bin", "models")
assert fathom.active_run().is_job
"""
    result = run(code, job_environment(platform.url, made["id"]))
    assert (result.returncode, result.stderr) == (0, "")
    rows = [(key, value, step) for key, value, step, _ in platform.points[made["id"]]]
    assert rows == [
        ("loss", 0.5, 0),
        ("loss", "NaN", 1),
        ("loss", "Infinity", 2),
        ("loss", "-Infinity", 3),
        ("a", 1.0, 7),
        ("b", 2.0, 7),
    ]
    assert platform.runs[made["id"]]["params"] == {"lr": "0.1", "layers": "[1, 2]"}
    assert platform.runs[made["id"]]["tags"] == {"dataset": "digits"}
    assert platform.artifacts == {(made["id"], "models/model.bin"): b"weights"}
    assert platform.runs[made["id"]]["status"] == "running"  # the job's end decides, not the SDK
    assert not Path("fathom-offline").exists()


def test_times_are_milliseconds_of_the_call(platform: StubPlatform) -> None:
    made = platform.add_run()
    before = time.time() * 1000
    run("import fathom; fathom.log_metric('x', 1)", job_environment(platform.url, made["id"]))
    ((_, _, _, moment),) = platform.points[made["id"]]
    assert before - 1 <= moment <= time.time() * 1000


def test_many_points_arrive_once_and_in_order(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = "import fathom\nfor n in range(25_000): fathom.log_metric('x', n)"
    result = run(code, job_environment(platform.url, made["id"]))
    assert result.returncode == 0
    assert [(value, step) for _, value, step, _ in platform.points[made["id"]]] == [(n, n) for n in range(25_000)]
    assert len(platform.seen("POST", "log-batch")) <= 60


def test_lost_answers_do_not_double_points(platform: StubPlatform) -> None:
    made = platform.add_run()
    platform.fail("POST", "log-batch", problem(503, "unavailable", "Later."), times=3, after_effect=True)
    run("import fathom\nfor n in range(3000): fathom.log_metric('x', n)", job_environment(platform.url, made["id"]))
    assert [value for _, value, _, _ in platform.points[made["id"]]] == list(range(3000))


def test_artifact_is_kept_as_it_was_when_logged(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = """
import fathom, pathlib
file = pathlib.Path("checkpoint.bin")
for n in range(3):
    file.write_text(f"state {n}")
    fathom.log_artifact(file, f"epoch-{n}")
file.unlink()
"""
    run(code, job_environment(platform.url, made["id"]))
    assert sorted(platform.artifacts.items()) == [
        ((made["id"], f"epoch-{n}/checkpoint.bin"), f"state {n}".encode()) for n in range(3)
    ]


def test_folder_of_artifacts_keeps_its_paths(platform: StubPlatform) -> None:
    made = platform.add_run()
    for name in ("a.txt", "sub/b.txt"):
        file = Path("out") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    run("import fathom; fathom.log_artifacts('out', 'all')", job_environment(platform.url, made["id"]))
    assert {name for _, name in platform.artifacts} == {"all/a.txt", "all/sub/b.txt"}


def test_sigterm_delivers_and_ends_as_by_the_signal(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = "import fathom, time\nfathom.log_metric('x', 1)\nprint('logged', flush=True)\ntime.sleep(60)"
    env = job_environment(platform.url, made["id"])
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM
    assert [value for _, value, _, _ in platform.points[made["id"]]] == [1.0]


def test_own_sigterm_handler_is_left_alone(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = """
import os, signal, sys, fathom
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
fathom.log_metric("x", 1)
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert run(code, job_environment(platform.url, made["id"])).returncode == 7
    assert len(platform.points[made["id"]]) == 1


def test_crash_of_training_still_delivers(platform: StubPlatform) -> None:
    made = platform.add_run()
    result = run("import fathom; fathom.log_metric('x', 1); 1 / 0", job_environment(platform.url, made["id"]))
    assert result.returncode == 1
    assert len(platform.points[made["id"]]) == 1


def test_forked_child_and_parent_each_deliver_their_own(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = """
import os, fathom
fathom.log_metric("parent", 1)
child = os.fork()
if child == 0:
    fathom.log_metric("child", 2)
    fathom.flush()
    os._exit(0)
os.waitpid(child, 0)
fathom.log_metric("parent", 3)
"""
    assert run(code, job_environment(platform.url, made["id"])).returncode == 0
    rows = sorted((key, value) for key, value, _, _ in platform.points[made["id"]])
    assert rows == [("child", 2.0), ("parent", 1.0), ("parent", 3.0)]


def test_logging_in_an_exit_handler_is_delivered(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = """
import atexit, fathom
atexit.register(lambda: fathom.log_metric("last", 1))  # runs after tracking's own handler
fathom.log_metric("first", 1)
"""
    run(code, job_environment(platform.url, made["id"]))
    assert {key for key, _, _, _ in platform.points[made["id"]]} == {"first", "last"}


def test_absent_platform_costs_training_nothing_but_a_notice(platform: StubPlatform) -> None:
    Path("model.bin").write_bytes(b"weights")
    code = "import fathom\nfor n in range(5): fathom.log_metric('x', n)\nfathom.log_artifact('model.bin')"
    env = job_environment(ABSENT, "0199aaaa-0000-7000-8000-000000000001", FATHOM_FLUSH_TIMEOUT="1")
    result = run(code, env)
    assert result.returncode == 0
    assert result.stderr.count("does not answer") == 1
    assert "fathom sync" in result.stderr
    header, *records = spooled()
    assert (header["type"], header["run_id"]) == ("run", "0199aaaa-0000-7000-8000-000000000001")
    values = [value for record in records if record["type"] == "batch" for value in record["metrics"]["value"]]
    assert values == list(range(5))
    (artifact,) = [record for record in records if record["type"] == "artifact"]
    assert (Path("fathom-offline") / artifact["file"]).read_bytes() == b"weights"
    assert platform.requests == []


def test_platform_that_returns_gets_everything_and_the_file_goes(platform: StubPlatform) -> None:
    """The job runs through an outage; nobody has to sync."""
    made = platform.add_run()
    code = """
import fathom, sys, pathlib
fathom.log_metric("x", 0)
fathom.flush()
print("up", flush=True); sys.stdin.readline()
pathlib.Path("a.txt").write_text("kept")
for n in range(1, 50): fathom.log_metric("x", n)
fathom.log_artifact("a.txt")
fathom.flush(3)
print("down", flush=True); sys.stdin.readline()
fathom.log_metric("x", 50)
"""
    env = job_environment(platform.url, made["id"])
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        platform.stop()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "down\n"
        assert spooled()
        platform.start()
        _, errors = process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert "the platform is back; everything was delivered" in errors
    assert [value for _, value, _, _ in platform.points[made["id"]]] == list(range(51))
    assert platform.artifacts == {(made["id"], "a.txt"): b"kept"}
    assert not Path("fathom-offline").exists()


def test_refused_data_is_kept_and_told_and_the_rest_arrives(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = "import fathom\nfathom.log_metric('refused', 1)\nfathom.flush()\nfathom.log_metric('fine', 2)"
    result = run(code, job_environment(platform.url, made["id"]))
    assert result.returncode == 0
    assert "A metric cannot be called so." in result.stderr
    assert [key for key, _, _, _ in platform.points[made["id"]]] == ["fine"]
    (rejected,) = Path("fathom-offline").glob("*.rejected.jsonl")
    assert json.loads(rejected.read_text())["metrics"]["key"] == ["refused"]


def test_refused_token_turns_to_the_file(platform: StubPlatform) -> None:
    made = platform.add_run()
    env = job_environment(platform.url, made["id"], FATHOM_TOKEN="fth_run_expired")
    result = run("import fathom\nfathom.log_metric('x', 1)", env)
    assert result.returncode == 0
    assert "does not take this run's data" in result.stderr
    assert [record["type"] for record in spooled()] == ["run", "batch"]


def test_unwritable_folder_loses_loudly_but_does_not_crash() -> None:
    Path("fathom-offline").write_text("a file is in the way")
    env = job_environment(ABSENT, "0199aaaa-0000-7000-8000-000000000001", FATHOM_OFFLINE="1")
    result = run("import fathom\nfathom.log_metric('x', 1)", env)
    assert result.returncode == 0
    assert "tracking data was lost: 1 metric points" in result.stderr


@pytest.mark.parametrize(
    ("ending", "status"), [("", "finished"), ("1 / 0", "failed"), ("raise KeyboardInterrupt", "killed")]
)
def test_own_run_is_created_and_ended(platform: StubPlatform, ending: str, status: str) -> None:
    code = f"""
import fathom
with fathom.start_run(project="vision", name="try", tags={{"a": 1}}) as run:
    fathom.log_metric("x", 1)
    {ending or "pass"}
"""
    env = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": TOKEN}
    run(code, env)
    (made,) = platform.runs.values()
    assert (made["name"], made["project"]["name"], made["status"]) == ("try", "vision", status)
    assert (made["tags"], len(platform.points[made["id"]])) == ({"a": "1"}, 1)


@pytest.mark.parametrize(("ending", "status"), [("", "finished"), ("1 / 0", "failed")])
def test_run_of_a_plain_script_ends_with_it(platform: StubPlatform, ending: str, status: str) -> None:
    env = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": TOKEN}
    run(f"import fathom\nfathom.log_metric('x', 1)\n{ending}", env)
    (made,) = platform.runs.values()
    assert (made["status"], made["project"]["name"]) == (status, "default")


def test_start_run_in_a_job_is_the_jobs_run(platform: StubPlatform) -> None:
    made = platform.add_run()
    code = """
import fathom
with fathom.start_run(project="other") as run:
    run.log_metric("x", 1)
fathom.log_metric("x", 2)
"""
    assert run(code, job_environment(platform.url, made["id"])).returncode == 0
    assert list(platform.runs) == [made["id"]]
    assert [value for _, value, _, _ in platform.points[made["id"]]] == [1.0, 2.0]


def test_two_runs_one_after_the_other_but_not_inside(platform: StubPlatform) -> None:
    code = """
import fathom
with fathom.start_run(name="one"):
    fathom.log_metric("x", 1)
    try:
        fathom.start_run(name="inner")
    except RuntimeError as error:
        print(error)
with fathom.start_run(name="two"):
    fathom.log_metric("x", 2)
"""
    result = run(code, {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": TOKEN})
    assert "the run one is active" in result.stdout
    assert {item["name"]: item["status"] for item in platform.runs.values()} == {"one": "finished", "two": "finished"}


@pytest.mark.parametrize(
    "call",
    [
        "fathom.log_metric('x', 'high')",
        "fathom.log_metric('', 1)",
        "fathom.log_metric('x', None)",
        "fathom.log_param(3, 1)",
        "fathom.log_artifact('absent.bin')",
        "fathom.log_artifact('.')",
        "fathom.log_artifacts('absent')",
    ],
)
def test_wrong_arguments_raise_where_they_are_made(call: str) -> None:
    code = f"import fathom\ntry:\n    {call}\nexcept (TypeError, OSError) as error:\n    print('told:', error)"
    assert run(code, {**os.environ, "FATHOM_OFFLINE": "1"}).stdout.startswith("told:")


def test_numbers_of_libraries_are_numbers() -> None:
    """Anything that `float` and `int` take."""
    code = "import fathom, decimal\nfathom.log_metric('x', decimal.Decimal('0.5'), step=True + 2)"
    run(code, {**os.environ, "FATHOM_OFFLINE": "1"})
    assert (spooled()[1]["metrics"]["value"], spooled()[1]["metrics"]["step"]) == ([0.5], [3])


def test_more_points_than_the_buffer_holds_are_all_written() -> None:
    code = """
import threading, fathom
def work(name):
    for n in range(60_000): fathom.log_metric(name, n)
threads = [threading.Thread(target=work, args=(f"m{n}",)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    assert run(code, {**os.environ, "FATHOM_OFFLINE": "1"}).returncode == 0
    keys = [key for record in spooled() if record["type"] == "batch" for key in record["metrics"]["key"]]
    assert {name: keys.count(name) for name in set(keys)} == {f"m{n}": 60_000 for n in range(4)}


def test_import_loads_no_network_and_no_command_line() -> None:
    code = (
        "import sys, fathom; print([m for m in ('urllib3', 'click', 'yaml', 'json', 'threading') if m in sys.modules])"
    )
    assert run(code, dict(os.environ)).stdout == "[]\n"
