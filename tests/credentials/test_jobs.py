"""What real jobs on this machine find of their credentials, and what others do not."""

import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.access.principal import SYSTEM
from apps.compute import logs
from apps.compute import services as compute
from apps.compute.backends.local import sandbox
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.choices import TERMINAL
from apps.compute.models import Cluster, Workload
from apps.compute.reconcile.turn import run_turn
from apps.credentials import services
from apps.experiments.models import Experiment
from tests.credentials.conftest import CANARY
from tests.credentials.kdc import MISSING, REALM, Kdc, running_kdc
from tests.factories import LONG_AGO, attempt_of, fresh
from tests.people import Cast, submit

ENOUGH = 60.0


class Machine:
    """A cluster of real processes, and the loop turned by hand."""

    def __init__(self) -> None:
        # Not pytest's folder: jobs are other users, to whom that one is closed.
        self.folder = Path(tempfile.mkdtemp(prefix="fathom-jobs-"))
        self.folder.chmod(0o755)
        chosen = {"jobs_root": str(self.folder / "jobs"), "interpreter": "/usr/bin/python3"}
        self.settings = LocalSettings.parse(chosen)
        self.cluster = compute.save_cluster(Cluster(name="machine", kind="local", settings=chosen), by=SYSTEM)

    def submit(self, by: Any, script: str, **spec: Any) -> Experiment:
        return submit(by, **{"command": script, "cluster": {"name": "machine"}, **spec})

    def run(self, by: Any, script: str, **spec: Any) -> tuple[Workload, str]:
        """Run a script to its end; return the workload and its log."""
        experiment = self.submit(by, script, **spec)
        self.turn_until(lambda: fresh(experiment).state in TERMINAL and self.log_of(experiment)[1])
        return fresh(experiment), self.log_of(experiment)[0]

    def log_of(self, experiment: Experiment) -> tuple[str, bool]:
        piece = logs.read(attempt_of(experiment), offset=0, limit=1 << 20)
        return piece.data.decode("utf-8", "replace"), piece.eof

    def turn_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + ENOUGH
        while not condition():
            assert time.monotonic() < deadline, list(Workload.objects.values_list("state", "message"))
            Workload.objects.exclude(next_reconcile_at=None).update(next_reconcile_at=LONG_AGO, lease_until=None)
            run_turn("test")
            time.sleep(0.01)

    def close(self) -> None:
        for root in (sandbox.secrets_root(self.settings), sandbox.scratch_root(self.settings)):
            if root is not None:
                shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def machine(db: None) -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def kdc() -> Iterator[Kdc]:
    if MISSING:
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory(prefix="fathom-kdc-") as folder, running_kdc(Path(folder)) as running:
        yield running


def _keytab(cast: Cast, kdc: Kdc, content: bytes, **more: str) -> None:
    values = {"principal": f"robot@{REALM}", "keytab": base64.b64encode(content).decode(), "kdc": kdc.address, **more}
    services.create_credential("kerb", "keytab", values, by=cast.alice)


def test_a_job_has_a_ticket_before_its_command_begins(cast: Cast, machine: Machine, kdc: Kdc) -> None:
    keytab = kdc.keytab("robot")
    _keytab(cast, kdc, keytab)
    script = (
        'klist; echo "$KRB5CCNAME"; stat -c %a "${KRB5CCNAME#FILE:}"; base64 -w0 "$KERB_KEYTAB_FILE"; echo; kdestroy'
    )
    workload, log = machine.run(cast.alice, script, credentials=[{"name": "kerb"}])
    assert workload.state == "succeeded", log
    assert f"Default principal: robot@{REALM}" in log
    assert f"krbtgt/{REALM}@{REALM}" in log
    assert "/tmp/krb5cc\n600\n***" in log
    for form in (base64.b64encode(keytab).decode().rstrip("="), keytab.hex()):
        assert form not in log
        assert form not in str(Workload.objects.values_list("template", "message"))


def test_a_profile_of_ones_own(cast: Cast, machine: Machine, kdc: Kdc) -> None:
    profile = f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n[realms]\n {REALM} = {{\n  kdc = {kdc.address}\n }}\n"
    values = {"principal": f"own@{REALM}", "keytab": base64.b64encode(kdc.keytab("own")).decode(), "krb5_conf": profile}
    services.create_credential("kerb", "keytab", values, by=cast.alice)
    workload, log = machine.run(cast.alice, "klist", credentials=[{"name": "kerb"}])
    assert (workload.state, f"own@{REALM}" in log) == ("succeeded", True), log


def test_a_wrong_keytab_fails_the_attempt_with_the_reason(cast: Cast, machine: Machine, kdc: Kdc) -> None:
    old = kdc.keytab("robot")
    kdc.keytab("robot")  # the key is another now
    _keytab(cast, kdc, old)
    workload, log = machine.run(cast.alice, "echo the command was started", credentials=[{"name": "kerb"}])
    assert (workload.state, workload.reason, workload.exit_code) == ("failed", "KinitFailed", services.KINIT_FAILED)
    assert "kinit failed before the command was started" in workload.message
    assert f"[fathom] kinit failed for robot@{REALM}; the command was not started" in log
    assert "\nthe command was started" not in log
    assert "kinit:" in log


def test_a_keytab_that_is_none(cast: Cast, machine: Machine, kdc: Kdc) -> None:
    _keytab(cast, kdc, b"this is no keytab")
    workload, _ = machine.run(cast.alice, "true", credentials=[{"name": "kerb"}])
    assert (workload.state, workload.reason) == ("failed", "KinitFailed")


def test_the_same_exit_code_of_a_job_without_keytab_is_its_own(cast: Cast, machine: Machine) -> None:
    workload, _ = machine.run(cast.alice, f"exit {services.KINIT_FAILED}")
    assert (workload.state, workload.reason) == ("failed", "ExitCode")


def test_the_command_behind_kinit_keeps_its_words_and_exit_code(cast: Cast, machine: Machine, kdc: Kdc) -> None:
    _keytab(cast, kdc, kdc.keytab("robot"))
    words = ["/bin/sh", "-c", 'printf "<%s>" "$@"; exit 7', "x", "a b", "", "$HOME", "'\"", "*"]
    workload, log = machine.run(cast.alice, "", command=words, credentials=[{"name": "kerb"}])
    assert (workload.exit_code, log) == (7, "<a b><><$HOME><'\"><*>")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_finds_user_name_and_token_by_itself(cast: Cast, machine: Machine) -> None:
    for name, host in (("one", "one.example.org"), ("two", "two.example.org:8443")):
        values = {"host": host, "username": f"robot-{name}", "token": f"{CANARY}-{name}"}
        services.create_credential(name, "git_https", values, by=cast.alice)
    ask = 'printf "protocol=https\\nhost=%s\\n\\n" "$1" | GIT_TERMINAL_PROMPT=0 git credential fill | rev'
    script = f"ask() {{ {ask}; }}; ask one.example.org; ask two.example.org:8443; ask three.example.org; true"
    workload, log = machine.run(cast.alice, script, credentials=[{"name": "one"}, {"name": "two"}])
    said = [line[::-1] for line in log.splitlines()]
    assert workload.state == "succeeded", log
    assert [line for line in said if line.startswith(("username=", "password="))] == [
        "username=robot-one",
        f"password={CANARY}-one",
        "username=robot-two",
        f"password={CANARY}-two",
    ]


def test_ssh_is_given_key_and_known_hosts(cast: Cast, machine: Machine) -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdefghijklmnopqrst\n-----END OPENSSH PRIVATE KEY-----\n"
    values = {"host": "git.example.org", "known_hosts": "git.example.org ssh-ed25519 AAAA", "private_key": key}
    services.create_credential("deploy", "git_ssh", values, by=cast.alice)
    script = 'ssh() { for word; do echo "$word"; done; }; eval "$GIT_SSH_COMMAND git@git.example.org"; stat -c %a "$DEPLOY_PRIVATE_KEY_FILE"'
    workload, log = machine.run(cast.alice, script, credentials=[{"name": "deploy"}])
    assert workload.state == "succeeded", log
    lines = log.splitlines()
    assert lines[1].endswith("/DEPLOY_PRIVATE_KEY")
    assert lines[-3].endswith("/DEPLOY_KNOWN_HOSTS")
    assert lines[-2:] == ["git@git.example.org", "400"]


def test_a_secret_is_a_private_file_and_masked_in_every_form(cast: Cast, machine: Machine) -> None:
    services.create_credential("g", "generic", {"value": f"{CANARY}/+ ?"}, by=cast.alice)
    services.create_credential("db", "database", {"url": f"postgresql://robot:{CANARY}%21@h/x"}, by=cast.alice)
    script = """
stat -c %a "$G_VALUE_FILE"; cat "$G_VALUE_FILE"; echo
python3 - <<'END'
import base64, os, urllib.parse
value = open(os.environ["G_VALUE_FILE"], "rb").read()
print(base64.b64encode(b"user:" + value), base64.urlsafe_b64encode(value), value.hex(), urllib.parse.quote(value))
print(open(os.environ["DB_URL_FILE"]).read(), open(os.environ["DB_PASSWORD_FILE"]).read())
END
env | grep -c canary; cat /proc/self/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c 'canary-9' || true
"""
    workload, log = machine.run(cast.alice, script, credentials=[{"name": "g"}, {"name": "db"}])
    assert workload.state == "succeeded", log
    assert log.startswith("400\n***\n")
    for form in (CANARY, CANARY.encode().hex(), base64.b64encode(CANARY.encode()).decode()[:-4]):
        assert form not in log
    assert log.splitlines()[3] == "*** ***"


def test_another_job_finds_nothing(cast: Cast, machine: Machine) -> None:
    if sandbox.isolation(machine.settings).mode == "none":
        pytest.skip("this machine keeps no tenants apart")
    services.create_credential("g", "generic", {"value": CANARY}, by=cast.alice)
    victim = machine.submit(cast.alice, "echo ready; sleep 3600", credentials=[{"name": "g"}])
    machine.turn_until(lambda: fresh(victim).state == "running")
    root = sandbox.secrets_root(machine.settings)
    assert root is not None
    files = list(root.rglob("G_VALUE"))
    assert [file.read_text() for file in files] == [CANARY]
    # A job spells the word backwards, so that masking, which is not at work in it, could not hide it either.
    script = f"""
cat /proc/*/environ /proc/*/cmdline /proc/*/root{files[0]} {files[0]} 2>/dev/null | tr '\\0' '\\n' | rev
grep -rs . {root} /run/fathom 2>/dev/null | rev; ls -R {root} /run/fathom/secrets 2>/dev/null | rev; true
"""
    workload, log = machine.run(cast.charlie, script)
    assert workload.state == "succeeded", log
    assert "HTAP" in log
    assert CANARY[::-1] not in log
    compute.force_stop(fresh(victim), by=SYSTEM, reason="the test is over")
    machine.turn_until(lambda: fresh(victim).state in TERMINAL)
    assert not list(root.rglob("G_VALUE"))
