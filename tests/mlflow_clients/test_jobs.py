"""MLflow's client inside a job, without any setting: what it logs is in the job's run, and on its page."""

import urllib.parse
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import open_browser, open_window
from tests.e2e.conftest import CHROMIUM
from tests.mlflow_clients.conftest import CLIENTS, python_of
from tests.platform import Platform, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ENDED = {"succeeded", "failed", "stopped", "lost"}
LOGGING = """
import mlflow
mlflow.log_param("rate", 0.5)
for step in range(5):
    mlflow.log_metric("loss", 1 / (1 + step), step=step)
mlflow.set_tag("who", "me")
"""
TRAINING = """
import mlflow
mlflow.sklearn.autolog(log_models=False)
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
LogisticRegression(C=0.125, max_iter=77).fit(*load_iris(return_X_y=True))
"""
MAKING = """
import mlflow
mlflow.set_experiment("default")
mlflow.log_param("outer", 1)
mlflow.sklearn.autolog(max_tuning_runs=3)
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.1, 1.0, 10.0]}, cv=2).fit(*load_iris(return_X_y=True))
with mlflow.start_run(nested=True, run_name="inner"):
    mlflow.log_metric("depth", 2)
model = LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
kept = mlflow.sklearn.log_model(model, name="final", serialization_format="cloudpickle", registered_model_name="from-a-job")
assert mlflow.sklearn.load_model("models:/from-a-job/1").predict([[5, 3, 1, 0.2]]).shape == (1,)
mlflow.start_run(nested=True, run_name="left open")
"""


def _run(platform: Platform, token: str, client: str, script: str, name: str) -> str:
    """Submit a job that runs a script with the Python of a client; wait for its end; return its id."""
    command = f"{python_of(client)} -c '{script}'"
    made = platform.api(token, "POST", "/experiments/", {"name": name, "command": command})
    url = f"/experiments/{made['id']}/"
    wait_for(
        lambda: platform.api(token, "GET", url)["state"] in ENDED, seconds=180, every=0.3, what="the end of the job"
    )
    state = platform.api(token, "GET", url)["state"]
    log = platform.api(token, "GET", f"{url}logs/")
    assert state == "succeeded", log["data"][-3000:]
    return str(made["id"])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_job_needs_no_settings(client: str, platform: Platform, token: str) -> None:
    run = _run(platform, token, client, LOGGING.replace("'", '"'), "logging")
    seen = platform.api(token, "GET", f"/runs/{run}/")
    assert (seen["params"]["rate"], seen["tags"]["who"], seen["status"]) == ("0.5", "me", "finished")
    curve = platform.api(token, "GET", f"/runs/{run}/metrics/?{urllib.parse.urlencode({'key': 'loss'})}")["series"][0]
    assert [point[2] for point in curve["points"]] == [1 / (1 + step) for step in range(5)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.fail("There is no Chromium. Install one, or name it in CHROMIUM.")
    with open_browser(CHROMIUM) as opened:
        yield opened


def test_what_autologging_saw_is_on_the_page_of_the_run(platform: Platform, token: str, browser: Browser) -> None:
    run = _run(platform, token, "newest", TRAINING.replace("'", '"'), "autologged")
    with open_window(browser, platform.url) as screen:
        screen.log_in("alice", "correct horse battery")
        page = screen.go(f"/experiments/{run}/")
        expect(page.locator("body")).to_contain_text("max_iter")
        expect(page.locator("body")).to_contain_text("0.125")
        page = screen.go(f"/experiments/{run}/metrics/")
        expect(page.locator("body")).to_contain_text("training_accuracy_score")
        assert screen.complaints == []


def test_a_job_makes_runs_beside_its_own_and_registers_a_model(platform: Platform, token: str) -> None:
    run = _run(platform, token, "newest", MAKING.replace("'", '"'), "search")
    seen = platform.api(token, "GET", f"/runs/{run}/")
    answer = platform.api(token, "GET", f"/runs/?{urllib.parse.urlencode({'limit': 100})}")["results"]
    parent = run.replace("-", "")
    inner = {one["name"]: one for one in answer if one["tags"].get("mlflow.parentRunId") == parent}
    assert {one["project"]["id"] for one in inner.values()} == {seen["project"]["id"]}
    assert (inner["inner"]["status"], inner["left open"]["status"]) == ("finished", "finished")
    assert len(inner) == 5  # three of the search, and two
    (model,) = [one for one in platform.api(token, "GET", "/models/")["results"] if one["name"] == "from-a-job"]
    (version,) = platform.api(token, "GET", f"/models/{model['id']}/versions/")["results"]
    assert version["run"] == run
