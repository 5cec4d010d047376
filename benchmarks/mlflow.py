"""MLflow's wire beside MLflow's own server: same machine, the same PostgreSQL twice, the two by turns. `python -m benchmarks.mlflow`.

Fathom has authentication and permissions on, MLflow has neither, and with `--basic-auth` its own, with its cache; it is
given uvloop. Both hold the same runs, written by SQL, and both are asked with the same bytes. Needs `make mlflow-server`.
"""

import argparse
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.load import Client, per_second
from config.embedded.postgres import Postgres
from tests.platform import REPOSITORY, Platform, descendants, free_port, proportional_memory, wait_for

PREFIX = "/api/2.0/mlflow"
SERVER = REPOSITORY / "build" / "mlflow" / "server" / "bin" / "mlflow"
ROUNDS = 3
POINTS = 100_000
_VERSIONS = 20  # of each client, into a model of its own

_KEYS = "unnest(ARRAY['loss', 'acc', 'f1', 'auc']) AS k"
_FATHOM = f"""
INSERT INTO tracking_run (id, owner_id, project_id, visibility, name, status, started_at, created_at)
SELECT gen_random_uuid(), owner_id, id, visibility, 'run ' || n, 'finished', now() - (%(runs)s - n) * interval '1 second', now()
FROM tracking_project, generate_series(1, %(runs)s) AS n WHERE number = %(experiment)s;
INSERT INTO tracking_metricseries (run_id, project_id, key, count, last_value, last_step, last_time)
SELECT id, project_id, k, 1, random(), 0, now() FROM tracking_run, {_KEYS} WHERE name LIKE 'run %%';
INSERT INTO tracking_param (run_id, project_id, key, value)
SELECT id, project_id, k, (random() * 10)::int::text FROM tracking_run, {_KEYS} WHERE name LIKE 'run %%';
INSERT INTO tracking_tag (run_id, project_id, key, value)
SELECT id, project_id, 'group', (random() * 5)::int::text FROM tracking_run WHERE name LIKE 'run %%';
"""
_MLFLOW = f"""
INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id, user_id, source_type)
SELECT replace(gen_random_uuid()::text, '-', ''), 'run ' || n, 'FINISHED', 1700000000000 + n * 1000, 1700000000000 + n * 1000, 'active',
    'mlflow-artifacts:/x', %(experiment)s, 'x', 'UNKNOWN' FROM generate_series(1, %(runs)s) AS n;
INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
SELECT run_uuid, k, random(), 0, 0, false FROM runs, {_KEYS} WHERE name LIKE 'run %%';
INSERT INTO params (run_uuid, key, value) SELECT run_uuid, k, (random() * 10)::int::text FROM runs, {_KEYS} WHERE name LIKE 'run %%';
INSERT INTO tags (run_uuid, key, value) SELECT run_uuid, 'group', (random() * 5)::int::text FROM runs WHERE name LIKE 'run %%';
"""


@dataclass
class Side:
    """One of the two servers, with an experiment of its own and a run in it."""

    name: str
    url: str
    token: str
    memory: Callable[[], int]
    starts: Callable[[], float]  # again, on what is there already; returns the seconds until it answers
    experiment: str = ""
    run: str = ""

    def client(self) -> Client:
        return Client(self.url, self.token, prefix=PREFIX)

    def post(self, path: str, **body: Any) -> Any:
        return self.client().call("POST", path, json.dumps(body).encode())

    def prepare(self) -> None:
        self.experiment = self.post("/experiments/create", name="bench")["experiment_id"]
        self.run = self.post("/runs/create", experiment_id=self.experiment, start_time=1)["run"]["info"]["run_id"]
        for number in range(8):
            self.post("/registered-models/create", name=f"bench-{number}")


@dataclass(frozen=True)
class Line:
    """What is measured of both sides; `better` is the factor that is wanted, `bar` the figure."""

    name: str
    unit: str
    work: Callable[[Side], float]
    better: float
    bar: float

    @property
    def is_cost(self) -> bool:
        return self.unit in {"ms", "MB"}


def _rate(side: Side, body: Callable[[Side, int], tuple[str, str, bytes]], each: int, per_call: int = 1) -> float:
    def work(client: Client, number: int) -> None:
        client.call(*body(side, number))

    first = f"/experiments/get?experiment_id={side.experiment}"
    return per_call * per_second(side.url, side.token, clients=8, each=each, work=work, prefix=PREFIX, first=first)


def _new_run(side: Side, number: int) -> tuple[str, str, bytes]:
    tags = [{"key": "mlflow.user", "value": "x"}, {"key": "mlflow.source.name", "value": "train.py"}]
    body = {
        "experiment_id": side.experiment,
        "start_time": 1_700_000_000_000 - number,
        "run_name": f"n{number}",
        "tags": tags,
    }
    return "POST", "/runs/create", json.dumps(body).encode()


def _one_metric(side: Side, number: int) -> tuple[str, str, bytes]:
    body = {"run_id": side.run, "key": "one", "value": 0.5, "timestamp": time.time_ns() // 1_000_000, "step": number}
    return "POST", "/runs/log-metric", json.dumps(body).encode()


def _batch(side: Side, number: int) -> tuple[str, str, bytes]:
    now = time.time_ns() // 1_000_000
    points = [
        {"key": f"m{n % 10}", "value": n / 7, "timestamp": now + n, "step": number * 100 + n // 10} for n in range(1000)
    ]
    return "POST", "/runs/log-batch", json.dumps({"run_id": side.run, "metrics": points}).encode()


def _one_run(side: Side, _number: int) -> tuple[str, str, bytes]:
    return "GET", f"/runs/get?run_id={side.run}", b""


def _version(side: Side, number: int) -> tuple[str, str, bytes]:
    source = f"mlflow-artifacts:/{side.experiment}/{side.run}/artifacts/model"
    body = {"name": f"bench-{number // _VERSIONS}", "source": source, "run_id": side.run}
    return "POST", "/model-versions/create", json.dumps(body).encode()


def _time(side: Side, method: str, path: str, times: int, **body: Any) -> float:
    client, data = side.client(), json.dumps(body).encode() if body else b""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        client.call(method, path, data)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def _search(side: Side, times: int = 7, **more: Any) -> float:
    return _time(side, "POST", "/runs/search", times, experiment_ids=[side.experiment], max_results=50, **more)


LINES = [
    Line("create-run, 8 clients", "/s", lambda side: _rate(side, _new_run, 20), 2, 400),
    Line("log-batch of 1,000, 8 clients", "metrics/s", lambda side: _rate(side, _batch, 4, 1000), 5, 60_000),
    Line("log-metric, 8 clients", "/s", lambda side: _rate(side, _one_metric, 25), 2, 500),
    Line("get-run, 8 clients", "/s", lambda side: _rate(side, _one_run, 25), 2, 0),
    Line("model version create, 8 clients", "/s", lambda side: _rate(side, _version, _VERSIONS), 3, 300),
    Line("search, filter and order", "ms", lambda side: _search(side, filter="metrics.loss < 0.5", order_by=["metrics.acc DESC"]), 10, 15),
    Line("search, recent", "ms", _search, 5, 10),
    Line("start again until it answers", "ms", lambda side: side.starts() * 1000, 2, 4_000),
    Line("memory without the database, idle", "MB", lambda side: side.memory() / 1e6, 2, 400),
    Line("history of 100,000 points", "ms", lambda side: _time(side, "GET", f"/metrics/get-history?run_id={side.run}&metric_key=long", 1), 8, 400),
]  # fmt: skip


@contextmanager
def postgres(home: Path) -> Iterator[str]:
    """Run another PostgreSQL just like Fathom's own; yield its address."""
    for name in ("run", "log"):
        (home / name).mkdir(mode=0o700, parents=True)
    server = Postgres(home)
    server.prepare()
    running = server.start(on_parent_death=signal.SIGQUIT)
    try:
        server.wait(running)
        yield server.url
    finally:
        running.send_signal(signal.SIGQUIT)
        running.wait(30)


class Mlflow:
    """`mlflow server` on a database."""

    def __init__(self, database: str, folder: Path, *, has_accounts: bool) -> None:
        self._folder = folder
        port = free_port()
        self.url, self.login = f"http://127.0.0.1:{port}", "none"
        options = ["--backend-store-uri", database, "--artifacts-destination", str(folder), "--port", str(port)]
        self._environment = dict(os.environ)
        if has_accounts:
            password = secrets.token_hex(12)
            self.login = f"admin:{password}"
            ini = folder / "auth.ini"
            ini.write_text(_ACCOUNTS.format(database=f"sqlite:///{folder / 'accounts.db'}", password=password))
            self._environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_FLASK_SERVER_SECRET_KEY": password}
            options += ["--app-name", "basic-auth"]
        self._command = [str(SERVER), "server", *options]
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, after an end if it runs; return the seconds until it answers."""
        self.stop()
        began = time.monotonic()
        with (self._folder / "mlflow.out").open("ab") as out:
            running = self._running = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=out, stderr=out, start_new_session=True
            )
        wait_for(lambda: running.poll() is not None or _is_up(self.url), seconds=180, every=0.05, what="MLflow")
        assert running.poll() is None, (self._folder / "mlflow.out").read_text()[-2000:]
        return time.monotonic() - began

    def memory(self) -> int:
        assert self._running is not None
        return proportional_memory([self._running.pid, *descendants(self._running.pid)])

    def stop(self) -> None:
        if self._running is None or self._running.poll() is not None:
            return
        left = descendants(self._running.pid)  # some have sessions of their own and outlive it
        os.killpg(self._running.pid, signal.SIGTERM)
        self._running.wait(30)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Fathom:
    """A platform, of which what is not a database is weighed."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def start(self) -> float:
        self._platform.stop()
        began = time.monotonic()
        self._platform.start()
        return time.monotonic() - began

    def memory(self) -> int:
        return proportional_memory([pid for pid in self._platform.processes() if not _is_database(pid)])


def _is_database(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"postgres" in command.split(b"\0")[0] or b"valkey" in command.split(b"\0")[0]


_ACCOUNTS = """[mlflow]
default_permission = READ
database_uri = {database}
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _seed(address: str, sql: str, side: Side, runs: int) -> None:
    for part in range(POINTS // 1000):
        points = [
            {"key": "long", "value": n / 3, "timestamp": n + 1, "step": n}
            for n in range(part * 1000, part * 1000 + 1000)
        ]
        side.post("/runs/log-batch", run_id=side.run, metrics=points)
    with psycopg.connect(address, autocommit=True) as opened:
        for statement in sql.split(";")[:-1]:
            opened.execute(statement, {"runs": runs, "experiment": int(side.experiment)} if "%(" in statement else {})
        opened.execute("VACUUM ANALYZE")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=int, nargs="?", default=100_000)
    parser.add_argument("--basic-auth", action="store_true", help="MLflow with its own accounts and their cache")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fathom-mlflow-") as name:
        platform = Platform(Path(name) / "home")
        platform.start()
        try:
            ours = json.loads((platform.home / "run" / "env.json").read_text())["DATABASE_URL"]
            with postgres(Path(name) / "other") as theirs:
                peer, own = Mlflow(theirs, Path(name), has_accounts=asked.basic_auth), Fathom(platform)
                try:
                    peer.start()
                    sides = [
                        Side("Fathom", platform.url, platform.make_user("bench"), own.memory, own.start),
                        Side("MLflow", peer.url, peer.login, peer.memory, peer.start),
                    ]
                    for side, address, sql in zip(sides, (ours, theirs), (_FATHOM, _MLFLOW), strict=True):
                        side.prepare()
                        _seed(address, sql, side, asked.runs)
                    print(_table(sides, asked.runs))
                finally:
                    peer.stop()
        finally:
            platform.stop()
    return 0


def _table(sides: list[Side], runs: int) -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"{runs:,} runs, {ROUNDS} rounds by turns, load {load}",
        "",
        "| what | Fathom | MLflow | factor | wanted | figure wanted |",
        "|---|---|---|---|---|---|",
    ]
    for line in LINES:
        found: dict[str, list[float]] = {side.name: [] for side in sides}
        for _ in range(ROUNDS):
            for side in sides:
                found[side.name].append(line.work(side))
        ours, theirs = (statistics.median(found[side.name]) for side in sides)
        factor = theirs / ours if line.is_cost else ours / theirs
        figure = f"{'≤' if line.is_cost else '≥'} {line.bar:,} {line.unit}" if line.bar else "-"
        lines.append(
            f"| {line.name} | {ours:,.1f} {line.unit} | {theirs:,.1f} {line.unit} | {factor:.1f} | {line.better} | {figure} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
