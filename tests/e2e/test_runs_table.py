"""The run table in a real browser: runs of the SDK, filtered, completed, arranged, grouped, kept as a view, compared, deleted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fathom.client import Client
from tests.e2e.browser import NARROW, Screen, open_window
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
PASSWORD = "correct horse battery"
MODELS = ("resnet50", "vit-b16", "convnext-t")
OPTIMIZERS = ("adam", "sgd", "lion")


@dataclass(frozen=True)
class Made:
    """A project of nina's, shared with oleg as a viewer."""

    path: str
    runs: list[str]


@pytest.fixture(scope="module")
def made(platform: Platform) -> Made:
    tokens = {}
    for name in ("nina", "oleg"):
        platform.make_user(name, password=PASSWORD)
        with Client(platform.url, token="") as anonymous:
            tokens[name] = str(anonymous.login(name, PASSWORD, name="e2e").token)
    with Client(platform.url, tokens["nina"]) as client:
        project = client.projects.create(
            "image-classifier", description="Which of a thousand classes is on the picture."
        )
        runs = [train(client, project.id, number) for number in range(36)]
        client.access.share("project", project.id, user="oleg", role="viewer")
        for run in runs:
            client.access.share("run", run, user="oleg", role="viewer")
    return Made(f"/projects/{project.id}/", runs)


def train(client: Client, project: str, number: int) -> str:
    """A run as a sweep would make it."""
    rate = 10 ** -(1 + number % 4)
    run = client.runs.create(
        project=project, name=f"sweep-{number:02}", tags={"stage": "dev" if number % 3 else "final"}
    )
    loss = 0.9 / (1 + number % 7) + rate
    values = {
        "val/loss": loss,
        "val/accuracy": 1 - loss / 2,
        "train/loss": loss * 0.8,
        **{f"layer{n}/norm": n + loss for n in range(12)},
    }
    params = {
        "lr": f"{rate:g}",
        "optimizer": OPTIMIZERS[number % 3],
        "model": MODELS[number % 2],
        "batch_size": str(2 ** (4 + number % 3)),
    }
    client.runs.log_batch(
        run.id,
        {"metrics": [{"key": key, "value": value, "step": 1} for key, value in values.items()], "params": params},
    )
    if number != 35:
        client.runs.finish(run.id, status="failed" if number % 11 == 7 else "finished")
    return run.id


@pytest.fixture
def nina(screen: Screen, made: Made) -> Screen:
    screen.log_in("nina", PASSWORD)
    return screen


@pytest.fixture
def oleg(screen: Screen, made: Made) -> Iterator[Screen]:
    browser = screen.page.context.browser
    assert browser is not None
    with open_window(browser, screen.url) as other:
        other.log_in("oleg", PASSWORD)
        yield other
        assert other.complaints == []


def rows(page: Page) -> list[str]:
    return page.locator("#rows td.name").all_inner_texts()


ARRANGED = (
    "?col=status&col=params.lr&col=params.optimizer&col=params.model&col=metrics.val/loss&col=min.val/loss&col=metrics.val/accuracy"
    "&col=tags.stage&col=duration&col=started&sort=metrics.val/loss&limit=25"
)


def test_every_page_is_sound_in_both_schemes(nina: Screen, made: Made, images: Path) -> None:
    pages = {
        "projects": "/projects/", "table": made.path, "arranged": made.path + ARRANGED,
        "groups": f"{made.path}{ARRANGED}&group=params.optimizer", "ill": f"{made.path}?q=metrics.loss+~+3&col=x",
        "deleted": f"{made.path}?deleted=1", "none": f"{made.path}?q=run_name+%3D+'x'", "picker": f"{made.path}?find=layer",
    }  # fmt: skip
    for name, path in pages.items():
        page = nina.go(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert nina.accessibility() == [], name
            if name in {"arranged", "groups"}:
                page.screenshot(path=images / f"run-{'table' if name == 'arranged' else name}-{scheme}.png")
        page.emulate_media(color_scheme="light")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for name in ("projects", "table", "groups"):
        nina.go(pages[name])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_a_filter_is_completed_and_an_ill_one_explains_itself(nina: Screen, made: Made) -> None:
    page = nina.go(made.path)
    page.click("#q")
    page.keyboard.type("opti")
    expect(page.locator("#q-suggestions")).to_contain_text("params.optimizer")
    page.keyboard.press("ArrowUp")  # the last one
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_have_value("params.optimizer ")
    expect(page.locator("#q-suggestions")).to_contain_text("ILIKE")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator("#q-suggestions")).to_contain_text("'lion'")
    assert nina.accessibility() == []
    page.keyboard.type("'li")
    expect(page.locator("#q-suggestions li")).to_have_count(1)
    page.locator("#q-suggestions li").click()
    expect(page.locator("#q")).to_have_value("params.optimizer = 'lion' ")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator("#rows tr")).to_have_count(12)
    page.fill("#q", "metrics.loss ~ 3")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("#q-problem")).to_contain_text("at character 14")
    expect(page.locator("#q-problem mark")).to_have_text("~ 3")
    expect(page.locator("#q")).to_have_value("metrics.loss ~ 3")
    expect(page.locator("#q")).to_have_attribute("aria-invalid", "true")


def test_columns_are_looked_for_on_the_server_and_stay_in_the_address(nina: Screen, made: Made) -> None:
    page = nina.go(made.path)
    assert "layer7" not in page.content()
    page.get_by_text("Columns", exact=True).click()
    page.fill("#find", "layer7")
    expect(page.locator("#found-keys .key-row")).to_have_count(1)
    page.locator("#found-keys").get_by_label("layer7/norm", exact=True).check()
    page.fill("#find", "stage")
    expect(page.locator("#found-keys")).to_contain_text("Tags")
    page.locator("#found-keys").get_by_label("stage", exact=True).check()
    page.locator("#shown").get_by_label("Owner", exact=True).uncheck()
    page.locator("#picker .pop").get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile("col=tags.stage"))
    assert "find=" not in page.url
    heads = page.locator("thead th").all_inner_texts()
    assert {"layer7/norm", "stage"} <= set(heads)
    assert "Owner" not in heads
    page.get_by_role("link", name="layer7/norm").click()
    expect(page.locator("th[aria-sort='descending']")).to_contain_text("layer7/norm")
    page.get_by_role("link", name="layer7/norm").click()
    expect(page.locator("th[aria-sort='ascending']")).to_contain_text("layer7/norm")


def test_the_first_columns_and_the_head_stay_where_they_are(nina: Screen, made: Made) -> None:
    many = "&".join(f"col=metrics.layer{n}/norm" for n in range(12))
    page = nina.go(f"{made.path}?{many}&col=params.lr&col=params.model&col=params.optimizer&limit=50")
    table = page.locator(".run-table")
    before = table.locator("td.name").first.bounding_box()
    head = table.locator("thead th").nth(2).bounding_box()
    table.evaluate("element => element.scrollTo(600, 0)")
    assert table.locator("td.name").first.bounding_box() == before
    table.evaluate("element => element.scrollTo(0, 500)")
    after = table.locator("thead th").nth(2).bounding_box()
    assert head is not None
    assert after is not None
    assert after["y"] == head["y"]


def test_groups_open_to_their_runs(nina: Screen, made: Made) -> None:
    page = nina.go(made.path + ARRANGED)
    page.select_option("#group", "params.optimizer")
    expect(page.locator("table.grouped tbody tr")).to_have_count(3)
    assert page.locator("table.grouped tbody td:nth-child(2)").all_inner_texts() == ["12", "12", "12"]
    page.get_by_role("link", name="sgd").click()
    expect(page.locator("#q")).to_have_value("params.optimizer = 'sgd'")
    expect(page.locator("#rows tr")).to_have_count(12)


def test_a_view_is_kept_shared_changed_and_forgotten(nina: Screen, oleg: Screen, made: Made) -> None:
    page = nina.go(made.path + ARRANGED)
    page.click("#views summary")
    page.fill("#new-view", "best first")
    page.locator("#views form").last.get_by_label("For all who may see the project").check()
    page.get_by_role("button", name="Keep as a new view").click()
    expect(page.locator(".notices")).to_contain_text("Kept as best first.")
    expect(page.locator("#views summary")).to_contain_text("best first")

    theirs = oleg.go(made.path)
    theirs.click("#views summary")
    assert oleg.accessibility() == []
    theirs.get_by_role("link", name="best first").click()
    expect(theirs.locator("th[aria-sort='ascending']")).to_contain_text("val/loss")
    theirs.click("#views summary")
    expect(theirs.locator("#views")).not_to_contain_text("Change this view")
    expect(theirs.locator("#views").get_by_label("For all who may see the project")).to_be_disabled()

    page.get_by_role("link", name="val/accuracy").click()
    expect(page.locator("#views summary")).to_contain_text("changed")
    page.click("#views summary")
    page.get_by_role("button", name="Save what is shown").click()
    expect(page.locator(".notices")).to_contain_text("best first is changed.")
    expect(page.locator("#views summary")).not_to_contain_text("changed")
    page.click("#views summary")
    page.fill("#new-view", "best first")
    page.get_by_role("button", name="Keep as a new view").click()
    expect(page.locator(".notices")).to_contain_text("You have a view of this name.")
    expect(page.locator("#new-view")).to_have_value("best first")
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator(".notices")).to_contain_text("best first is forgotten.")


def test_runs_are_compared_deleted_and_restored_by_keyboard(nina: Screen, made: Made) -> None:
    page = nina.go(f"{made.path}?sort=name&limit=25")
    page.click("h1")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    expect(page.locator("#bulk-count")).to_have_text("2 chosen")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile(r"/runs/compare/\?id=.*&id="))
    nina.go(f"{made.path}?sort=name&limit=25")
    page.click("h1")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".notices")).to_contain_text("1 run deleted.")
    assert rows(page)[0] == "sweep-01"
    page.get_by_role("link", name="Deleted").click()
    assert rows(page) == ["sweep-00"]
    page.locator("#check-all").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.locator(".notices")).to_contain_text("1 run restored.")
    nina.go(f"{made.path}?sort=name&limit=25")
    page.click("h1")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("sweep-00")


def test_who_only_looks_deletes_nothing(oleg: Screen, made: Made) -> None:
    page = oleg.go(f"{made.path}?sort=name")
    page.locator("#rows input").first.check()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".notices")).to_contain_text("1 left as they were.")
    expect(page.locator("#rows tr")).to_have_count(36)


def test_the_palette_finds_the_project_and_pages_turn(nina: Screen, made: Made) -> None:
    page = nina.go("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("image-cl")
    expect(page.locator(".results a.current")).to_contain_text("image-classifier")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(made.path))
    nina.go(f"{made.path}?limit=25")
    expect(page.locator(".pager")).to_contain_text("1 to 25 of 36")
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#rows tr")).to_have_count(11)
    page.get_by_role("link", name="Back", exact=True).click()
    expect(page.locator("#rows tr")).to_have_count(25)


def test_everything_works_without_javascript(platform: Platform, screen: Screen, made: Made) -> None:
    browser = screen.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{platform.url}/login/")
    page.fill("#id_username", "nina")
    page.fill("#id_password", PASSWORD)
    page.click("button:has-text('Log in')")
    page.goto(platform.url + made.path)
    page.fill("#q", "metrics.`val/loss` < 0.2")
    page.click("summary:has-text('Columns')")
    page.fill("#find", "batch")
    page.locator("#picker").get_by_role("button", name="Apply").click()
    page.locator("#found-keys").get_by_label("batch_size").check()
    page.locator("#picker").get_by_role("button", name="Apply").click()
    assert "batch_size" in page.locator("thead").inner_text()
    assert 0 < len(rows(page)) < 36
    page.locator("#rows input").first.check()
    page.locator("#rows input").nth(1).check()
    page.click("button:has-text('Compare')")
    assert "/runs/compare/?id=" in page.url
    context.close()
