"""The command line as a shell meets it: output, exit codes, configuration."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sdk.stub_platform import ADMIN_TOKEN, TOKEN, StubPlatform, problem

Fathom = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def env(platform: StubPlatform) -> dict[str, str]:
    return {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": TOKEN}


@pytest.fixture
def fathom(env: dict[str, str]) -> Fathom:
    def call(*arguments: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fathom", *arguments],
            env={**env, **extra}, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return call


def finish(platform: StubPlatform, text: str, **fields: Any) -> None:
    """What the next websocket of a newly submitted experiment will say: it runs, prints and ends."""

    class Script(list[dict[str, Any]]):
        def __iter__(self) -> Any:
            (made,) = platform.experiments.values()
            made.update(state="succeeded", attempt=1, exit_code=0)
            made.update(fields)
            frame = {"type": "log", "offset": 0, "next": len(text), "data": text, "attempt": 1}
            state = {"type": "state", "state": made["state"], "attempt": 1}
            return iter([frame, {"type": "eof", "attempt": 1, "total_bytes": len(text)}, state])

    platform.socket_scripts.append(Script())


def test_run_follows_and_exits_as_the_job(platform: StubPlatform, fathom: Fathom) -> None:
    finish(platform, "epoch 1\nepoch 2\n", state="failed", exit_code=3, message="The command ended with exit code 3.")
    result = fathom("run", "--name", "digits", "--", "python", "train.py", "--lr", "0.1")
    assert result.returncode == 3
    assert result.stdout == "epoch 1\nepoch 2\n"
    (made,) = platform.experiments.values()
    assert made["spec"] == {"command": ["python", "train.py", "--lr", "0.1"], "name": "digits"}
    assert "✗ failed" in result.stderr
    assert "exit code 3" in result.stderr
    assert made["url"] in result.stderr


def test_run_that_succeeds_shows_its_metrics(platform: StubPlatform, fathom: Fathom) -> None:
    finish(platform, "hello\n")
    summary = {"value": 0.25, "step": 9, "time": None, "min": 0.25, "max": "Infinity", "count": 10}
    add = platform.add_run
    platform.add_run = lambda **fields: add(**{**fields, "metrics": {"loss": summary}})  # type: ignore[method-assign]
    result = fathom("run", "--", "true")
    assert result.returncode == 0
    assert ["loss", "0.25", "9", "0.25", "inf"] in [line.split() for line in result.stderr.splitlines()]


def test_options_override_the_file(platform: StubPlatform, fathom: Fathom) -> None:
    Path("code").mkdir()
    Path("code/train.py").write_text("print(1)")
    spec = {
        "name": "file",
        "kind": "python",
        "command": "python train.py",
        "code": {"upload": "./code"},
        "resources": {"cpu": 1, "memory": "1Gi"},
        "env": {"A": "1", "B": "2"},
    }
    Path("sub").mkdir()
    Path("sub/spec.yaml").write_text(yaml.safe_dump({**spec, "code": {"upload": "../code"}}))
    options = ["--name=flag", "--cpu=2", "--gpu=1", "--env=B=3", "--tag=k=v", "--timeout=5m"]
    options += ["--retries=2", "--cluster=local"]
    result = fathom("run", "-f", "sub/spec.yaml", *options, "--detach", "-o", "json")
    assert result.returncode == 0, result.stderr
    (ref,) = platform.code
    assert json.loads(result.stdout)["spec"] == {
        "name": "flag",
        "kind": "python",
        "command": "python train.py",
        "code": {"upload": ref},
        "resources": {"cpu": 2, "memory": "1Gi", "gpu": 1},
        "env": {"A": "1", "B": "3"},
        "tags": {"k": "v"},
        "timeout": "5m",
        "retries": 2,
        "cluster": {"name": "local"},
    }


def test_one_quoted_word_is_a_shell_command_and_detach_prints_the_id(platform: StubPlatform, fathom: Fathom) -> None:
    result = fathom("run", "--detach", "--", "echo a; echo b")
    (made,) = platform.experiments.values()
    assert made["spec"]["command"] == "echo a; echo b"
    assert result.stdout == f"{made['id']}\n"


def test_command_with_a_local_file_and_no_code_gets_a_hint(fathom: Fathom) -> None:
    Path("train.py").write_text("")
    assert "--code ." in fathom("run", "--detach", "--", "python", "train.py").stderr
    assert "--code ." not in fathom("run", "--detach", "--code", ".", "--", "python", "train.py").stderr


def test_ctrl_c_detaches_and_says_how_to_go_on(platform: StubPlatform, env: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fathom", "run", "--", "sleep", "60"], env=env, stderr=subprocess.PIPE, text=True
    )
    with process:
        deadline = time.monotonic() + 20
        while not platform.seen("GET", "/logs/"):  # it follows
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "fathom stop" in errors
    assert "fathom logs -f" in errors
    (experiment,) = platform.experiments.values()
    assert experiment["state"] == "queued"
    assert platform.seen("POST", "/stop/") == []


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(401, "not_authenticated", 3), (403, "forbidden", 4), (404, "not_found", 5), (409, "conflict", 6), (422, "x", 2)],
)
def test_errors_have_their_exit_codes_and_no_traceback(
    platform: StubPlatform, fathom: Fathom, status: int, code: str, exit_code: int
) -> None:
    platform.fail("GET", "/me/", problem(status, code, "A sentence.", request_id="req-7"))
    result = fathom("whoami")
    assert result.returncode == exit_code
    assert "A sentence." in result.stderr
    assert "req-7" in result.stderr
    assert "Traceback" not in result.stderr


def test_field_errors_are_shown(fathom: Fathom) -> None:
    result = fathom("run", "--name", "never", "--", "true")
    assert result.returncode == 2
    assert "resources.gpu: There are no GPUs." in result.stderr


def test_unavailable_platform_is_7(platform: StubPlatform, fathom: Fathom) -> None:
    platform.fail("GET", "/me/", problem(503, "unavailable", "Later."), times=99)
    platform.fail("GET", "/me/", problem(503, "unavailable", "Later."))
    fault = platform.faults[0]
    fault.answer.headers["retry-after"] = "60"
    assert fathom("whoami").returncode == 7


def test_not_logged_in_is_3(fathom: Fathom) -> None:
    result = fathom("whoami", FATHOM_URL="", FATHOM_TOKEN="")
    assert result.returncode == 3
    assert "fathom login" in result.stderr


@pytest.mark.parametrize("arguments", [("run",), ("list", "--state", "odd"), ("show",), ("nonsense",), ("show", "abc")])
def test_wrong_usage_is_2(fathom: Fathom, arguments: tuple[str, ...]) -> None:
    result = fathom(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_broken_spec_file_is_a_sentence(fathom: Fathom) -> None:
    Path("spec.yaml").write_text("a: [")
    result = fathom("run", "-f", "spec.yaml")
    assert result.returncode == 1
    assert "is not valid YAML" in result.stderr
    assert "Traceback" not in result.stderr


def test_ids_may_be_prefixes_or_latest(platform: StubPlatform, fathom: Fathom) -> None:
    old = platform.add_experiment(id="0199aaaa-0000-7000-8000-000000000001", name="old")
    platform.add_experiment(id="0199aaaa-0001-7000-8000-000000000002", name="twin")
    new = platform.add_experiment(name="new")
    platform.add_experiment(name="of somebody else", owner="bob")
    assert json.loads(fathom("show", old["id"], "-o", "json").stdout)["name"] == "old"
    assert json.loads(fathom("show", "0199aaaa-0000", "-o", "json").stdout)["name"] == "old"
    assert json.loads(fathom("show", "latest", "-o", "json").stdout)["id"] == new["id"]
    ambiguous = fathom("show", "0199aaaa")
    assert ambiguous.returncode != 0
    assert "old" in ambiguous.stderr
    assert "twin" in ambiguous.stderr
    assert fathom("show", "0199bbbb").returncode == 5


def test_list_as_table_json_and_yaml(platform: StubPlatform, fathom: Fathom) -> None:
    made = platform.add_experiment(state="queued", message="waiting: user alice uses 8 of 8 CPU")
    lines = fathom("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "PROJECT", "OWNER", "CREATED", "DURATION", "WHY"]
    assert "○ queued" in lines[1]
    assert "8 of 8 CPU" in lines[1]
    assert "\x1b" not in lines[1]  # not a terminal: no colour
    assert json.loads(fathom("list", "-o", "json").stdout)[0]["id"] == made["id"]
    assert yaml.safe_load(fathom("list", "-o", "yaml").stdout)[0]["id"] == made["id"]


def test_list_sends_its_filters(platform: StubPlatform, fathom: Fathom) -> None:
    fathom("list", "--state", "failed", "--state", "lost", "--mine", "--tag", "k=v", "--project", "p", "--limit", "5")
    (request,) = platform.seen("GET", "/experiments/")
    assert request.query == {
        "state": ["failed", "lost"], "owner": ["alice"], "tag": ["k=v"], "project": ["p"], "limit": ["5"]
    }  # fmt: skip


def test_control_characters_of_others_do_not_reach_the_terminal(platform: StubPlatform, fathom: Fathom) -> None:
    platform.add_experiment(name="\x1b]0;owned\x07evil", message="\x1b[2Jgone", state="failed")
    assert "\x1b" not in fathom("list").stdout
    assert "\x1b" not in fathom("show", "latest").stdout


def test_several_are_deleted_and_a_running_one_conflicts(platform: StubPlatform, fathom: Fathom) -> None:
    ended = [platform.add_experiment(state="succeeded")["id"] for _ in range(2)]
    running = platform.add_experiment()["id"]
    assert fathom("delete", *ended).returncode == 0
    assert fathom("delete", running).returncode == 6
    assert list(platform.experiments) == [running]


def test_usage_and_attempts_are_readable(platform: StubPlatform, fathom: Fathom) -> None:
    lines = [line.split() for line in fathom("usage").stdout.splitlines()]
    assert ["user", "alice", "cpu", "2.5", "8"] in lines
    assert ["user", "alice", "memory", "1.0", "GiB", "no", "limit"] in lines
    made = platform.add_experiment()
    row = fathom("events", made["id"], "--attempts").stdout.splitlines()[1].split()
    assert row[:4] == ["1", "✗", "failed", "2"]


def test_clone_changes_a_part_of_a_field(platform: StubPlatform, fathom: Fathom) -> None:
    spec = {"command": "true", "resources": {"cpu": 1, "memory": "1Gi"}, "env": {"A": "1"}}
    made = platform.add_experiment(spec=spec)
    result = fathom("clone", made["id"], "--set", "resources.cpu=2", "--set", "name=again", "-d", "-o", "json")
    changed = {"resources": {"cpu": 2, "memory": "1Gi"}, "name": "again"}
    assert json.loads(result.stdout)["spec"] == {**spec, **changed}


def test_wait_exits_as_the_job(platform: StubPlatform, fathom: Fathom) -> None:
    good = platform.add_experiment(state="succeeded", exit_code=0)["id"]
    bad = platform.add_experiment(state="failed", exit_code=9)["id"]
    stopped = platform.add_experiment(state="stopped")["id"]
    running = platform.add_experiment()["id"]
    assert fathom("wait", good).returncode == 0
    assert fathom("wait", good, bad).returncode == 9
    assert fathom("wait", stopped).returncode == 1
    assert fathom("wait", running, "--timeout", "0.1").returncode == 124


def test_logs_prints_and_saves(platform: StubPlatform, fathom: Fathom) -> None:
    made = platform.add_experiment(state="succeeded")
    platform.logs[made["id"], 1] = "one\nzwölf\n".encode()
    assert fathom("logs", made["id"]).stdout == "one\nzwölf\n"
    assert fathom("logs", made["id"], "--save", "job.log").returncode == 0
    assert Path("job.log").read_bytes() == platform.logs[made["id"], 1]


def test_artifacts_there_and_back(platform: StubPlatform, fathom: Fathom) -> None:
    run = platform.add_run()
    Path("model.bin").write_bytes(b"weights")
    assert fathom("artifacts", "put", run["id"], "model.bin", "--folder", "a/b").returncode == 0
    assert "a/b/model.bin" in fathom("artifacts", "list", run["id"]).stdout
    assert fathom("artifacts", "get", run["id"], "--to", "out").returncode == 0
    assert Path("out/a/b/model.bin").read_bytes() == b"weights"
    assert fathom("artifacts", "get", run["id"], "a/b/model.bin", "--to", "one").returncode == 0
    assert Path("one/a/b/model.bin").read_bytes() == b"weights"


def test_login_with_a_password_keeps_a_private_file(platform: StubPlatform, fathom: Fathom) -> None:
    nowhere = {"FATHOM_URL": "", "FATHOM_TOKEN": ""}
    wrong = fathom("login", "--url", platform.url, "--username", "alice", stdin="wrong\n", **nowhere)
    assert wrong.returncode == 3
    result = fathom("login", "--url", f"{platform.url}/", "--username", "alice", stdin="correct\n", **nowhere)
    assert result.returncode == 0, result.stderr
    file = Path(os.environ["HOME"]) / ".config/fathom/config.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert fathom("whoami", **nowhere).returncode == 0
    assert TOKEN not in result.stdout + result.stderr
    assert fathom("logout", **nowhere).returncode == 0
    assert len(platform.seen("DELETE", "/tokens/tok-1/")) == 1
    assert fathom("whoami", **nowhere).returncode == 3


def test_stored_token_goes_to_its_own_platform_only(platform: StubPlatform, fathom: Fathom) -> None:
    nowhere = {"FATHOM_URL": "", "FATHOM_TOKEN": ""}
    fathom("login", "--url", platform.url, "--token", "-", stdin=f"{TOKEN}\n", **nowhere)
    other = StubPlatform().start()
    try:
        fathom("whoami", FATHOM_URL=other.url, FATHOM_TOKEN="")
        assert [request.headers.get("authorization") for request in other.requests] == [None]
    finally:
        other.stop()


def test_named_hosts(platform: StubPlatform, fathom: Fathom) -> None:
    nowhere = {"FATHOM_URL": "", "FATHOM_TOKEN": ""}
    for name in ("one", "two"):
        fathom("login", "--url", platform.url, "--token", TOKEN, "--name", name, **nowhere)
    assert fathom("--host", "one", "whoami", **nowhere).returncode == 0
    missing = fathom("--host", "three", "whoami", **nowhere)
    assert missing.returncode == 3
    assert "known: one, two" in missing.stderr


def test_token_secret_is_alone_on_standard_output(fathom: Fathom) -> None:
    assert fathom("token", "create", "ci").stdout == "fth_pat_secret\n"


def test_directory(fathom: Fathom) -> None:
    assert "research  member of vision  yes" in fathom("directory", "rules", "list").stdout
    created = fathom("directory", "rules", "create", "cooks", "--team", "kitchen", "--role", "viewer", "-o", "json")
    assert json.loads(created.stdout)["group"] == "cooks"
    assert fathom("directory", "rules", "update", "1").returncode == 2
    assert fathom("directory", "rules", "delete", "1").stdout == "Deleted 1.\n"
    shown = fathom("directory", "preview").stdout.splitlines()
    digest = "ab" * 32
    assert shown == [
        "ana joins vision as member", "4 people read, 1 changes. Nothing was changed.", f"digest {digest}",
    ]  # fmt: skip
    assert fathom("directory", "sync", "--digest", digest).stdout == "ana joins vision as member\ndone\n"
    held = fathom("directory", "sync", "--digest", "held")
    assert (held.returncode, held.stdout) == (1, "held 8 of 8 people would be shut out.\n")
    assert "done" in fathom("directory", "syncs").stdout


def test_sync_reports_what_it_sent(platform: StubPlatform, fathom: Fathom) -> None:
    code = "import fathom; fathom.log_metric('x', 1)"
    offline = {**os.environ, "FATHOM_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], env=offline, check=True, capture_output=True, timeout=60)
    (report,) = json.loads(fathom("sync", "-o", "json").stdout)
    (run,) = platform.runs.values()
    assert (report["run"], report["batches"], report["incomplete"]) == (run["id"], 1, False)
    assert json.loads(fathom("sync", "-o", "json").stdout)[0]["batches"] == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(fathom: Fathom, shell: str) -> None:
    assert "_FATHOM_COMPLETE" in fathom("completion", shell).stdout


def test_completion_offers_commands(fathom: Fathom) -> None:
    offered = fathom(_FATHOM_COMPLETE="bash_complete", COMP_WORDS="fathom art", COMP_CWORD="1").stdout
    assert offered.split() == ["plain,artifacts"]


def test_reader_that_leaves_early_is_no_error(platform: StubPlatform, env: dict[str, str]) -> None:
    made = platform.add_experiment(state="succeeded")
    platform.logs[made["id"], 1] = b"line\n" * 200_000
    shell = f"'{sys.executable}' -m fathom logs {made['id']} | head -1"
    result = subprocess.run(["/bin/sh", "-c", shell], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert (result.stdout, result.stderr) == ("line\n", "")


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_colour_on_a_terminal_unless_refused(
    platform: StubPlatform,
    env: dict[str, str],
    no_color: str,
    colored: bool,
) -> None:
    platform.add_experiment()
    leader, follower = pty.openpty()
    settings = {**env, "NO_COLOR": no_color, "TERM": "xterm"}
    subprocess.run([sys.executable, "-m", "fathom", "list"], env=settings, stdout=follower, check=True, timeout=60)
    os.close(follower)
    text = os.read(leader, 65536).decode()
    os.close(leader)
    assert "running" in text
    assert ("\x1b[" in text) is colored


def test_elevation_speaks_with_another_token_until_it_ends(platform: StubPlatform, fathom: Fathom) -> None:
    nowhere = {"FATHOM_URL": "", "FATHOM_TOKEN": ""}
    fathom("login", "--url", platform.url, "--token", "-", stdin=f"{TOKEN}\n", **nowhere)
    wrong = fathom("elevate", "--reason", "queue", stdin="wrong\n\n", **nowhere)
    assert wrong.returncode == 3
    fathom("whoami", **nowhere)
    assert platform.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"
    taken = fathom("elevate", "--reason", "queue", stdin="correct\n123456\n", **nowhere)
    assert taken.returncode == 0, taken.stderr
    asked = platform.seen("POST", "/auth/elevate/")[-1].json()
    assert asked == {"password": "correct", "reason": "queue", "code": "123456"}
    assert ADMIN_TOKEN not in taken.stdout + taken.stderr
    fathom("whoami", **nowhere)
    assert platform.requests[-1].headers["authorization"] == f"Bearer {ADMIN_TOKEN}"
    assert fathom("elevate", "--end", **nowhere).returncode == 0
    assert len(platform.seen("DELETE", "/tokens/tok-9/")) == 1
    fathom("whoami", **nowhere)
    assert platform.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_password_is_asked_for_and_never_shown(platform: StubPlatform, fathom: Fathom) -> None:
    changed = fathom("password", "--end-tokens", stdin="correct\nanother horse battery\nanother horse battery\n")
    assert changed.returncode == 0, changed.stderr
    assert platform.seen("POST", "/auth/password/")[0].json() == {
        "current_password": "correct", "new_password": "another horse battery", "end_tokens": True,
    }  # fmt: skip
    assert "another" not in changed.stdout + changed.stderr
    assert "log in again" in changed.stdout


def test_sessions_are_listed_and_ended(platform: StubPlatform, fathom: Fathom) -> None:
    (session,) = json.loads(fathom("sessions", "list", "-o", "json").stdout)
    assert session["user_agent"] in fathom("sessions", "list").stdout
    assert fathom("sessions", "end", session["id"]).stdout == f"Ended {session['id']}.\n"
    assert len(platform.seen("DELETE", f"/sessions/{session['id']}/")) == 1


def test_audit_lists_filters_and_exports(platform: StubPlatform, fathom: Fathom, tmp_path: Path) -> None:
    listed = fathom("audit", "list", "--actor", "alice", "--outcome", "denied")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [word for word in ("alice", "stop", "digits", "denied", "too low") if word not in listed.stdout] == []
    (asked,) = platform.seen("GET", "/audit/")
    assert asked.query == {"actor": ["alice"], "outcome": ["denied"], "limit": ["50"]}
    file = tmp_path / "out.csv"
    assert fathom("audit", "export", "--format", "csv", "--since", "2026-01-01", str(file)).returncode == 0
    assert file.read_text() == "exported as csv"
    history = fathom("audit", "history", "teams", "vision", "-o", "json")
    assert [event["actor"] for event in json.loads(history.stdout)] == ["alice"]
