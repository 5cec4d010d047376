"""Models from end to end: an unmodified SDK and command line register, people look, move, ask and approve in a browser."""

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from fathom.client import Client
from fathom.models import ModelVersion
from tests.e2e.browser import NARROW, Screen, open_window
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
PASSWORD = "correct horse battery"
CARD = "# Digits\n\nReads **digits**.\n\n| set | accuracy |\n|---|---|\n| test | 0.97 |\n\n- fails on sevens\n"
MLMODEL = (
    'flavors:\n  sklearn: {}\nsignature:\n  inputs: \'[{"type": "double", "name": "pixel", "required": true}]\'\n'
    '  outputs: \'[{"type": "long"}]\'\n'
)


class Trap:
    def __reduce__(self) -> object:
        return (print, ("loaded",))


@pytest.fixture(scope="module")
def tokens(platform: Platform) -> dict[str, str]:
    """mona and nick, in one team, and a token of each."""
    found = {}
    for name in ("mona", "nick"):
        platform.make_user(name, password=PASSWORD)
        with Client(platform.url, token="") as anonymous:
            found[name] = str(anonymous.login(name, PASSWORD, name="e2e").token)
    return found


@pytest.fixture(scope="module")
def version(platform: Platform, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """A model of mona's with two versions: one from a run, one uploaded, its alias protected, shared with nick."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "weights.pkl").write_bytes(pickle.dumps(Trap()))
    with Client(platform.url, tokens["mona"]) as client:
        run = client.runs.create(name="training")
        client.runs.log_batch(run.id, {"metrics": [{"key": "accuracy", "value": 0.91}], "params": {"lr": "0.1"}})
        for name in ("MLmodel", "weights.pkl"):
            client.runs.put_artifact(run.id, folder / name, f"model/{name}")
        model = client.models.create("digits", description=CARD, tags={"task": "vision"})
        first = client.models.register_run(model.id, run.id, "model", datasets=[{"name": "mnist", "digest": "9a1f"}])
        (folder / "weights.pkl").write_bytes(pickle.dumps({"better": True}))
        client.models.upload(model.id, folder, metrics={"accuracy": 0.95}, tags={"k": "v"}, description="Better.")
        client.models.set_alias(model.id, "challenger", 2, reason="looks good")
        client.access.share("registeredmodel", model.id, user="nick", role="manager")
        threshold = {"metric": "accuracy", "operator": ">=", "value": 0.9}
        client.models.protect(model.id, "champion", approvals=1, thresholds=[threshold], reason="it is served")
    return first


@pytest.fixture
def mona(screen: Screen, version: ModelVersion) -> Screen:
    screen.log_in("mona", PASSWORD)
    return screen


@pytest.fixture
def nick(screen: Screen) -> Iterator[Screen]:
    browser = screen.page.context.browser
    assert browser is not None
    with open_window(browser, screen.url) as other:
        other.log_in("nick", PASSWORD)
        yield other
        assert other.complaints == []


def shoot(screen: Screen, folder: Path | None, name: str) -> None:
    """Keep what is seen, light and dark, where somebody asked for it."""
    if folder is None:
        return
    for scheme in ("light", "dark"):
        screen.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        screen.page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
    screen.page.emulate_media(color_scheme="light")


@pytest.fixture
def shots() -> Path | None:
    named = os.environ.get("FATHOM_TEST_SHOTS")
    return Path(named) if named else None


def test_every_page_is_sound_in_both_schemes(mona: Screen, version: ModelVersion, shots: Path | None) -> None:
    model = f"/models/{version.model_id}/"
    pages = {
        "list": "/models/", "new": "/models/new/", "approvals": "/models/approvals/", "model": model, "moves": f"{model}moves/",
        "rules": f"{model}rules/", "history": f"{model}history/", "upload": f"{model}upload/", "edit": f"{model}edit/",
        "compare": f"{model}compare/?version=1&version=2", "version": f"{model}versions/1/",
        "files": f"{model}versions/1/files/?file=MLmodel", "edit-version": f"{model}versions/1/edit/",
        "register": f"/models/register/{version.run}/", "lineage": f"/lineage/modelversion/{version.id}/",
    }  # fmt: skip
    for name, path in pages.items():
        page = mona.go(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert mona.accessibility() == [], name
        shoot(mona, shots, name)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for name in ("list", "model", "version", "lineage"):
        mona.go(pages[name])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_a_protected_alias_is_asked_for_and_approved(mona: Screen, nick: Screen, version: ModelVersion) -> None:
    mine = mona.go(f"/models/{version.model_id}/")
    mine.fill("#id_alias", "champion")
    mine.fill("#id_version", "1")
    mine.fill("#id_reason", "it is the best so far")
    mine.get_by_role("button", name="Move", exact=True).click()
    expect(mine.locator(".notices")).to_contain_text("champion is protected. Your request")
    expect(mine.locator("main")).to_contain_text("1 request to move something protected")
    mine.click("text=Answer")
    expect(mine.locator("main")).to_contain_text("Nothing waits for your answer.")  # her own she does not answer
    assert mona.accessibility() == []

    theirs = nick.go("/models/")
    expect(theirs.get_by_label("1 waiting")).to_be_visible()
    theirs.get_by_role("link", name=re.compile("Approvals")).click()
    assert nick.accessibility() == []
    theirs.get_by_role("button", name="Refuse").click()
    expect(theirs.locator(".notices")).to_contain_text("reason")  # a no needs one
    theirs.get_by_label("Reason").fill("I looked at it")
    theirs.get_by_role("button", name="Approve").click()
    expect(theirs.locator(".notices")).to_contain_text("it is moved")

    mine = mona.go(f"/models/{version.model_id}/moves/")
    line = mine.locator("tbody tr").first
    for words in ("champion", "nothing", "version 1", "mona", "nick", "it is the best so far"):
        expect(line).to_contain_text(words)
    mine.fill("#alias", "champion")
    mine.fill("#at", "2001-01-01T00:00")
    mine.get_by_role("button", name="Ask", exact=True).click()
    expect(mine.locator("main [role=status]").first).to_contain_text("champion pointed to nothing then.")
    assert mona.accessibility() == []


def test_files_are_uploaded_and_downloaded(mona: Screen, version: ModelVersion, tmp_path: Path) -> None:
    page = mona.go(f"/models/{version.model_id}/upload/")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    page.set_input_files("#id_chosen", [tmp_path / "config.json", tmp_path / "model.safetensors"])
    page.fill("#id_description", "By *hand*")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_contain_text("Version 3")
    expect(page.locator("main")).to_contain_text("safetensors, which cannot run anything")
    with page.expect_download() as download:
        page.click("text=Download zip")
    assert download.value.suggested_filename == "digits-3.zip"
    page.get_by_role("navigation", name="Parts of this version").get_by_role("link", name=re.compile("Files")).click()
    page.get_by_role("link", name=re.compile("config.json")).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    assert download.value.suggested_filename == "config.json"


def test_a_runs_folder_becomes_a_model(mona: Screen, version: ModelVersion) -> None:
    page = mona.go(f"/models/register/{version.run}/?path=model")
    page.get_by_role("button", name="Register").click()
    expect(page.locator("main")).to_contain_text("Choose a model, or give the new one a name.")
    mona.complaints.clear()  # the 400 itself
    page.fill("#id_new_name", "digits-of-hers")
    page.get_by_role("button", name="Register").click()
    expect(page.locator(".notices")).to_contain_text("digits-of-hers 1 is registered.")
    expect(page.locator("main")).to_contain_text("unknown imports")
    page.keyboard.press("Control+K")
    page.keyboard.type("digits-of")
    expect(page.locator("#palette-results")).to_contain_text("digits-of-hers")


def test_the_command_line(platform: Platform, tokens: dict[str, str], version: ModelVersion, tmp_path: Path) -> None:
    def fathom(*words: str, code: int = 0) -> str:
        environment = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": tokens["mona"], "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "fathom", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights.safetensors").write_text("w")
    assert fathom("model", "register", "net", "net", "--metric", "loss=0.5", "--tag", "a=b").strip() == "net 1"
    assert "net" in fathom("model", "list")
    fathom("model", "alias", "net", "best", "1", "--reason", "only one")
    assert "version 1" in fathom("model", "was", "net", "best")
    fathom("model", "protect", "net", "best", "--metric", "loss <= 0.4")
    told = fathom("model", "unalias", "net", "best", code=4)
    assert "needs the approval of somebody else" in told
    assert "weights.safetensors" in fathom("model", "download", "net", "best", "out")
    assert (tmp_path / "out" / "weights.safetensors").read_text() == "w"
    assert "accuracy" in fathom("model", "compare", version.model_id, "1", "2")
    assert "produced" in fathom("lineage", "version", version.id)
    assert "There is no model called nothing" in fathom("model", "show", "nothing", code=5)
