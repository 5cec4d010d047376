"""Model versions: made by the API and by MLflow's wire, each of 8 clients into a model of its own, and all into one."""

import json
import statistics
from collections.abc import Callable

from benchmarks.load import Client, per_second
from benchmarks.report import Result
from tests.platform import Platform

_CLIENTS, _EACH = 8, 60
_PREPARE = """
from apps.accounts.models import User
from apps.models import services as models
from apps.tracking import services as tracking
owner = User.objects.get(username="bench")
project = tracking.find_project("default", by=owner, team=None)
run = tracking.create_run(project, by=owner, name="training")
for name in ("MLmodel", "model.txt", "requirements.txt"):
    tracking.save_artifact(run, f"model/{name}", iter([b"x: 1"]), by=owner)
metrics = [{"key": f"m{n}", "value": n} for n in range(5)]
tracking.log_batch(run, {"metrics": metrics, "params": {"lr": "0.1"}}, by=owner)
made = [models.create_model(f"bench-{n}", by=owner) for n in range(9)]
print(run.pk, *(model.pk for model in made))
"""
_BAR = "≥ 300/s"
_GOAL = 300


def creation(platform: Platform, token: str) -> list[Result]:
    """Versions per second, with files, metrics, lineage and audit; authentication and policy on."""
    run, *models = platform.manage(_PREPARE).split()[-10:]
    apart, together = models[:8], models[8]
    ours = json.dumps({"run": run, "path": "model"}).encode()
    source = f"runs:/{run.replace('-', '')}/model"

    def by_api(client: Client, number: int) -> None:
        client.call("POST", f"/models/{apart[number // _EACH]}/versions/", ours)

    def into_one(client: Client, _number: int) -> None:
        client.call("POST", f"/models/{together}/versions/", ours)

    def by_wire(client: Client, number: int) -> None:
        body = json.dumps({"name": f"bench-{number // _EACH}", "source": source})
        client.call("POST", "/model-versions/create", body.encode())

    named: dict[str, tuple[Callable[[Client, int], None], dict[str, str]]] = {
        "over the API": (by_api, {}),
        "over the API, all into one model": (into_one, {}),
        "over MLflow's wire": (by_wire, {"prefix": "/api/2.0/mlflow", "first": "/registered-models/get?name=bench-0"}),
    }
    found = []
    for words, (work, how) in named.items():
        speeds = [per_second(platform.url, token, clients=_CLIENTS, each=_EACH, work=work, **how) for _ in range(4)][1:]
        value = statistics.median(speeds)
        found.append(Result(f"model versions {words}, 8 clients", value, "versions/s", _BAR, value >= _GOAL))
    return found
