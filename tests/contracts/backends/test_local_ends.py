"""What only the local backend promises about ends: processes that are really dead, limits that hold."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from apps.compute.backends.local import sandbox
from apps.compute.backends.local.backend import LocalBackend
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.contract import Capability, Phase, Resources, WorkloadSpec

from .harness import (
    SMALL,
    Behaviour,
    LocalCluster,
    await_true,
    kill_shim,
    raw_settings,
    survivors,
)

GRACE = timedelta(seconds=0.3)

# Ways to outlive a stop. Each writes the pids it wants to keep into $WITNESS/<name>.pids.
STUBBORN = {
    "ignores": "trap '' TERM; echo $$ >> $PIDS; while :; do sleep 3600; done",
    "forks": "for i in 1 2 3; do (trap '' TERM; sleep 3600 & echo $! >> $PIDS; wait) & done; wait",
    "double forks": "( ( trap '' TERM; exec sleep 3600 ) & echo $! >> $PIDS ); sleep 3600",
    "setsid": "trap '' TERM; setsid sh -c 'echo $$ >> $PIDS; exec sleep 3600' & sleep 3600",
    "double setsid": (
        'setsid sh -c \'setsid sh -c "trap \\"\\" TERM HUP; echo \\$\\$ >> $PIDS; exec sleep 3600" & exit 0\'; '
        "trap '' TERM; while :; do sleep 3600; done"
    ),
    "forgets its mark": "trap '' TERM; env -i setsid sleep 3600 & echo $! >> $PIDS; wait",
    "forks without end": "trap '' TERM; echo $$ >> $PIDS; f() { sleep 0.05; f & f; }; f & sleep 3600",
}


def _pids_env(local: LocalCluster, name: str) -> dict[str, str]:
    return {"PIDS": str(local.witness / f"{name}.pids")}


def _start_stubborn(local: LocalCluster, kind: str) -> str:
    name = local.new_name()
    local.backend.submit(name, local.shell(STUBBORN[kind], env=_pids_env(local, name)))
    pids = local.witness / f"{name}.pids"
    await_true(lambda: pids.exists() and pids.read_text().strip() != "", "the job wrote its pids")
    return name


@pytest.mark.parametrize("kind", STUBBORN)
def test_nothing_survives_a_stop(local: LocalCluster, kind: str) -> None:
    name = _start_stubborn(local, kind)
    assert survivors(local, name), "nothing to survive: the test shows nothing"
    local.backend.stop(name, grace=GRACE)
    assert local.wait_final(name).reason == "Stopped"
    assert survivors(local, name) == []


@pytest.mark.parametrize("kind", STUBBORN)
def test_nothing_survives_a_killed_shim_and_a_stop(local: LocalCluster, kind: str) -> None:
    name = _start_stubborn(local, kind)
    kill_shim(local, name)
    seen = local.wait(name, lambda seen: seen.phase is Phase.MISSING)
    assert seen.reason == "Vanished"
    local.backend.stop(name, grace=GRACE)
    await_true(lambda: not survivors(local, name), "all of the job is dead")
    assert local.look(name).phase is Phase.MISSING


def test_a_killed_shim_takes_its_job_along(local: LocalCluster) -> None:
    name = local.start(Behaviour(seconds=None))
    await_true(lambda: local.starts(name) == 1, "the body runs")
    kill_shim(local, name)
    local.wait(name, lambda seen: seen.phase is Phase.MISSING)
    await_true(lambda: not survivors(local, name), "all of the job is dead")
    local.backend.submit(name, local.spec(Behaviour()))
    assert local.look(name).phase is Phase.MISSING, "a body must never start twice"
    assert local.starts(name) == 1


def test_what_the_main_process_leaves_behind_is_killed_before_the_verdict(local: LocalCluster) -> None:
    name = local.new_name()
    script = "setsid sleep 3600 & sleep 3600 & echo bye"
    local.backend.submit(name, local.shell(script))
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    assert survivors(local, name) == []
    assert local.log(name) == b"bye\n"


def test_a_stop_gives_every_process_its_grace(local: LocalCluster) -> None:
    """The shell dies at once of the polite signal; the program under it still gets the time to save its work."""
    script = "sh -c 'trap \"sleep 0.2; echo saved; exit 0\" TERM; echo ready; while :; do sleep 0.02; done'; echo never"
    name = local.run(script)
    await_true(lambda: local.backend.read_log(name, offset=0, limit=99).data == b"ready\n", "it runs")
    local.backend.stop(name, grace=timedelta(minutes=1))
    assert local.wait_final(name).reason == "Stopped"
    assert b"saved" in local.log(name)
    assert b"never" not in local.log(name)


def test_a_polite_stop_misses_nobody(local: LocalCluster) -> None:
    """Also a process that is born in the very moment of the stop hears of it, and not only of the force."""
    names = [local.run("while :; do sleep 3600 & wait; done") for _ in range(12)]
    for name in names:
        local.wait_running(name)
        local.backend.stop(name, grace=timedelta(hours=1))
    for name in names:
        assert local.wait_final(name).signal == signal.SIGTERM


def test_a_time_limit_holds_without_the_platform(local: LocalCluster) -> None:
    """The process that submitted is gone; the shim keeps the limit alone."""
    name = local.new_name()
    spec = f"WorkloadSpec(command=('/bin/sh','-c','trap \"\" TERM; echo deaf; while :; do sleep 1; done'), resources={SMALL!r}, "
    program = (
        "from apps.compute.backends.local.backend import LocalBackend as B\n"
        "from apps.compute.backends.local.settings import LocalSettings\n"
        "from apps.compute.contract import Resources, WorkloadSpec\n"
        "from datetime import timedelta\n"
        f"B({local.settings!r}).submit({name!r}, {spec} timeout=timedelta(seconds=0.4)))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=sandbox.IMPORT_ROOT)
    seen = local.wait_final(name)
    # On a machine that does much else the limit may come before the shell could stop listening.
    is_deaf = local.log(name) == b"deaf\n"
    assert (seen.reason, seen.signal) == ("TimedOut", signal.SIGKILL if is_deaf else signal.SIGTERM)
    assert survivors(local, name) == []


def test_out_of_memory_is_told_apart(local: LocalCluster) -> None:
    if Capability.LIMITS_MEMORY not in local.backend.health().capabilities:
        pytest.skip("no memory cgroup on this machine")
    name = local.new_name()
    command = (local.settings.python, "-c", "print('begin', flush=True); b = bytearray(300 << 20); print(len(b))")
    local.backend.submit(name, WorkloadSpec(command=command, resources=Resources(500, 64 << 20)))
    seen = local.wait_final(name)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "OOMKilled")
    assert local.log(name) == b"begin\n"


def test_processes_are_limited(isolating: LocalCluster) -> None:
    settings = LocalSettings.parse({**raw_settings(isolating.settings), "max_processes": 20})
    backend = LocalBackend(settings)
    name = isolating.new_name()
    backend.submit(name, isolating.shell("for i in $(seq 60); do sleep 30 & done; echo all of them"))
    isolating.wait_final(name)
    assert b"all of them" not in isolating.log(name)
    assert re.search(rb"fork|temporarily", isolating.log(name))


def groups_of(name: str) -> list[str]:
    """List the control groups of a job. Those of other tests come and go while this looks: then it looks again."""
    for _ in range(100):
        with suppress(OSError):
            return [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*/*{name}*")]
    pytest.fail("the control groups do not hold still")


def test_cpu_is_limited(local: LocalCluster) -> None:
    """The kernel's own word that it held the job back; a measurement would depend on what else the machine does."""
    if Capability.LIMITS_CPU not in local.backend.health().capabilities:
        pytest.skip("no cpu cgroup on this machine")
    name = local.run("while :; do :; done", resources=Resources(100, 64 << 20))
    local.wait_running(name)

    def was_throttled() -> bool:
        with suppress(OSError):  # the groups of other tests come and go beside this one
            files = [path.read_text() for path in Path("/sys/fs/cgroup").glob(f"**/*{name}/cpu.stat")]
            return any(re.search(r"nr_throttled [1-9]", text) for text in files)
        return False

    await_true(was_throttled, "the job was throttled")
    local.backend.stop(name, grace=timedelta(0))
    local.wait_final(name)


def test_remove_leaves_nothing(local: LocalCluster) -> None:
    name = local.run("mkdir -p a/b; chmod 0 a/b; echo made; sleep 3600", secrets={"TOKEN": "swordfish-9"})
    local.wait_said(name, b"made\n")
    local.backend.remove(name)
    assert survivors(local, name) == []
    assert local.look(name).phase is Phase.MISSING
    root = sandbox.secrets_root(local.settings)
    assert root is not None
    assert not (root / name).exists()
    assert not Path(sandbox.job_folder(local.settings, local.mode, name)).exists()
    assert groups_of(name) == []
    assert not [path for path in (local.jobs_root / ".uids").glob("*") if os.readlink(path) == name]
    assert not list(local.jobs_root.glob(".dead-*"))


def test_an_ended_job_holds_no_process_and_no_cgroup(local: LocalCluster) -> None:
    name = local.start(Behaviour())
    local.wait_final(name)
    await_true(lambda: not survivors(local, name), "the shim is gone")
    assert groups_of(name) == []
