"""The process that forks shims: it may be killed at any time, and nothing of a job depends on it afterwards."""

import json
import os
import signal
from datetime import timedelta

import pytest

from apps.compute.backends.base import Unavailable
from apps.compute.backends.local import launch, processes, rundir
from apps.compute.contract import Phase

from .harness import Behaviour, LocalCluster, alive, await_true, survivors


def starter_of(local: LocalCluster) -> int:
    launcher = local.backend._launcher()
    assert launcher._starter._channel is not None
    return launcher._starter._process.pid


def test_jobs_come_from_one_starter_and_do_not_belong_to_it(local: LocalCluster) -> None:
    names = [local.start(Behaviour(seconds=None)) for _ in range(2)]
    for name in names:
        local.wait_running(name)
    pid = starter_of(local)
    assert processes.children(pid) == []
    os.kill(pid, signal.SIGKILL)
    await_true(lambda: not alive(pid), "it is dead")
    for name in names:
        assert local.look(name).phase is Phase.RUNNING
        local.backend.stop(name, grace=timedelta(0))
        local.wait_final(name)


def test_a_dead_starter_is_replaced(local: LocalCluster) -> None:
    local.wait_final(local.start(Behaviour()))
    first = starter_of(local)
    os.kill(first, signal.SIGKILL)
    await_true(lambda: not alive(first), "it is dead")
    assert local.wait_final(local.start(Behaviour())).phase is Phase.SUCCEEDED
    assert starter_of(local) != first


def test_it_ends_with_its_platform(local: LocalCluster) -> None:
    local.wait_final(local.start(Behaviour()))
    pid = starter_of(local)
    local.backend._launcher()._starter.close()
    assert not alive(pid)


def test_it_keeps_nothing_of_a_job(local: LocalCluster) -> None:
    """A descriptor left behind would hold the lock of a job that is over, or keep its log open."""
    local.wait_final(local.start(Behaviour()))
    before = sorted(os.listdir(f"/proc/{starter_of(local)}/fd"))
    for _ in range(3):
        local.wait_final(local.start(Behaviour()))
    assert sorted(os.listdir(f"/proc/{starter_of(local)}/fd")) == before


def test_one_that_hangs_is_replaced_too(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    local.wait_final(local.start(Behaviour()))
    first = starter_of(local)
    os.kill(first, signal.SIGSTOP)
    name = local.new_name()
    with monkeypatch.context() as patched:
        patched.setattr(launch, "ACCEPT_SECONDS", 0.2)
        with pytest.raises(Unavailable):
            local.backend.submit(name, local.spec(Behaviour()))
    assert not alive(first)
    assert local.look(name).reason == "NotStarted"
    local.backend.submit(name, local.spec(Behaviour()))
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    assert local.starts(name) == 1


def test_what_goes_wrong_in_a_shim_is_told(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    name = local.new_name()
    plan = launch.Launcher._plan

    def broken(*args: object) -> object:
        return {key: value for key, value in plan(*args).items() if key != "masks"}  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(launch.Launcher, "_plan", broken)
        local.backend.submit(name, local.spec(Behaviour()))
        await_true(lambda: local.look(name).phase is Phase.MISSING, "the shim is gone")
    assert "masks" in (local.jobs_root / name / rundir.SHIM_ERRORS).read_text()


def test_a_stopped_guard_of_a_killed_shim_is_killed(local: LocalCluster) -> None:
    """Outside of a sandbox the guard has no mark in its environment and is in no group of the job."""
    name = local.start(Behaviour(seconds=None))
    local.wait_running(name)
    shim = json.loads((local.jobs_root / name / rundir.SHIM).read_text())["pid"]
    guards = processes.children(shim)
    for pid in guards:
        os.kill(pid, signal.SIGSTOP)
    os.kill(shim, signal.SIGKILL)
    await_true(lambda: not alive(shim), "the shim is dead")
    local.backend.stop(name, grace=timedelta(0))
    await_true(lambda: not [pid for pid in guards if alive(pid)], "the guard is dead")
    await_true(lambda: survivors(local, name) == [], "nothing is left")
    local.backend.remove(name)
    assert local.look(name).phase is Phase.MISSING
