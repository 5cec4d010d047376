"""What only the local backend promises about evidence: logs, verdicts, and submits that are cut off anywhere."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zlib
from datetime import timedelta
from pathlib import Path
from typing import IO

import pytest

from apps.compute.backends.local import processes, rundir, sandbox
from apps.compute.contract import Phase, WorkloadSpec

from .harness import SMALL, Behaviour, LocalCluster, alive, await_true, kill_shim

CHECKED_LINES = """
import sys, zlib
for number in range(10_000):
    payload = f"line {number} " + "x" * (number % 50)
    print(f"{number} {zlib.crc32(payload.encode()):08x} {payload}")
"""


def test_a_long_log_is_complete(local: LocalCluster) -> None:
    name = local.new_name()
    command = (local.settings.python, "-c", CHECKED_LINES)
    local.backend.submit(name, WorkloadSpec(command=command, resources=SMALL, secrets={"TOKEN": "ne line 77 xx"}))
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    log = local.log(name)
    numbers = []
    for line in log.decode().splitlines():
        number, crc, payload = line.split(" ", 2)
        assert int(crc, 16) == zlib.crc32(payload.encode())
        numbers.append(int(number))
    assert numbers == list(range(10_000))
    record = json.loads((local.jobs_root / name / rundir.EXIT).read_text())
    assert (record["log_bytes"], record["truncated"]) == (len(log), False)
    assert record["log_sha256"] == hashlib.sha256(log).hexdigest()


def test_a_line_is_in_the_log_at_once(local: LocalCluster) -> None:
    """Without waiting for a newline or for more; only what may be the beginning of a secret has to wait."""
    script = "printf 'no newline!'; sleep 0.05; printf zzz-s; echo said > $WITNESS/$FATHOM_ATTEMPT_HANDLE; sleep 3600"
    name = local.run(script, secrets={"TOKEN": "zzz-secret-zzz"})
    await_true(lambda: local.backend.read_log(name, offset=0, limit=99).data == b"no newline!", "the text is there")
    await_true(lambda: local.starts(name) == 1, "it has said the rest")
    assert local.backend.read_log(name, offset=0, limit=99).data == b"no newline!"
    local.backend.stop(name, grace=timedelta(0))
    local.wait_final(name)
    assert local.log(name) == b"no newline!zzz-s"


def test_secrets_are_masked_across_writes(local: LocalCluster) -> None:
    """Written in pieces, with pauses between them that make them separate reads."""
    script = "printf 'a sec'; sleep 0.05; printf 'ret-v'; sleep 0.05; echo alue b"
    name = local.run(script, secrets={"TOKEN": "secret-value"})
    local.wait_final(name)
    assert local.log(name) == b"a *** b\n"


def test_bytes_that_are_no_text_come_through(local: LocalCluster) -> None:
    name = local.run(r"printf '\377\000\200ok'")
    local.wait_final(name)
    assert local.log(name) == b"\xff\x00\x80ok"


def test_the_verdict_outlives_the_backend(local: LocalCluster) -> None:
    name = local.start(Behaviour(exit_code=4))
    local.wait_final(name)
    mode = (local.jobs_root / name).stat().st_mode
    assert stat.S_IMODE(mode) == 0o700
    assert local.another_backend().observe([name])[name].exit_code == 4


def test_a_submit_cut_off_before_the_shim_is_done_again(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.compute.backends.local import launch

    class Crash(Exception):
        pass

    def crash(*_args: object, **_kwargs: object) -> None:
        raise Crash

    name, spec = local.new_name(), local.spec(Behaviour())
    with monkeypatch.context() as patched:
        patched.setattr(launch.Launcher, "start", crash)
        with pytest.raises(Crash):
            local.backend.submit(name, spec)
    seen = local.look(name)
    assert (seen.phase, seen.reason) == (Phase.MISSING, "NotStarted")
    local.backend.submit(name, spec)
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    assert local.starts(name) == 1


def test_a_shim_whose_submitter_dies_before_handing_over_starts_nothing(
    local: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.compute.backends.base import Unavailable
    from apps.compute.backends.local import launch

    def hand_over_half(plan: IO[bytes], answer: int, message: bytes) -> bool:
        plan.write(message[: len(message) // 2])
        plan.close()
        assert os.read(answer, 2) == b""  # the end of its other end: the shim has gone
        return False

    name, spec = local.new_name(), local.spec(Behaviour())
    with monkeypatch.context() as patched:
        patched.setattr(launch, "_hand_over", hand_over_half)
        with pytest.raises(Unavailable):
            local.backend.submit(name, spec)
    assert local.look(name).reason == "NotStarted"
    assert local.starts(name) == 0
    local.backend.submit(name, spec)
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    assert local.starts(name) == 1


def test_a_submit_killed_at_random_moments_starts_at_most_once(local: LocalCluster) -> None:
    """kill -9 of the submitting process, from its first step to after its last; then submit again."""
    for step in range(8):
        name = local.new_name()
        program = (
            "from apps.compute.backends.local.backend import LocalBackend as B\n"
            "from apps.compute.backends.local.settings import LocalSettings\n"
            "from apps.compute.contract import Resources, WorkloadSpec\n"
            f"b = B({local.settings!r}); b.health(); print('go', flush=True)\n"
            f"b.submit({name!r}, {local.spec(Behaviour())!r})\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program], cwd=sandbox.IMPORT_ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
        time.sleep(step * 0.004)
        child.kill()
        child.communicate()
        local.backend.submit(name, local.spec(Behaviour()))
        seen = local.wait(name, lambda seen: seen.phase.is_final or seen.reason == "Vanished")
        assert seen.phase in (Phase.SUCCEEDED, Phase.MISSING)
        assert local.starts(name) <= 1
        assert seen.phase is not Phase.SUCCEEDED or local.starts(name) == 1


def test_many_processes_submitting_are_one_start(local: LocalCluster) -> None:
    name, spec = local.new_name(), local.spec(Behaviour(seconds=None))
    program = (
        "import sys\n"
        "from apps.compute.backends.local.backend import LocalBackend as B\n"
        "from apps.compute.backends.local.settings import LocalSettings\n"
        "from apps.compute.contract import Resources, WorkloadSpec\n"
        f"b = B({local.settings!r}); b.health(); print('ready', flush=True); sys.stdin.readline()\n"
        f"b.submit({name!r}, {spec!r})\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=sandbox.IMPORT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
    for child in children:
        child.communicate()
        assert child.returncode == 0
    local.wait_begun(name)
    local.backend.stop(name, grace=timedelta(0))
    local.wait_final(name)
    assert local.starts(name) == 1


def test_asking_never_takes_the_lock(local: LocalCluster) -> None:
    """A starting shim must not lose to somebody who only looks."""
    fd = os.open(local.folder / f"lock-{local.mode}", os.O_RDWR | os.O_CREAT)
    other = os.open(local.folder / f"lock-{local.mode}", os.O_RDWR)
    try:
        assert not rundir.is_locked(other)
        assert rundir.take_lock(fd)
        assert rundir.is_locked(other)
        assert not rundir.take_lock(other)
    finally:
        os.close(fd)
        os.close(other)


def test_a_reused_pid_is_never_signalled(local: LocalCluster) -> None:
    """The record names a pid that now belongs to somebody else."""
    name = local.start(Behaviour(seconds=None))
    local.wait_running(name)
    kill_shim(local, name)
    local.wait(name, lambda seen: seen.phase is Phase.MISSING)
    bystander = subprocess.Popen(["/bin/sleep", "60"])
    record = local.jobs_root / name / rundir.SHIM
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "pid": bystander.pid}))
    local.backend.stop(name, grace=timedelta(0))
    local.backend.remove(name)
    try:
        assert bystander.poll() is None
        assert processes.signal_exactly(bystander.pid, processes.start_time(bystander.pid), 0)
        assert not processes.signal_exactly(bystander.pid, processes.start_time(bystander.pid) - 1, signal.SIGKILL)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_no_zombie_is_left_with_the_platform(local: LocalCluster) -> None:
    name = local.start(Behaviour())
    local.wait_final(name)
    mine = [pid for pid in os.listdir("/proc") if pid.isdigit() and _parent(int(pid)) == os.getpid()]
    assert [pid for pid in mine if not alive(int(pid))] == []


def test_hostile_names_touch_nothing(local: LocalCluster) -> None:
    from apps.compute.backends.base import Rejected

    for name in ("../x", "a/b", "", ".hidden", "x" * 200, "nul\0"):
        with pytest.raises(Rejected):
            local.backend.submit(name, local.spec(Behaviour()))
        assert local.look(name).phase is Phase.MISSING
        local.backend.stop(name, grace=timedelta(0))
        local.backend.remove(name)
    assert not (local.folder / "x").exists()


def test_the_shim_starts_lean() -> None:
    """Every module here delays every job."""
    program = (
        f"import sys; sys.path.append({str(sandbox.IMPORT_ROOT)!r}); before = set(sys.modules)\n"
        "import apps.compute.backends.local.starter\n"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    out = subprocess.run(
        [sandbox.SHIM_PYTHON, *sandbox.LEAN, "-c", program], capture_output=True, check=True, text=True
    )
    slow = {
        "typing",
        "re",
        "json",
        "enum",
        "collections",
        "subprocess",
        "pathlib",
        "hashlib",
        "ctypes",
        "django",
        "signal",
    }
    assert not slow & set(out.stdout.split())


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1
