"""What only the local backend promises about tenants: environment, secrets, users, sandbox."""

import hashlib
import os
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from apps.compute.backends.local import sandbox
from apps.compute.backends.local.backend import LocalBackend
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.contract import Capability, Phase, WorkloadSpec

from .harness import (
    SMALL,
    LocalCluster,
    await_true,
    kill_shim,
    marked_processes,
    raw_settings,
)


def test_nothing_of_the_platforms_environment_leaks(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTINEL_OF_THE_PLATFORM", "must-not-be-seen")
    said = local.text("env; cat /proc/self/environ; ls -l /proc/self/fd", env={"MINE": "yes"})
    assert "must-not-be-seen" not in said
    names = {line.partition("=")[0] for line in said.split("\0")[0].splitlines() if re.match(r"[A-Za-z_]+=", line)}
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONUNBUFFERED", "MINE", "WITNESS", "PWD"}
    assert names <= allowed | {"FATHOM_ATTEMPT_HANDLE", "FATHOM_JOB_DIR"}
    assert "MINE=yes" in said


def test_only_three_descriptors_reach_the_job(local: LocalCluster) -> None:
    said = local.text("ls /proc/$$/fd")
    assert sorted(said.split()) == ["0", "1", "2"]


def test_the_environment_is_as_promised(local: LocalCluster) -> None:
    said = local.text(
        'pwd; echo "$HOME"; echo "$TMPDIR"; echo "${PATH%%:*}"; umask; touch "$TMPDIR/a" "$HOME/b" c && echo ok'
    )
    cwd, home, tmp, first, umask, ok = said.split()
    assert cwd == f"{home}/code"
    assert tmp == f"{home}/tmp"
    assert first == os.path.dirname(local.settings.python)
    assert (umask, ok) == ("0077", "ok")


def test_a_secret_is_a_file_for_the_job_alone_and_goes_with_it(local: LocalCluster) -> None:
    name = local.new_name()
    script = 'stat -c "%a %u" "$TOKEN_FILE"; id -u; rev < "$TOKEN_FILE"; echo; sleep 3600'
    local.backend.submit(name, local.shell(script, secrets={"TOKEN": "swordfish-9"}))
    await_true(lambda: local.backend.read_log(name, offset=0, limit=999).data.count(b"\n") >= 3, "it has said all")
    mode, owner, uid, value = local.backend.read_log(name, offset=0, limit=999).data.decode().split()
    assert (mode, value) == ("400", "9-hsifdrows")
    assert owner == uid
    root = sandbox.secrets_root(local.settings)
    assert root is not None
    assert (root / name / "TOKEN").read_text() == "swordfish-9"
    assert not _grep(local.folder, b"swordfish-9"), "a secret lies on the disk"
    for pid in marked_processes(name):
        assert b"swordfish-9" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"swordfish-9" not in Path(f"/proc/{pid}/environ").read_bytes()
    local.backend.stop(name, grace=timedelta(0))
    local.wait_final(name)
    assert not (root / name).exists()


def test_a_binary_secret_arrives_byte_for_byte(local: LocalCluster) -> None:
    value = bytes(range(256)) * 40
    name = local.new_name()
    local.backend.submit(name, local.shell('sha256sum < "$KEYTAB_FILE"; cat "$KEYTAB_FILE"', secrets={"KEYTAB": value}))
    local.wait_final(name)
    log = local.backend.read_log(name, offset=0, limit=1 << 20).data
    assert log == f"{hashlib.sha256(value).hexdigest()}  -\n***".encode()


def test_secrets_of_a_killed_shim_go_with_its_removal(local: LocalCluster) -> None:
    name = local.run("sleep 3600", secrets={"TOKEN": "swordfish-9"})
    local.wait_running(name)
    root = sandbox.secrets_root(local.settings)
    assert root is not None
    kill_shim(local, name)
    local.wait(name, lambda seen: seen.phase is Phase.MISSING)
    assert (root / name).exists()
    local.backend.remove(name)
    assert not (root / name).exists()


def test_jobs_are_not_root_and_not_each_other(isolating: LocalCluster) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give jobs users of their own")
    first, second = isolating.text("id -u; id -G").split(), isolating.text("id -u; id -G").split()
    assert first[0] != second[0]
    for uid, *groups in (first, second):
        assert int(uid) >= isolating.settings.uid_base
        assert groups == [uid]


def test_a_job_has_no_privileges(isolating: LocalCluster) -> None:
    said = isolating.text("grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status")
    assert {line.split()[1].strip("0") for line in said.splitlines() if line.startswith("Cap")} == {""}
    assert "NoNewPrivs:\t1" in said


def test_the_platforms_folder_cannot_be_seen(sandboxed: LocalCluster) -> None:
    assert sandboxed.text(f"cat {sandboxed.hidden}/data.key || echo denied").endswith("denied\n")
    shown = LocalCluster("bwrap", readable_paths=[str(sandboxed.folder)])
    try:
        said = shown.text(f"ls {sandboxed.folder}; cat {shown.hidden}/data.key || echo denied")
    finally:
        shown.close()
    assert "platform" in said, "the test must be able to see, or it shows nothing"
    assert said.endswith("denied\n")


def test_a_hidden_folder_inside_a_shown_one_is_empty() -> None:
    cluster = LocalCluster("bwrap")
    try:
        if cluster.obstacle:
            pytest.skip(cluster.obstacle)
        cluster.settings = LocalSettings.parse(
            {**raw_settings(cluster.settings), "readable_paths": [str(cluster.folder)]}
        )
        cluster.backend = LocalBackend(cluster.settings)
        said = cluster.text(
            f"ls {cluster.folder}; ls {cluster.hidden}; cat {cluster.hidden}/data.key; ls {cluster.jobs_root}/.."
        )
        assert "the key of the platform" not in said
        assert "platform" in said
    finally:
        cluster.close()


def test_another_jobs_folder_cannot_be_read(isolating: LocalCluster) -> None:
    victim = isolating.run('echo mine > "$HOME/private"; echo done; sleep 3600', secrets={"TOKEN": "swordfish-9"})
    await_true(lambda: isolating.backend.read_log(victim, offset=0, limit=9).data == b"done\n", "the file is there")
    home = sandbox.job_folder(isolating.settings, isolating.mode, victim)
    assert (Path(home) / "private").read_text() == "mine\n"
    root = sandbox.secrets_root(isolating.settings)
    targets = f"{home}/private {root}/{victim}/TOKEN {isolating.jobs_root}/{victim}/log"
    said = isolating.text(
        f"cat {targets}; ls {isolating.jobs_root}; ls {os.path.dirname(home)}; kill -0 -1 || echo alone"
    )
    assert "mine" not in said
    assert "swordfish" not in said
    assert victim not in said.replace(f"/{victim}/", "").replace(f"/{victim}'", "").replace(f"{victim}:", "")
    isolating.backend.stop(victim, grace=timedelta(0))
    isolating.wait_final(victim)


def test_processes_outside_cannot_be_seen(sandboxed: LocalCluster) -> None:
    said = sandboxed.text("ls /proc | grep -c '^[0-9]'; kill -0 1 2>/dev/null || echo guard is safe")
    count, *rest = said.split(maxsplit=1)
    assert int(count) < 8
    assert rest == ["guard is safe\n"]


def test_the_system_is_read_only(sandboxed: LocalCluster) -> None:
    said = sandboxed.text(
        "for d in /usr /etc /run /sys/devices / ; do touch $d/x 2>/dev/null && echo wrote $d; done; echo end"
    )
    assert said == "end\n"


def test_tmp_is_private(sandboxed: LocalCluster) -> None:
    assert sandboxed.text("echo hi > /tmp/shared-name; ls -A /tmp | grep shared") == "shared-name\n"
    assert sandboxed.text("ls -A /tmp | grep shared || echo none") == "none\n"
    assert not Path("/tmp/shared-name").exists()


def test_shared_memory_works_in_the_sandbox(sandboxed: LocalCluster) -> None:
    code = (
        "from multiprocessing.shared_memory import SharedMemory as S; s=S(create=True,size=9); s.unlink(); print('ok')"
    )
    assert "ok" in sandboxed.text(f'{sandboxed.settings.python} -c "{code}"')


def test_an_interpreter_in_a_closed_folder_works_in_the_sandbox(sandboxed: LocalCluster) -> None:
    """Root's home is 0700 on many machines, and the interpreter may live in it."""
    settings = LocalSettings.parse({**raw_settings(sandboxed.settings), "interpreter": sys.executable})
    backend = LocalBackend(settings)
    name = sandboxed.new_name()
    backend.submit(name, WorkloadSpec(command=("python", "-c", "import sys; print(sys.prefix)"), resources=SMALL))
    sandboxed.wait_final(name)
    assert sandboxed.log(name).decode().strip() == sys.prefix


def test_health_tells_single_tenant_clusters(local: LocalCluster) -> None:
    health = local.backend.health()
    warned = any(warning.startswith("single-tenant:") for warning in health.warnings)
    assert warned == (local.mode == "none")
    assert (Capability.ISOLATES_TENANTS in health.capabilities) == (local.mode != "none")


def test_what_was_asked_for_and_cannot_be_had_is_refused() -> None:
    """Never a weaker sandbox than the operator named."""
    if os.geteuid() != 0 or os.access("/root", os.X_OK) is False:
        pytest.skip("needs root")
    cluster = LocalCluster("user", interpreter="/nonexistent/python")
    try:
        health = cluster.backend.health()
        assert not health.ok
        assert "cannot be had" in health.message
    finally:
        cluster.close()


def _grep(folder: Path, needle: bytes) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and needle in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found
