"""`fathom credentials`: a secret goes from a file, standard input or a prompt to the platform, and nowhere else."""

import base64
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.credentials import kinds
from fathom.models import CREDENTIAL_KINDS
from tests.sdk.stub_platform import TOKEN, StubPlatform

Fathom = Callable[..., subprocess.CompletedProcess[str]]
CANARY = "canary-9f27ab64"


@pytest.fixture
def env(platform: StubPlatform) -> dict[str, str]:
    return {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": TOKEN}


@pytest.fixture
def fathom(env: dict[str, str]) -> Fathom:
    def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fathom", "credentials", *arguments]
        return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    return call


def _sent(platform: StubPlatform) -> Any:
    return [json.loads(request.body) for request in platform.requests if request.method == "POST"]


def test_the_client_knows_the_kinds_of_the_platform() -> None:
    def facts(fields: Any) -> list[tuple[Any, ...]]:
        return [(one.name, one.secret, one.required, one.multiline, one.binary) for one in fields]

    ours = {str(kind): facts(fields) for kind, fields in kinds.KINDS.items()}
    assert {kind: facts(fields) for kind, fields in CREDENTIAL_KINDS.items()} == ours


def test_a_secret_comes_from_a_file_or_from_standard_input(
    platform: StubPlatform, fathom: Fathom, tmp_path: Path
) -> None:
    place = tmp_path / "token"
    place.write_text(CANARY)
    public = ("--set", "host=git.example.org", "--set", "username=robot")
    for source, stdin in ((str(place), ""), ("-", CANARY)):
        result = fathom("create", "g", "--kind", "git_https", *public, "--from-file", f"token={source}", stdin=stdin)
        assert result.returncode == 0, result.stderr
        assert CANARY not in result.stdout + result.stderr
    values = {"host": "git.example.org", "username": "robot", "token": CANARY}
    assert _sent(platform) == [{"name": "g", "kind": "git_https", "values": values}] * 2


def test_a_keytab_travels_in_base64(platform: StubPlatform, fathom: Fathom, tmp_path: Path) -> None:
    place = tmp_path / "robot.keytab"
    place.write_bytes(b"\x05\x02\x00\xff")
    principal = ("--set", "principal=robot@EXAMPLE.ORG")
    assert fathom("create", "k", "--kind", "keytab", *principal, "--from-file", f"keytab={place}").returncode == 0
    assert base64.b64decode(_sent(platform)[0]["values"]["keytab"]) == b"\x05\x02\x00\xff"


def test_named_files(platform: StubPlatform, fathom: Fathom, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text(CANARY)
    assert fathom("create", "k", "--kind", "generic", "--from-file", f"CA={tmp_path / 'ca'}").returncode == 0
    assert _sent(platform)[0]["values"] == {"files": {"CA": CANARY}}


def test_a_secret_on_the_command_line_is_refused(platform: StubPlatform, fathom: Fathom) -> None:
    result = fathom("create", "g", "--kind", "git_https", "--set", f"token={CANARY}")
    assert result.returncode == 2
    assert "--set takes fields that are no secret: host, username" in result.stderr
    assert CANARY not in result.stderr
    assert platform.requests == []


def test_without_a_terminal_a_missing_secret_is_a_sentence(platform: StubPlatform, fathom: Fathom) -> None:
    result = fathom("create", "g", "--kind", "git_https", "--set", "host=a", "--set", "username=b")
    assert (result.returncode, platform.requests) == (2, [])
    assert "Give token with --from-file token=PATH." in result.stderr


def test_a_terminal_is_asked_and_shows_nothing(platform: StubPlatform, env: dict[str, str]) -> None:
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "fathom", "credentials", "create", "g", "--kind", "registry"]
    command += ["--set", "server=r.example.org", "--set", "username=robot"]
    shown = b""
    with subprocess.Popen(
        command, env=env, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        os.set_blocking(keyboard, False)
        deadline, is_typed = time.monotonic() + 30, False
        while process.poll() is None:
            assert time.monotonic() < deadline
            try:
                shown += os.read(keyboard, 4096)
            except (BlockingIOError, OSError):
                time.sleep(0.01)
            if b"password" in shown and not is_typed:
                os.write(keyboard, f"{CANARY}\n".encode())
                is_typed = True
    os.close(keyboard)
    assert process.returncode == 0, shown
    assert CANARY.encode() not in shown
    assert _sent(platform)[0]["values"]["password"] == CANARY


def test_replace_finds_by_name_and_keeps_what_is_public(platform: StubPlatform, fathom: Fathom) -> None:
    public = {"server": "r.example.org", "username": "robot"}
    platform.credentials["c-1"] = {"id": "c-1", "name": "reg", "kind": "registry", "version": 1, "public": public}
    result = fathom("replace", "reg", "--from-file", "password=-", "--reason", "leaked", stdin=CANARY)
    assert result.returncode == 0, result.stderr
    assert _sent(platform) == [{"values": {"password": CANARY}, "reason": "leaked"}]
    assert "version" in result.stdout
    assert fathom("delete", "reg").stdout == "Deleted reg.\n"
    assert platform.credentials == {}


def test_a_name_that_means_two_is_not_guessed(platform: StubPlatform, fathom: Fathom) -> None:
    for id_ in ("c-1", "c-2"):
        platform.credentials[id_] = {"id": id_, "name": "reg", "kind": "registry", "version": 1}
    result = fathom("delete", "reg")
    assert result.returncode == 1
    assert "Several credentials are called reg: c-1, c-2" in result.stderr
    assert len(platform.credentials) == 2


def test_run_names_credentials(platform: StubPlatform, env: dict[str, str]) -> None:
    options = ["--credential", "my-git", "--credential", "bucket:S3"]
    command = [sys.executable, "-m", "fathom", "run", "-d", *options, "--", "true"]
    assert subprocess.run(command, env=env, capture_output=True, timeout=60, check=False).returncode == 0
    assert _sent(platform)[0]["credentials"] == [{"name": "my-git"}, {"name": "bucket", "as": "S3"}]
