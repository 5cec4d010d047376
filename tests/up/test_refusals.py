"""Each way in which a start can fail says what is the matter in one sentence, and changes nothing."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.up.platform_process import REPOSITORY, Up

Start = Callable[..., Up]


def _refused(platform: Up) -> str:
    assert platform.wait_for_end() == 1
    assert len(platform.lines) == 1, platform.output
    return platform.output


def _in_namespace(script: str, home: Path) -> str:
    """Run `up` where a mount that only it sees lies at the folder."""
    command = f'{script} && exec "{sys.executable}" manage.py up --home "{home}/data" --port 1 --content-port 2'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("mounts are not allowed here")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_read_only_folder(up: Start, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        said = _in_namespace(f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path}", tmp_path)
        assert "is on a read-only file system: choose another folder with --home" in said
        return
    tmp_path.chmod(0o500)
    said = _refused(up(home=tmp_path / "data"))
    assert "may not be written by this user" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    said = _in_namespace(f"mount -t tmpfs -o size=8m tmpfs {tmp_path}", tmp_path)
    assert "is full" in said
    assert "MB to start" in said


def test_a_file_in_the_place_of_the_folder(up: Start, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert "is not a folder" in _refused(up())


def test_a_folder_that_is_not_ours(up: Start, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    assert "is not empty and not a data folder of Fathom" in _refused(up())
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_a_lost_data_key(up: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "pg").mkdir(parents=True)
    (home / "secret.key").write_text("x" * 60)
    assert "data.key is missing" in _refused(up())
    assert not (home / "data.key").exists()


def test_data_of_another_postgresql(up: Start, tmp_path: Path) -> None:
    (tmp_path / "home" / "pg" / "17").mkdir(parents=True)
    platform = up()
    assert platform.wait_for_end() == 1
    assert "holds data of PostgreSQL 17, and this Fathom brings 18" in platform.output


def test_a_setting_that_makes_no_sense(up: Start) -> None:
    assert "FATHOM_PORT must be a whole number from 0 to 65535, not '٨٠'." in _refused(up(FATHOM_PORT="٨٠"))


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "argv", ["manage.py", "up"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "manage.py"), run_name="__main__")
    assert ended.value.code == "Fathom needs Python 3.11 or newer; this is Python 3.10."


def test_a_stale_lock_does_not_block(up: Start, tmp_path: Path) -> None:
    (tmp_path / "home" / "run").mkdir(parents=True)
    (tmp_path / "home" / "run" / "up.lock").write_text('{"pid":1,"url":"http://127.0.0.1:1"}')
    (tmp_path / "home" / "run" / "web.pid").write_text("1 0.0")
    platform = up("--no-worker")
    platform.wait_until_ready()
