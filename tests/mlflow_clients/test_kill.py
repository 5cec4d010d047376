"""The web process is killed while batches arrive over MLflow's wire: what was acknowledged is readable exactly once.

Senders do as MLflow's client does: they send again what was not answered, and here also now and then what was.
"""

import http.client
import json
import os
import random
import signal
import threading
import time
import urllib.request
from typing import Any

import pytest

from tests.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.kill, pytest.mark.timeout(600)]
SENDERS, POINTS, APART = 3, 40, 1_000_000


def _call(platform: Platform, token: str, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    url = f"{platform.url}/api/2.0/mlflow/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        return json.loads(answer.read())


def _send(platform: Platform, token: str, run: str, steps: list[int], over: threading.Event) -> None:
    """Send batch after batch from the last of `steps` on, and note there what was acknowledged, until it is over."""
    first = steps.pop()
    while not over.is_set():
        points = [
            {"key": "m", "value": n, "timestamp": 1_700_000_000_000 + n, "step": n}
            for n in range(first, first + POINTS)
        ]
        wanted = random.choice((1, 1, 2))
        while wanted:
            try:
                _call(platform, token, "POST", "runs/log-batch", {"run_id": run, "metrics": points})
                wanted -= 1
            except (OSError, http.client.HTTPException):  # killed, also amid an answer, or not yet there again
                time.sleep(0.1)
        steps += range(first, first + POINTS)
        first += POINTS


def test_every_acknowledged_batch_is_readable_exactly_once(platform: Platform, token: str) -> None:
    experiment = _call(platform, token, "POST", "experiments/create", {"name": "killed"})["experiment_id"]
    run = _call(platform, token, "POST", "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    over, acknowledged = threading.Event(), [[number * APART] for number in range(SENDERS)]
    senders = [threading.Thread(target=_send, args=(platform, token, run, steps, over)) for steps in acknowledged]
    for sender in senders:
        sender.start()
    for _ in range(4):
        before = sum(map(len, acknowledged))
        while sum(map(len, acknowledged)) == before:
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.3))
        os.kill(platform.pid_of("web"), signal.SIGKILL)
    over.set()
    for sender in senders:
        sender.join(300)
    page, found = "", []
    while page is not None:
        answer = _call(platform, token, "GET", f"metrics/get-history?run_id={run}&metric_key=m&max_results=20000{page}")
        found += [point["step"] for point in answer["metrics"]]
        page = f"&page_token={answer['next_page_token']}" if answer.get("next_page_token") else None
    assert sorted(found) == sorted(step for steps in acknowledged for step in steps)
