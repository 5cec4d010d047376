"""What a running platform on one machine is like, and what it survives."""

import os
import signal
import socket
import stat
from pathlib import Path

import orjson
import psutil
import psycopg
import pytest
import redis

from tests.up.platform_process import Up, eventually


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_and_folders_are_for_the_owner_only(running: Up) -> None:
    private = [
        "secret.key",
        "data.key",
        "credential.keys",
        "pg.password",
        "valkey.password",
        "run/env.json",
        "run/up.lock",
    ]
    assert {name: oct(_mode(running.home / name)) for name in private} == dict.fromkeys(private, "0o600")
    folders = ["", "pg", "valkey", "blobs", "jobs", "run", "log", "run/pg", "run/valkey"]
    assert {name: oct(_mode(running.home / name)) for name in folders} == dict.fromkeys(folders, "0o700")
    assert len((running.home / "secret.key").read_text()) >= 50
    assert len(bytes.fromhex((running.home / "data.key").read_text())) == 32


def test_it_listens_on_loopback_and_on_nothing_else(running: Up) -> None:
    listening = {
        connection.laddr[:2]
        for process in running.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", running.port), ("127.0.0.1", running.content_port)}


def test_postgresql_asks_for_the_password_and_gives_no_superuser(running: Up) -> None:
    url = orjson.loads((running.home / "run/env.json").read_bytes())["DATABASE_URL"]
    password = (running.home / "pg.password").read_text()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    for wrong in (url.replace(password, "guess"), url.replace(f":{password}", "")):
        with pytest.raises(psycopg.OperationalError, match=r"password"):
            psycopg.connect(wrong)
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba"):
        psycopg.connect(url.replace("//fathom:", "//postgres:"))


def test_valkey_asks_for_the_password(running: Up) -> None:
    url = orjson.loads((running.home / "run/env.json").read_bytes())["REDIS_URL"]
    password = (running.home / "valkey.password").read_text()
    with redis.Redis.from_url(url) as client:
        assert client.ping()
    with redis.Redis.from_url(url.replace(f":{password}@", "")) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_no_password_is_on_a_command_line_or_in_the_output(running: Up) -> None:
    names = ("pg.password", "valkey.password", "secret.key", "data.key", "credential.keys")
    secrets = [(running.home / name).read_text().rpartition(":")[2] for name in names]
    seen = running.output + "".join(" ".join(process.cmdline()) for process in running.processes())
    assert not [secret for secret in secrets if secret in seen]


def test_the_first_admin_gets_a_link_and_no_password(running: Up) -> None:
    link = running.wait_for(r"Make the first one within 24 hours: http://127\.0\.0\.1:\d+(/setup/\S+/)")
    assert running.answers(link.group(1))
    assert not running.answers("/setup/" + "x" * 40 + "/")


def test_a_second_start_on_the_folder_says_who_has_it(running: Up) -> None:
    second = Up(running.home)
    assert second.wait_for_end() == 1
    assert (
        f"already runs on {running.home} at http://127.0.0.1:{running.port}/ (process {running.process.pid})"
        in second.output
    )
    assert len(second.lines) == 1
    assert running.answers()


def test_a_taken_port_is_named_with_its_holder_and_a_way_out(running: Up, tmp_path: Path) -> None:
    second = Up(tmp_path / "other", ports=(running.port, running.content_port))
    assert second.wait_for_end() == 1
    assert f"Port {running.port} of 127.0.0.1 is taken by" in second.output
    assert "choose another, for example --port" in second.output
    assert len(second.lines) == 1


def test_a_taken_content_port_is_named_too(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        second = Up(tmp_path / "other", "--content-port", str(port))
        assert second.wait_for_end() == 1
        assert f"Port {port} of 127.0.0.1 is taken by" in second.output
        assert f"(process {os.getpid()}): choose another, for example --content-port" in second.output


@pytest.mark.parametrize("name", ["web", "worker", "valkey", "postgres"])
def test_a_killed_process_comes_back(running: Up, name: str) -> None:
    before = running.pid_of(name)
    os.kill(before, signal.SIGKILL)
    running.wait_for(rf"{name} was killed by SIGKILL; starting it again")
    eventually(lambda: running.is_replaced(name, before))
    eventually(running.answers)
    eventually(lambda: not psutil.pid_exists(before))
    assert running.process.poll() is None


def test_a_killed_backend_of_postgresql_is_healed_by_postgresql(running: Up) -> None:
    url = orjson.loads((running.home / "run/env.json").read_bytes())["DATABASE_URL"]
    postmaster = running.pid_of("postgres")
    with psycopg.connect(url) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
    eventually(running.answers)
    assert running.pid_of("postgres") == postmaster


def test_without_valkey_it_is_degraded_and_works(running: Up) -> None:
    os.kill(running.pid_of("valkey"), signal.SIGSTOP)
    try:
        eventually(running.answers)
    finally:
        os.kill(running.pid_of("valkey"), signal.SIGCONT)


def test_its_memory_when_idle(running: Up, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for process in running.processes():
        memory = process.memory_full_info()
        rows.append((getattr(memory, "pss", memory.uss) / 2**20, memory.rss / 2**20, " ".join(process.cmdline())[-60:]))
    with capsys.disabled():
        total = sum(row[0] for row in rows)
        print(f"\nidle platform: {total:.0f} MiB PSS, {sum(row[1] for row in rows):.0f} MiB RSS, {len(rows)} processes")
    assert rows
