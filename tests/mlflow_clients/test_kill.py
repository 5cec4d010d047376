"""The web process is killed while batches arrive over MLflow's wire: what was acknowledged is readable exactly once.

Senders do as MLflow's client does: they send again what was not answered, and here also now and then what was.
"""

import json
import os
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.kill, pytest.mark.timeout(600)]
SENDERS, BATCHES, POINTS = 3, 25, 40


def _call(platform: Platform, token: str, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    url = f"{platform.url}/api/2.0/mlflow/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        return json.loads(answer.read())


def _send(platform: Platform, token: str, run: str, sender: int) -> None:
    for batch in range(BATCHES):
        first = (sender * BATCHES + batch) * POINTS
        points = [
            {"key": "m", "value": n, "timestamp": 1_700_000_000_000 + n, "step": n}
            for n in range(first, first + POINTS)
        ]
        wanted = random.choice((1, 1, 2))
        while wanted:
            try:
                _call(platform, token, "POST", "runs/log-batch", {"run_id": run, "metrics": points})
                wanted -= 1
            except (OSError, urllib.error.URLError):  # killed, or not yet there again
                time.sleep(0.1)


def test_every_acknowledged_batch_is_readable_exactly_once(platform: Platform, token: str) -> None:
    experiment = _call(platform, token, "POST", "experiments/create", {"name": "killed"})["experiment_id"]
    run = _call(platform, token, "POST", "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    senders = [threading.Thread(target=_send, args=(platform, token, run, number)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    kills = 0
    while any(sender.is_alive() for sender in senders) and kills < 4:
        time.sleep(random.uniform(0.3, 1.0))
        os.kill(platform.pid_of("web"), signal.SIGKILL)
        kills += 1
    for sender in senders:
        sender.join(300)
    assert kills > 1
    history = _call(platform, token, "GET", f"metrics/get-history?run_id={run}&metric_key=m")["metrics"]
    assert [point["step"] for point in history] == list(range(SENDERS * BATCHES * POINTS))
