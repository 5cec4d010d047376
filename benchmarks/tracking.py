"""Metrics in, charts and lists out."""

import json
import statistics
import time
import uuid

from benchmarks.load import Client, per_second
from benchmarks.report import Result, median_of
from tests.platform import Platform

_BATCH = 1000
_SEED = """
from benchmarks import seed
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.accounts import services as accounts
from apps.teams import services as teams
from apps.tracking import services as tracking
from apps.compute.models import Cluster
from apps.tracking.models import Run
organization = teams.create_organization(slug="bench", name="Bench", by=SYSTEM)
made = [teams.create_team(organization, slug=f"bench-{n}", name=f"Bench {n}", by=SYSTEM) for n in range(10)]
people = [accounts.create_user(f"bench{n}", by=SYSTEM) for n in range(10)]
reader = accounts.create_user("reader", by=SYSTEM)
teams.set_member(made[0], reader, role="viewer", by=SYSTEM)
project = tracking.create_project("bench", by=people[0])
seed.experiments(100_000, owners=people, teams=made, project=project, cluster=Cluster.objects.get(name="local"))
own = tracking.create_project("own", by=reader)
run = tracking.create_run(own, by=reader, name="curve")
seed.metric_points(run, "loss", 100_000)
print(accounts.issue_token(reader, by=SYSTEM, name="bench")[1], run.pk)
"""
_COPY_FLOOR = """
import time
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TEMP TABLE floor (series_id bigint, ordinal bigint, step bigint, time timestamptz, value float8, PRIMARY KEY (series_id, ordinal))")
    began = time.perf_counter()
    for batch in range(200):
        cursor.execute("INSERT INTO floor SELECT %s, n, n, now(), n FROM generate_series(1, 1000) AS n", [batch])
    print(200 * 1000 / (time.perf_counter() - began))
"""


def ingestion(platform: Platform, token: str) -> Result:
    """Batches of 1,000 metrics from 8 clients, each into a run of its own."""
    client = Client(platform.url, token)
    runs = [
        client.call("POST", "/runs/", json.dumps({"project": "default", "name": f"bench {n}"}).encode())["id"]
        for n in range(8)
    ]
    columns = {
        "key": [f"metric{n % 10}" for n in range(_BATCH)],
        "value": [n / 7 for n in range(_BATCH)],
        "step": [n // 10 for n in range(_BATCH)],
        "time": [1_700_000_000_000 + n for n in range(_BATCH)],
    }
    text = json.dumps({"metrics": columns})[1:]

    def send(client: Client, number: int) -> None:
        body = f'{{"batch_id": "{uuid.uuid4()}", {text}'.encode()
        client.call("POST", f"/runs/{runs[number // each]}/log-batch/", body)

    each = 60

    def once() -> float:
        return _BATCH * per_second(platform.url, token, clients=8, each=each, work=send)

    floor = float(platform.manage(_COPY_FLOOR).split()[-1])
    once()
    value = statistics.median(once() for _ in range(3))
    bar = "≥ 60,000 metrics/s"
    return Result(
        "metric ingestion over the API, 8 clients, 1,000 a batch",
        value,
        "metrics/s",
        bar,
        value >= 60_000,
        floor,
        "INSERT in SQL, no HTTP",
    )


def large_data(platform: Platform) -> list[Result]:
    """The list over 100,000 experiments of which a tenth is visible, and the chart of 100,000 points."""
    token, run = platform.manage(_SEED).split()[-2:]
    client = Client(platform.url, token)
    floor = _milliseconds(client, "/me/")
    listed = _milliseconds(client, "/experiments/")
    chart = _milliseconds(client, f"/runs/{run}/metrics/?key=loss&points=1000")
    floor_name = "authenticated GET /me/"
    return [
        Result(
            "experiment list, first page of 10,000 visible in 100,000",
            listed,
            "ms",
            "≤ 50 ms",
            listed <= 50,
            floor,
            floor_name,
            "whole request",
        ),
        Result(
            "metric chart of 100,000 points, down-sampled",
            chart,
            "ms",
            "≤ 100 ms",
            chart <= 100,
            floor,
            floor_name,
            "whole request",
        ),
    ]


def _milliseconds(client: Client, path: str) -> float:
    def once() -> float:
        began = time.perf_counter()
        client.call("GET", path)
        return (time.perf_counter() - began) * 1000

    return median_of(once, 15)
