"""The process that forks shims: it may be killed at any time, and nothing of a job depends on it afterwards."""

import os
import signal
from datetime import timedelta

from apps.compute.backends.local import processes
from apps.compute.contract import Phase

from .harness import Behaviour, LocalCluster, alive, await_true


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
