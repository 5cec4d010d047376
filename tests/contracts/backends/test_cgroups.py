"""Control groups of both versions, on folders that look like them: a machine has only one of them."""

from pathlib import Path

import pytest

from apps.compute.backends.local.cgroups import Group, hierarchies


def _mounts(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mounts"
    path.write_text(text)
    return str(path)


def test_version_1_is_found(tmp_path: Path) -> None:
    text = (
        "cgroup /c/memory cgroup rw,relatime,memory 0 0\n"
        "cgroup /c/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
        "cgroup /c/freezer cgroup rw,relatime,freezer 0 0\n"
        "tmpfs /tmp tmpfs rw 0 0\n"
    )
    assert hierarchies(_mounts(tmp_path, text)) == {"memory": "/c/memory", "cpu": "/c/cpu,cpuacct"}


def test_version_2_is_found(tmp_path: Path) -> None:
    assert hierarchies(_mounts(tmp_path, "cgroup2 /c cgroup2 rw,nsdelegate 0 0\n")) == {"unified": "/c"}


def test_no_cgroups_is_no_error(tmp_path: Path) -> None:
    assert hierarchies(_mounts(tmp_path, "")) == {}
    assert hierarchies(str(tmp_path / "missing")) == {}
    assert Group({}).pids() == []
    assert Group({}).oom_kills() == 0
    assert Group({}).destroy()


def _group(folder: Path, *names: str) -> Group:
    for name in names:
        (folder / name).touch()
    return Group(dict.fromkeys(("memory", "cpu", "pids", "unified"), str(folder)))


def test_limits_of_version_2(tmp_path: Path) -> None:
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cgroup.procs", "cgroup.kill")
    group = _group(tmp_path, *names)
    group.create(memory_bytes=1 << 20, cpu_milli=1500, processes=7)
    group.enter()
    group.kill()
    written = {name: (tmp_path / name).read_text() for name in names}
    assert written == {
        "memory.max": "1048576",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "150000 100000",
        "pids.max": "7",
        "cgroup.procs": "0",
        "cgroup.kill": "1",
    }
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert group.oom_kills() == 2


def test_limits_of_version_1(tmp_path: Path) -> None:
    names = ("memory.limit_in_bytes", "cpu.cfs_period_us", "cpu.cfs_quota_us", "pids.max", "tasks")
    group = _group(tmp_path, *names)
    group.create(memory_bytes=1 << 20, cpu_milli=250, processes=7)
    group.enter()
    assert [(tmp_path / name).read_text() for name in names] == ["1048576", "100000", "25000", "7", "0"]
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert group.oom_kills() == 1


def test_a_limit_that_cannot_be_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        _group(tmp_path).create(memory_bytes=1 << 20, cpu_milli=0, processes=0)
