"""`kill -9` of anything of a real platform, at any point: nothing accepted is lost, nothing runs twice.

The short form runs with the tests; `make kill` (FATHOM_LONG_TESTS=1) adds the downtimes, the rounds and all failpoints.
"""

import gzip
import hashlib
import json
import os
import random
import signal
import time
import urllib.error
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import fathom
from apps.compute.backends.local import rundir
from apps.core import failpoints
from tests.kill.witness import Witness, check_log
from tests.platform import Platform, descendants, prepared_home, wait_for
from tests.sources import servers

pytestmark = [pytest.mark.kill, pytest.mark.timeout(600)]

LONG = bool(os.environ.get("FATHOM_LONG_TESTS"))
ENDED = {"succeeded", "failed", "stopped", "lost"}
LINES = 60

_IN_WORKER = [
    "lease.after_acquire",
    "quota.after_lock",
    "quota.before_commit",
    "quota.after_commit",
    "attempt.after_persist_handle",
    "backend.before_create",
    "backend.after_create",
    "run.before_running_commit",
    "observe.after_exit_seen",
    "finish.before_commit",
    "finish.after_commit",
    "finalizer.before_remove",
    "finalizer.after_remove",
    "release.before_commit",
    "ledger.before_commit",
    "charge.after_commit",
    "log.after_chunk",
    "log.before_eof",
]
_IN_WEB = ["api.after_validate", "api.before_commit", "api.after_commit", "idem.after_insert"]
_SHORT = [
    "quota.after_commit",
    "backend.after_create",
    "finish.before_commit",
    "ledger.before_commit",
    "finalizer.before_remove",
    "api.after_commit",
]


@pytest.fixture
def witness() -> Iterator[Witness]:
    made = Witness()
    yield made
    made.close()


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform(prepared_home())
    made.extra = {"FATHOM_CHARGE_SECONDS": "1"}
    yield made
    made.stop()


class Client:
    """Submits with an Idempotency-Key, and again until it is answered: as the SDK does."""

    def __init__(self, platform: Platform, token: str) -> None:
        self.platform, self.token = platform, token
        self.accepted: dict[str, int] = {}

    def submit(self, spec: dict[str, Any], code: int) -> str:
        key = f"kill-{len(self.accepted)}-{random.random()}"
        made = wait_for(
            lambda: self._try("POST", "/experiments/", spec, key), seconds=90, what="an answer to the submission"
        )
        self.accepted[made["id"]] = code
        identifier: str = made["id"]
        return identifier

    def get(self, path: str) -> Any:
        return wait_for(lambda: self._try("GET", path), seconds=90, what=path)

    def send(self, method: str, path: str, content: bytes, kind: str = "application/json") -> Any:
        """Send something that may safely be sent again, until it is answered."""
        key = f"send-{random.random()}" if kind == "application/json" else ""
        return wait_for(lambda: self._try(method, path, content, key, kind), seconds=90, what=path)

    def _try(self, method: str, path: str, body: Any = None, key: str = "", kind: str = "application/json") -> Any:
        from urllib import request

        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        headers |= {"Idempotency-Key": key} if key else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        asked = request.Request(f"{self.platform.url}/api/v2{path}", data=data, method=method, headers=headers)
        try:
            with request.urlopen(asked, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code not in {503, 409}:  # INV-17: a fault is a 503, never a 500
                raise AssertionError(error.code, error.read()) from error
            return None
        except OSError:
            return None


def begin(platform: Platform, witness: Witness, *, count: int) -> Client:
    client = Client(platform, platform.make_user("alice"))
    platform.manage(_PRICED)
    for number in range(count):
        code = number % 3
        spec = witness.job(seconds=0.3 + 0.25 * (number % 8), lines=LINES, code=code)
        client.submit(
            {**spec, **({"timeout": "10m"} if number % 2 else {})}, code
        )  # the others are paid on short leases
    return client


# A CPU costs a unit a second, and there is a budget that holds the worst case of everything.
_PRICED = """
from apps.access.principal import SYSTEM
from apps.budgets import services
from apps.compute.models import Cluster
from apps.quotas.services import platform_node
services.set_price(Cluster.objects.get(name="local").pk, "cpu", 3_600_000_000, by=SYSTEM)
services.create_budget(platform_node(), cadence="month", policy_name="reserve", amount_micros=10**12, by=SYSTEM)
"""

# What is wrong with the money once everything has ended: each attempt was charged its time, exactly, and holds nothing.
_MONEY = """
from apps.budgets import services
from apps.budgets.models import Period, Hold
from apps.compute.models import Attempt
wrong = list(services.drift())
wrong += [f"held {row.held_micros}" for row in Period.objects.exclude(held_micros=0)]
ended = {row.handle: row for row in Attempt.objects.all()}
for row in Hold.objects.all():
    attempt = ended[row.key]
    took = attempt.finished_at - attempt.started_at if attempt.started_at else None
    ms = 0 if took is None else round(took.total_seconds() * 1000)
    due = row.rate_micros_per_hour * ms // 3_600_000
    if row.closed_at is None or abs(row.posted_micros - due) > 2 * row.rate_micros_per_hour // 3_600_000:
        wrong.append(f"{row.key}: closed {row.closed_at}, posted {row.posted_micros}, due {due}")
print(wrong, len(ended) - Hold.objects.count())
"""


def settle(client: Client, seconds: float = 90) -> None:
    def is_over() -> bool:
        states = [client.get(f"/experiments/{key}/")["state"] for key in client.accepted]
        return all(state in ENDED for state in states)

    wait_for(is_over, seconds=seconds, what="the end of every accepted experiment")


def check(client: Client, witness: Witness) -> None:
    """Compare what the platform says with what the witness saw."""
    for key, code in client.accepted.items():
        seen = client.get(f"/experiments/{key}/")
        assert seen["state"] == ("failed" if code else "succeeded"), _story(client, key)
        assert seen["exit_code"] == code
        assert seen["attempt"] == 1
        assert len(witness.starts[key, "1"]) == 1, "its body began more than once"
        ended = wait_for(lambda key=key: client.get(f"/experiments/{key}/logs/"), what="its log")  # type: ignore[misc]
        log = wait_for(lambda key=key: _whole(client, key), seconds=60, what="the whole log")  # type: ignore[misc]
        assert check_log(log, LINES) == [], ended
        # The cluster's own evidence: after the job's last word, and not when the platform was back to see it.
        late = _epoch(seen["finished_at"]) - witness.ends[key, "1"][0]
        assert -0.01 < late < (1.0 if LONG else 4.0)
    check_books(client.platform)


def _story(client: Client, key: str) -> str:
    seen = client.get(f"/experiments/{key}/")
    events = [
        f"{e['at']} {e['to_state']} {e['reason']} {e['message']}" for e in client.get(f"/experiments/{key}/events/")
    ]
    return "\n".join([f"{seen['state']} {seen['message']}", *events, client.platform.output[-1500:]])


def check_books(platform: Platform) -> None:
    """No reservation leaked, no drift, no process or folder of a job left."""

    left = platform.manage(
        "import time\n"
        "from apps.quotas.models import Reservation, QuotaLimit\n"
        "from apps.quotas import services\n"
        "deadline = time.monotonic() + 60\n"
        "while True:\n"
        "    held = Reservation.objects.filter(released_at=None).exclude(key__startswith='kept:')\n"  # files stay
        "    left = (held.count(), services.drift(),"
        " QuotaLimit.objects.exclude(used=0).exclude(resource='artifacts').count())\n"
        "    if left == (0, [], 0) or time.monotonic() > deadline:\n"
        "        break\n"
        "    time.sleep(0.1)\n"
        "print(*left)"
    )
    assert left.strip() == "0 [] 0", "reservations are left"
    if platform.manage("from apps.budgets.models import Budget; print(Budget.objects.count())").strip() != "0":
        assert platform.manage(_MONEY).strip() == "[] 0"
    jobs = platform.home / "jobs"
    wait_for(lambda: not list(jobs.glob("fth-*")), seconds=60, what="the removal of all job folders")
    assert orphans(platform) == []


def orphans(platform: Platform) -> list[str]:
    found = [str(pid) for pid in _shims(platform)]
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and str(platform.home / "jobs").encode() in (entry / "environ").read_bytes():
                line = (entry / "cmdline").read_bytes()
                if b"FATHOM_ATTEMPT_HANDLE" in (entry / "environ").read_bytes():
                    found.append(line.decode(errors="replace"))
    return found


def _shims(platform: Platform) -> set[int]:
    """Return the shims of the platform's jobs: forked, so without a command line or an environment of their own."""
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            is_shim = (entry / "comm").read_text() == f"{rundir.SHIM_NAME}\n"
            if is_shim and os.readlink(entry / "cwd").startswith(str(platform.home / "jobs")):
                found.add(int(entry.name))
    return found


def _whole(client: Client, key: str) -> str:
    piece = client.get(f"/experiments/{key}/logs/?limit=1048576")
    return str(piece["data"]) if piece["eof"] else ""


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("role", ["web", "worker", "postgres", "valkey"])
def test_kill_one_process_while_jobs_run(role: str, platform: Platform, witness: Witness) -> None:
    platform.start()
    client = begin(platform, witness, count=9)
    for _ in range(6 if LONG else 2):
        time.sleep(random.uniform(0.05, 0.6))
        with suppress(ProcessLookupError):
            os.kill(platform.pid_of(role), signal.SIGKILL)
        client.submit(witness.job(seconds=0.5, lines=LINES), 0)
    settle(client)
    check(client, witness)


@pytest.mark.parametrize("downtime", [0, 5, 60] if LONG else [5])
def test_kill_the_whole_platform(downtime: float, platform: Platform, witness: Witness) -> None:
    platform.start()
    client = begin(platform, witness, count=12)
    wait_for(lambda: len(witness.starts) >= 3, what="some jobs to run")
    outage(platform, downtime)
    settle(client)
    check(client, witness)


def outage(platform: Platform, downtime: float) -> None:
    """Kill every process of the platform, and start it again after `downtime` seconds."""
    assert platform.process is not None
    for pid in [platform.process.pid, *_own(platform)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    platform.process.wait()
    time.sleep(downtime)
    platform.start()


def _own(platform: Platform) -> list[int]:
    """Return the platform's processes, without the jobs', which live in sessions of their own."""
    assert platform.process is not None
    jobs = str(platform.home / "jobs").encode()
    found = []
    for pid in set(descendants(platform.process.pid)) - _shims(platform):
        with suppress(OSError):
            if jobs not in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.parametrize("name", [*_IN_WORKER, *_IN_WEB] if LONG else _SHORT)
def test_die_at_a_failpoint(name: str, platform: Platform, witness: Witness, tmp_path: Path) -> None:
    assert name in failpoints.NAMES
    fired = tmp_path / "fired"
    fired.mkdir()
    platform.extra |= {"FATHOM_FAILPOINTS": f"{name}=kill*2", "FATHOM_FAILPOINT_ONCE_DIR": str(fired)}
    platform.start()
    client = begin(platform, witness, count=6)
    settle(client)
    wait_for(lambda: (fired / name).exists(), seconds=30, what=f"{name} to be passed twice")
    check(client, witness)


@pytest.mark.skipif(not LONG, reason="make kill")
@pytest.mark.parametrize("downtime", [5, 60])
@pytest.mark.parametrize("name", [*_IN_WORKER, *_IN_WEB])
def test_die_at_a_failpoint_and_stay_away(
    name: str, downtime: float, platform: Platform, witness: Witness, tmp_path: Path
) -> None:
    fired = tmp_path / "fired"
    fired.mkdir()
    platform.extra |= {"FATHOM_FAILPOINTS": f"{name}=kill*2", "FATHOM_FAILPOINT_ONCE_DIR": str(fired)}
    platform.start()
    with ThreadPoolExecutor(1) as pool:  # whoever submits is answered after the outage
        begun = pool.submit(begin, platform, witness, count=6)
        wait_for(lambda: (fired / name).exists(), seconds=300, what=f"{name} to be passed twice")
        outage(platform, downtime)
        client = begun.result()
    settle(client)
    check(client, witness)


def arm(platform: Platform, name: str, tmp_path: Path) -> Path:
    """Let the first process that passes the failpoint die there; return what tells that one did."""
    fired = tmp_path / "fired"
    fired.mkdir()
    platform.extra |= {"FATHOM_FAILPOINTS": f"{name}=kill", "FATHOM_FAILPOINT_ONCE_DIR": str(fired)}
    platform.start()
    return fired / name


@pytest.mark.skipif(not LONG, reason="make kill")
@pytest.mark.parametrize("name", ["cancel.after_desired", "cancel.after_kill"])
def test_die_while_cancelling(name: str, platform: Platform, witness: Witness, tmp_path: Path) -> None:
    fired = arm(platform, name, tmp_path)
    client = Client(platform, platform.make_user("alice"))
    key = client.submit({"command": "sleep 100", "grace": "1s", "env": {"WITNESS": "cancel-me"}}, 0)
    wait_for(lambda: client.get(f"/experiments/{key}/")["state"] == "running", what="it to run")
    client.send("POST", f"/experiments/{key}/stop/", b'{"reason": "test"}')
    wait_for(lambda: client.get(f"/experiments/{key}/")["state"] == "stopped", seconds=60, what="it to be stopped")
    assert fired.exists()
    assert _alive() == []
    check_books(platform)


@pytest.mark.skipif(not LONG, reason="make kill")
def test_die_after_building_an_environment(platform: Platform, witness: Witness, tmp_path: Path) -> None:
    """What waited for it starts, once, on what stands there: its lease has run out, and it is found whole."""
    fired = arm(platform, "environment.after_build", tmp_path)
    client = Client(platform, platform.make_user("alice"))
    client.send("POST", "/environments/", b'{"name": "bare"}')
    for _ in range(3):
        client.submit({**witness.job(seconds=0.3, lines=LINES, code=0), "environment": "bare"}, 0)
    settle(client, seconds=150)
    assert fired.exists()
    check(client, witness)


@pytest.mark.skipif(not LONG, reason="make kill")
def test_die_after_fetching_code(platform: Platform, witness: Witness, tmp_path: Path) -> None:
    """It is fetched once more, to the same blob, and what waited for it starts once."""
    with servers.web_server(tmp_path) as web:
        servers.repository(tmp_path, "bare", {"README": "nothing\n"})
        platform.extra |= {"FATHOM_FETCH_NETWORKS": "127.0.0.0/8", "FATHOM_FETCH_CA_FILE": str(web.ca)}
        fired = arm(platform, "source.after_fetch_before_row", tmp_path)
        client = Client(platform, platform.make_user("alice"))
        code = {"git": {"url": web.url("git/bare.git")}}
        client.submit({**witness.job(seconds=0.3, lines=LINES, code=0), "code": code}, 0)
        settle(client, seconds=150)
        assert fired.exists()
        check(client, witness)


@pytest.mark.skipif(not LONG, reason="make kill")
@pytest.mark.parametrize(
    "name", ["code.after_write_before_row", "artifact.after_write_before_row", "metrics.before_commit"]
)
def test_die_while_something_is_sent(name: str, platform: Platform, tmp_path: Path) -> None:
    fired = arm(platform, name, tmp_path)
    client = Client(platform, platform.make_user("alice"))
    content = gzip.compress(random.randbytes(100_000))
    ref = f"sha256:{hashlib.sha256(content).hexdigest()}"
    client.send("PUT", f"/code/{ref}/", content, "application/gzip")
    run = client.send("POST", "/runs/", b'{"name": "tracked"}')["id"]
    client.send("PUT", f"/runs/{run}/artifacts/model.bin", content, "application/octet-stream")
    points = [{"key": "loss", "value": n / 7, "step": n, "time": 1_700_000_000_000 + n} for n in range(1000)]
    client.send(
        "POST", f"/runs/{run}/log-batch/", json.dumps({"batch_id": str(uuid.uuid4()), "metrics": points}).encode()
    )
    assert fired.exists()
    assert client.get(f"/code/{ref}/")["size_bytes"] == len(content)
    (artifact,) = client.get(f"/runs/{run}/artifacts/")["results"]
    assert (artifact["size_bytes"], artifact["sha256"]) == (len(content), ref.removeprefix("sha256:"))
    counted = platform.manage("from apps.tracking.models import MetricPoint; print(MetricPoint.objects.count())")
    assert counted.strip() == "1000"


@pytest.mark.parametrize("name", ["upload.after_part", "upload.after_join_before_row"])
def test_die_while_a_large_file_is_sent(name: str, platform: Platform, tmp_path: Path) -> None:
    """The sender sees nothing of it but a pause: what had arrived is not sent again, and the file is whole or not there."""
    fired = arm(platform, name, tmp_path)
    content, source = random.randbytes(20 << 20), tmp_path / "large.bin"
    source.write_bytes(content)
    with fathom.Client(platform.url, platform.make_user("alice"), retry_seconds=90) as client:
        run = client.runs.create(name="large").id
        artifact = client.runs.put_artifact(run, source, "large.bin")
        assert fired.exists()
        assert artifact is not None
        assert artifact.sha256 == hashlib.sha256(content).hexdigest()
        assert client.runs.get_artifact(run, "large.bin", tmp_path / "back").read_bytes() == content
        assert [item.path for item in client.runs.walk_artifacts(run)] == ["large.bin"]
    counted = "from apps.quotas.models import Reservation; print(Reservation.objects.get(key__startswith='kept:').amounts['artifacts'])"
    assert platform.manage(counted).strip() == str(len(content))
    check_books(platform)


@pytest.mark.parametrize("name", ["garbage.before_delete", "garbage.after_delete"])
def test_die_while_collecting(name: str, platform: Platform, tmp_path: Path) -> None:
    """What was being swept is swept by the next collection, and the same bytes can be kept again."""
    platform.start()
    client = Client(platform, platform.make_user("alice"))
    run = client.send("POST", "/runs/", b'{"name": "tracked"}')["id"]
    client.send("PUT", f"/runs/{run}/artifacts/a", b"garbage", "text/plain")
    platform.api(client.token, "DELETE", f"/runs/{run}/artifacts/a")
    platform.manage(
        "from datetime import timedelta; from django.utils import timezone; from apps.storage.models import Blob\n"
        "old = timezone.now() - timedelta(days=100)\n"
        "Blob.objects.update(touched_at=old - timedelta(days=1), doomed_at=old)\n"
    )
    collect = "from apps.access.principal import SYSTEM; from apps.storage import services; print(services.collect(by=SYSTEM))"
    platform.extra |= {"FATHOM_FAILPOINTS": f"{name}=kill"}
    with pytest.raises(AssertionError):
        platform.manage(collect)
    del platform.extra["FATHOM_FAILPOINTS"]
    assert "1 swept" in platform.manage(collect)
    client.send("PUT", f"/runs/{run}/artifacts/a", b"garbage", "text/plain")
    (artifact,) = client.get(f"/runs/{run}/artifacts/")["results"]
    blob = platform.home / "blobs" / "sha256" / artifact["sha256"][:2] / artifact["sha256"][2:]
    assert blob.read_bytes() == b"garbage"


@pytest.mark.skipif(not LONG, reason="make kill")
def test_die_while_sweeping(platform: Platform, tmp_path: Path) -> None:
    """What nobody owns is removed, also by the worker after the one that died over it."""
    fired = arm(platform, "sweep.before_delete", tmp_path)
    orphan = "fth-0123456789abcdef-1"
    platform.manage(
        "from apps.compute import registry\n"
        "from apps.compute.contract import Resources, WorkloadSpec\n"
        "from apps.compute.models import Cluster\n"
        "cluster = Cluster.objects.get(name='local')\n"
        "spec = WorkloadSpec(command=('sleep', '1000'), env={'WITNESS': 'cancel-me'}, resources=Resources(cpu_milli=100))\n"
        f"registry.connect(cluster.kind, cluster.settings).submit({orphan!r}, spec)\n"
    )
    wait_for(_alive, what="its process")
    folder = platform.home / "jobs" / orphan
    assert folder.exists()
    wait_for(lambda: not folder.exists(), seconds=200, every=0.5, what="the removal of the orphan")
    assert fired.exists()
    assert _alive() == []


STUBBORN = {
    "ignores TERM": "trap '' TERM; sleep 100",
    "forks": "trap '' TERM; (trap '' TERM; sleep 100) & sleep 100",
    "setsid": "setsid sh -c \"trap '' TERM; sleep 100\" & trap '' TERM; sleep 100",
    "double fork": """python -c "
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    os.fork()
time.sleep(100)
" """,
}


def test_cancel_leaves_nothing_alive(platform: Platform) -> None:
    platform.start()
    client = Client(platform, platform.make_user("alice"))
    for name, command in STUBBORN.items():
        spec = {"name": name, "command": command, "grace": "1s", "env": {"WITNESS": "cancel-me"}}
        key = client.submit({**spec, "resources": {"cpu": "500m"}}, 0)
        wait_for(lambda key=key: client.get(f"/experiments/{key}/")["state"] == "running", what="it to run")  # type: ignore[misc]
        wait_for(_alive, what="its processes")
        platform.api(client.token, "POST", f"/experiments/{key}/stop/", {"reason": "test"})
        # Grace + 5 s, where nothing else runs; among other tests: before they would end by themselves.
        wait_for(lambda: not _alive(), seconds=6, what=f"the death of all processes of {name!r} (grace + 5 s)")
        wait_for(lambda key=key: client.get(f"/experiments/{key}/")["state"] == "stopped", what="it to be stopped")  # type: ignore[misc]
    check_books(platform)


def _alive() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and b"WITNESS=cancel-me" in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found
