"""Submission, start and end of jobs."""

import json
import statistics
import subprocess
import sys
import time

from benchmarks.load import Client, per_second
from benchmarks.report import Result, median_of
from tests.platform import Platform, wait_for

_CODE = "import time; print(repr(time.time()), flush=True)"
_TINY = {"cpu": "100m", "memory": "64Mi"}
_ENDED = {"succeeded", "failed", "stopped", "lost"}


def interpreter_start() -> float:
    """Return the milliseconds from the start of a bare interpreter to its first line."""

    def once() -> float:
        began = time.time()
        done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
        return (float(done.stdout) - began) * 1000

    return median_of(once, 15)


def first_line(platform: Platform, token: str) -> Result:
    """Submit → first line of user code, by the clock of the one machine."""
    client = Client(platform.url, token)
    spec = json.dumps({"kind": "python", "command": ["python", "-c", _CODE]}).encode()

    def once() -> float:
        began = time.time()
        made = client.call("POST", "/experiments/", spec)
        time.sleep(0.4)  # questions while it starts would slow the start down
        wait_for(lambda: client.call("GET", f"/experiments/{made['id']}/")["state"] in _ENDED, what="its end")
        path = f"/experiments/{made['id']}/logs/"
        log = wait_for(lambda: client.call("GET", path)["data"], what="its log")
        return (float(log.split()[0]) - began) * 1000

    floor = interpreter_start()
    value = median_of(once, 15)
    met = value <= 300 and value <= 5 * floor
    bar = "≤ 300 ms and ≤ 5 times the floor"
    return Result("submit → first line of user code, p50", value, "ms", bar, met, floor, "bare interpreter start")


def second_use(platform: Platform, token: str) -> Result:
    """What an environment that stands adds to submit → first line: of two jobs that differ in nothing else."""
    client = Client(platform.url, token)
    client.call("POST", "/environments/", json.dumps({"name": "bench", "packages": "six==1.16.0"}).encode())
    made = client.call("GET", "/environments/?name=bench")["results"][0]
    address = f"/environments/{made['id']}/versions/1/builds/"
    client.call("POST", address, b"{}")
    wait_for(lambda: client.call("GET", f"{address}local/")["state"] == "ready", seconds=120, what="the build")

    def once(**more: str) -> float:
        spec = json.dumps({"command": f"{sys.executable} -c '{_CODE}'", **more}).encode()
        began = time.time()
        made = client.call("POST", "/experiments/", spec)
        time.sleep(0.4)
        wait_for(lambda: client.call("GET", f"/experiments/{made['id']}/")["state"] in _ENDED, what="its end")
        log = wait_for(lambda: client.call("GET", f"/experiments/{made['id']}/logs/")["data"], what="its log")
        return (float(log.split()[0]) - began) * 1000

    without = median_of(once, 15)
    value = median_of(lambda: once(environment="bench"), 15) - without
    return Result(
        "second use of an environment, added", value, "ms", "≤ 100 ms", value <= 100, without, "the same without one"
    )


def submissions(platform: Platform, token: str) -> Result:
    """Submissions over HTTP with 8 clients, while the platform also starts what it can of them."""
    spec = json.dumps({"command": "true", "resources": _TINY, "cluster": {"name": "parked"}}).encode()

    def once() -> float:
        return per_second(
            platform.url, token, clients=8, each=50, work=lambda client, _: client.call("POST", "/experiments/", spec)
        )

    floor = per_second(platform.url, token, clients=8, each=100, work=lambda client, _: client.call("GET", "/me/"))
    once()
    value = statistics.median(once() for _ in range(3))
    return Result(
        "submissions over HTTP, 8 clients", value, "/s", "≥ 100 /s", value >= 100, floor, "authenticated GET /me/"
    )


def throughput(platform: Platform, token: str, *, count: int = 200) -> Result:
    """No-op experiments submitted, started and finished per second."""
    client = Client(platform.url, token)
    spec = json.dumps({"name": "noop", "command": "true", "resources": _TINY, "tags": {"bench": "noop"}}).encode()

    def bare() -> float:
        began = time.perf_counter()
        for _ in range(100):
            subprocess.run(["/bin/sh", "-c", "true"], check=True)
        return 100 / (time.perf_counter() - began)

    def once() -> float:
        began = time.perf_counter()
        per_second(
            platform.url, token, clients=4, each=count // 4, work=lambda c, _: c.call("POST", "/experiments/", spec)
        )
        active = (
            "/experiments/?limit=1&state=queued&state=starting&state=running&state=stopping&kind=shell&tag=bench=noop"
        )
        wait_for(lambda: not client.call("GET", active)["results"], seconds=120, every=0.5, what="the end of all")
        return count / (time.perf_counter() - began)

    floor = bare()
    value = statistics.median(once() for _ in range(3))
    return Result(
        "no-op experiments started and finished", value, "/s", "≥ 20 /s", value >= 20, floor, "sh -c true, in turn"
    )
