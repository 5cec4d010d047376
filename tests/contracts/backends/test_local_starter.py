"""The process that forks shims: it may be killed at any time, and nothing of a job depends on it afterwards."""

import json
import os
import shutil
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from apps.compute.backends.base import Unavailable
from apps.compute.backends.local import launch, prepared, processes, rundir, sandbox
from apps.compute.backends.local.backend import LocalBackend
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
    await_true(lambda: processes.children(pid) == [], "no child is left but for the moment in which it forks the next")
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
    for _ in range(2):  # the first by the shim that it left waiting
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
    folder = f"/proc/{starter_of(local)}/fd"
    await_true(lambda: len(os.listdir(folder)) == 5, "the standard three, the socket, and the life of who waits")
    for _ in range(3):
        local.wait_final(local.start(Behaviour()))
    await_true(lambda: len(os.listdir(folder)) == 5, "no more than before")


def test_one_that_hangs_is_replaced_too(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    local.wait_final(local.start(Behaviour()))
    first = starter_of(local)
    await_true(lambda: len(os.listdir(f"/proc/{first}/fd")) == 5, "the next shim waits")
    os.kill(first, signal.SIGSTOP)
    local.wait_final(local.start(Behaviour()))  # by the shim that waits already
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


def waiting(local: LocalCluster) -> list[str]:
    return [path.name for path in local.jobs_root.iterdir() if path.name.startswith(prepared.PREFIX)]


def test_the_sandbox_of_the_next_job_stands_and_goes_with_the_platform(sandboxed: LocalCluster) -> None:
    sandboxed.wait_final(sandboxed.start(Behaviour()))
    await_true(lambda: len(waiting(sandboxed)) == 1, "the next one is prepared")
    sandboxed.backend._launcher()._starter.close()
    await_true(lambda: waiting(sandboxed) == [], "it is gone")
    root = sandbox.secrets_root(sandboxed.settings)
    assert root is None or not list(root.glob(f"{prepared.PREFIX}*"))


def test_a_fallen_sandbox_is_replaced(sandboxed: LocalCluster) -> None:
    sandboxed.wait_final(sandboxed.start(Behaviour()))
    await_true(lambda: len(waiting(sandboxed)) == 1, "the next one is prepared")
    (before,) = waiting(sandboxed)
    shim = int(before.removeprefix(prepared.PREFIX).partition("-")[0])
    await_true(lambda: len(processes.descendants(shim)) == 2, "bwrap and the guard are there")
    time.sleep(0.2)
    os.kill(processes.children(shim)[0], signal.SIGKILL)
    await_true(lambda: waiting(sandboxed) not in ([], [before]), "another one is prepared")
    assert sandboxed.wait_final(sandboxed.start(Behaviour())).phase is Phase.SUCCEEDED


def test_what_a_killed_waiting_shim_leaves_is_removed(sandboxed: LocalCluster) -> None:
    sandboxed.wait_final(sandboxed.start(Behaviour()))
    await_true(lambda: len(waiting(sandboxed)) == 1, "the next one is prepared")
    (name,) = waiting(sandboxed)
    os.kill(starter_of(sandboxed), signal.SIGKILL)
    shim = int(name.removeprefix(prepared.PREFIX).partition("-")[0])
    inside = processes.descendants(shim)
    os.kill(shim, signal.SIGKILL)
    await_true(lambda: not [pid for pid in (shim, *inside) if alive(pid)], "the sandbox has died with it")
    assert waiting(sandboxed) == [name]
    again = LocalBackend(sandboxed.settings)
    again.health()
    again._launcher()
    assert name not in waiting(sandboxed)
    for folder in again._launcher().groups.values():
        assert not list(Path(folder).glob(f"*{name}"))


def test_a_job_that_cannot_be_sandboxed_says_so(sandboxed: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "job_arguments", lambda base: [*base, "--no-such-option"])
    monkeypatch.setattr(sandboxed, "backend", LocalBackend(sandboxed.settings))
    name = sandboxed.start(Behaviour())
    seen = sandboxed.wait_final(name)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "StartFailed")
    assert "no-such-option" in seen.message
    await_true(lambda: held(sandboxed) == (), "nothing of it is left")
    assert survivors(sandboxed, name) == []


def held(local: LocalCluster) -> tuple[Path, ...]:
    """Everything that waiting sandboxes have on this machine."""
    roots = [local.jobs_root, *map(Path, local.backend._launcher().groups.values())]
    if (secrets := sandbox.secrets_root(local.settings)) is not None:
        roots.append(secrets)
    key = sandbox.cluster_key(local.settings)
    return tuple(
        path
        for root in roots
        for pattern in (f"{prepared.PREFIX}*", f"{key}.{prepared.PREFIX}*")
        for path in root.glob(pattern)
    )


def test_a_sandbox_that_cannot_be_prepared_leaves_nothing_and_the_next_job_runs(sandboxed: LocalCluster) -> None:
    """A trouble that has passed when the job comes must not be the job's."""
    root = sandbox.secrets_root(sandboxed.settings)
    if root is None:
        pytest.skip("there is no memory file system here")
    starter = sandboxed.backend._launcher()._starter
    starter.close()
    await_true(lambda: held(sandboxed) == (), "the one from before is gone")
    root.rename(f"{root}.away")
    try:
        starter._open()
        await_true(lambda: len(os.listdir(f"/proc/{starter_of(sandboxed)}/fd")) == 5, "a shim waits, without a sandbox")
        time.sleep(0.2)
        assert held(sandboxed) == ()
    finally:
        Path(f"{root}.away").rename(root)
    assert sandboxed.wait_final(sandboxed.start(Behaviour())).phase is Phase.SUCCEEDED


def test_folders_that_went_away_while_a_sandbox_waited_do_not_fail_the_job(sandboxed: LocalCluster) -> None:
    sandboxed.wait_final(sandboxed.start(Behaviour()))
    await_true(lambda: len(waiting(sandboxed)) == 1, "the next one is prepared")
    time.sleep(0.2)
    (name,) = waiting(sandboxed)
    shutil.rmtree(sandboxed.jobs_root / name)  # as a cleaner of temporary folders does
    assert sandboxed.wait_final(sandboxed.start(Behaviour())).phase is Phase.SUCCEEDED


def test_a_link_in_place_of_the_secrets_is_not_followed(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a memory file system the folder lies in the job's own, where the job can put what it likes."""
    monkeypatch.setattr(sandbox, "secrets_root", lambda _settings: None)
    monkeypatch.setattr(local, "backend", LocalBackend(local.settings))
    victim = local.folder / f"victim-{local.mode}"
    victim.mkdir()
    (victim / "keep").write_text("not the job's")
    name = local.new_name()
    script = f'cd "$HOME" && mv secrets gone && ln -s {victim} secrets && echo planted'
    local.backend.submit(name, local.shell(script, secrets={"TOKEN": "swordfish-9"}))
    local.wait_final(name)
    assert b"planted" in local.log(name)
    assert (victim / "keep").read_text() == "not the job's"
    assert not (local.jobs_root / name / "job" / "secrets").is_symlink()
