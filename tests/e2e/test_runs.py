"""Runs that no job stands behind, in a browser: what trackers logged, pictures by step, TensorBoard's files, autologging."""

import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tensorboardX import SummaryWriter

from fathom.client import Client
from tests.e2e.browser import NARROW, WIDE, Screen
from tests.platform import REPOSITORY, Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
PASSWORD = "correct horse battery"
MLFLOW = REPOSITORY / "build" / "mlflow" / "newest" / "bin" / "python"

_PICTURES = """
import math, struct, zlib
import fathom

def png(shade):
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    def pixel(x, y):
        return bytes((int(128 + 127 * math.sin((x + shade * 9) / 9)), int(255 * y / 96), min(255, shade * 40)))
    rows = b"".join(b"\\x00" + b"".join(pixel(x, y) for x in range(128)) for y in range(96))
    head = struct.pack(">IIBBBBB", 128, 96, 8, 2, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")

with fathom.start_run(name="by-step") as run:
    fathom.log_params({"lr": 0.1, "layers": 3})
    fathom.set_tag("family", "pictures")
    for step in range(6):
        fathom.log_metric("loss", 1 / (step + 1), step=step)
        fathom.log_image("samples/wave", png(step), step=step)
        if step % 2:
            fathom.log_image("filters", png(step + 3), step=step)
        fathom.log_table("worst answers", [{"said": f"word {n}", "should be": f"word {n + step}", "loss": step / (n + 1)} for n in range(4)], step=step)
print(run.id)
"""

_AUTOLOG = """
import mlflow
import numpy
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment("flowers")
mlflow.sklearn.autolog()
with mlflow.start_run(run_name="autologged") as parent:
    data = load_iris()
    LogisticRegression(max_iter=321).fit(data.data, data.target)
    mlflow.log_table({"said": ["setosa", "virginica"], "was": ["setosa", "versicolor"]}, "answers.json")
    for step in (1, 2):
        mlflow.log_image(numpy.full((40, 60, 3), step * 90, dtype=numpy.uint8), key="val/digit", step=step)
    with mlflow.start_run(run_name="fold-1", nested=True):
        mlflow.log_metric("score", 0.5)
print(parent.info.run_id)
"""


@pytest.fixture(scope="module")
def token(platform: Platform) -> str:
    platform.make_user("pia", password=PASSWORD)
    with Client(platform.url, token="") as anonymous:
        return str(anonymous.login("pia", PASSWORD, name="e2e").token)


@pytest.fixture
def pia(screen: Screen, token: str) -> Screen:
    screen.log_in("pia", PASSWORD)
    return screen


@pytest.fixture(scope="module")
def pictures(platform: Platform, token: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a run with pictures and tables by step, and event files of two folders."""
    environment = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": token}
    done = subprocess.run(
        [str(REPOSITORY / ".venv/bin/python"), "-c", _PICTURES],
        env=environment, cwd=tmp_path_factory.mktemp("script"), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = done.stdout.split()[-1]
    folder = tmp_path_factory.mktemp("events")
    with Client(platform.url, token) as client:
        for name in ("train", "validation"):
            with SummaryWriter(str(folder / name)) as writer:
                for step in range(300):
                    writer.add_scalar("loss", 2 / (step + 1) + (0.1 if name == "validation" else 0), step)
            (file,) = (folder / name).iterdir()
            client.runs.put_artifact(run, file, f"logs/{name}/{file.name}")
    return run


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_is_sound_in_both_schemes(scheme: str, pia: Screen, pictures: str, images: Path) -> None:
    page = pia.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    found: list[str] = []
    for tab in ("", "metrics/", "media/", "artifacts/?path=logs", "history/"):
        pia.go(f"/runs/{pictures}/{tab}")
        page.wait_for_load_state("networkidle")
        if tab == "metrics/":
            expect(page.locator("#event-charts canvas")).to_have_count(2)
        found += pia.accessibility()
        if tab in ("metrics/", "media/"):
            page.screenshot(path=images / f"run-{tab.strip('/')}-{scheme}.png", full_page=True)
    assert found == []


def test_event_files_are_charts_beside_the_metrics(pia: Screen, pictures: str) -> None:
    page = pia.go(f"/runs/{pictures}/metrics/")
    expect(page.locator("#charts canvas")).to_have_count(1)
    expect(page.locator("#event-charts h2")).to_have_text(["logs/train/loss", "logs/validation/loss"])
    expect(page.locator("#event-charts canvas")).to_have_count(2)
    page.check("#chart-bar input[value='log']", force=True)
    expect(page.locator("#event-charts canvas")).to_have_count(2)


def test_the_slider_goes_from_step_to_step(pia: Screen, pictures: str) -> None:
    page = pia.go(f"/runs/{pictures}/media/")
    expect(page.locator("#step-now")).to_contain_text("Step 5")
    expect(page.locator(".picture img")).to_have_count(2)
    page.wait_for_load_state("networkidle")
    for picture in page.locator(".picture img").all():
        assert picture.evaluate("image => image.naturalWidth") == 128
    page.focus("input[name='at']")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#step-now")).to_contain_text("Step 4")
    expect(page.get_by_alt_text("samples/wave at step 4")).to_be_visible()
    expect(page.get_by_alt_text("filters at step 3")).to_be_visible()
    expect(page.locator(".frames table")).to_contain_text("word 4")
    page.click("text=Link to this step")
    page.wait_for_url("**at=4**")
    expect(page.locator("#step-now")).to_contain_text("Step 4")
    assert pia.accessibility() == []


def test_a_run_is_renamed_deleted_and_restored(pia: Screen, platform: Platform, token: str) -> None:
    made = platform.api(token, "POST", "/runs/", {"name": "to rename"})["id"]
    page = pia.go(f"/runs/{made}/")
    page.click("summary:has-text('Rename')")
    page.fill("#run-name", "renamed")
    page.press("#run-name", "Enter")
    expect(page.locator("h1")).to_have_text("renamed")
    page.click("summary:has-text('End')")
    page.select_option("#run-end", "killed")
    page.click("text=End it")
    expect(page.locator("#run-status")).to_contain_text("killed")
    page.click("summary:has-text('Delete')")
    page.click("text=Delete it")
    expect(page.locator(".notice.warning")).to_contain_text("It was deleted")
    assert pia.accessibility() == []
    page.click("text=Restore it")
    expect(page.locator(".notices")).to_contain_text("is restored")


def test_a_narrow_window_does_not_scroll_sideways(pia: Screen, pictures: str) -> None:
    page = pia.page
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for tab in ("", "metrics/", "media/", "artifacts/"):
        pia.go(f"/runs/{pictures}/{tab}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), tab
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def test_autologging_of_scikit_learn_appears(pia: Screen, token: str, tmp_path: Path, images: Path) -> None:
    """The page of a run that an unmodified MLflow client has logged by itself."""
    if not MLFLOW.exists():
        pytest.skip("MLflow's client is not installed (make mlflow-clients)")
    settings = {"MLFLOW_TRACKING_URI": pia.url, "MLFLOW_TRACKING_TOKEN": token, "MLFLOW_DISABLE_TELEMETRY": "true"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHONPATH"))}
    done = subprocess.run(
        [str(MLFLOW), "-c", _AUTOLOG], env={**kept, **settings}, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    run = done.stdout.split()[-1]
    page = pia.go(f"/#/experiments/1/runs/{run}")  # what the client prints: "View run … at …"
    page.wait_for_url("**/runs/*/")
    expect(page.locator("h1")).to_have_text("autologged")
    expect(page.locator("#run-status")).to_contain_text("finished")
    for words in ("max_iter", "321", "training_accuracy_score", "estimator_name", "fold-1"):
        expect(page.locator("#content")).to_contain_text(words)
    expect(page.locator("section:has(> header > h2:text-is('Data read'))")).to_contain_text("train")
    expect(page.locator("section:has(> header > h2:text-is('Models logged'))")).to_contain_text("model")
    assert pia.accessibility() == []
    page.screenshot(path=images / "run-autologged-light.png", full_page=True)
    page.click("nav.tabs >> text=Artifacts")
    expect(page.locator(".tree")).to_contain_text("training_confusion_matrix.png")
    page.click("nav.tabs >> text=Media")
    expect(page.locator(".frames table")).to_contain_text("versicolor")
    picture = page.get_by_alt_text("val/digit at step 2")
    expect(picture).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert picture.evaluate("image => image.naturalWidth") > 0
    page.click("nav.tabs >> text=Metrics")
    expect(page.locator("#charts canvas").first).to_be_visible()
