"""Runs compared in a browser: two hundred at once, curves over each other, scatter, parallel coordinates."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import NARROW, WIDE, Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
PASSWORD = "correct horse battery"
COUNT = 200

_MAKE = f"""
import json, math, random
from apps.accounts.models import User
from apps.tracking import services
nora = User.objects.get(username="nora")
project = services.create_project("sweep", by=nora)
dice, ids = random.Random(4), []
for number in range({COUNT}):
    rate, depth = 10 ** -dice.uniform(1, 4), dice.choice([2, 4, 8])
    run = services.create_run(project, by=nora, name=f"trial-{{number:03d}}")
    goal = 0.2 + abs(math.log10(rate) + 2.2) * 0.2 + dice.random() * 0.05 + 0.3 / depth
    steps = list(range(60))
    loss = [goal + 2 * math.exp(-step / 9) + dice.random() * 0.03 for step in steps]
    services.log_batch(run, {{
        "params": {{"rate": f"{{rate:.5f}}", "depth": str(depth), "optimizer": dice.choice(["adam", "sgd", "lion"]), "seed": "7"}},
        "metrics": {{"key": ["loss"] * 60 + ["accuracy"] * 60, "value": loss + [1 / (1 + one) for one in loss], "step": steps * 2}},
        "tags": {{"family": "sweep"}},
    }}, by=nora)
    services.finish_run(run, "failed" if number % 17 == 16 else "finished", by=nora)
    ids.append(run.pk.hex)
print(json.dumps(ids))
"""


@pytest.fixture(scope="module")
def ids(platform: Platform) -> list[str]:
    """The ids of two hundred runs of nora's."""
    platform.make_user("nora", password=PASSWORD)
    found: list[str] = json.loads(platform.manage(_MAKE).splitlines()[-1])
    return found


@pytest.fixture
def nora(screen: Screen, ids: list[str]) -> Screen:
    screen.log_in("nora", PASSWORD)
    return screen


def address(ids: list[str], **query: str) -> str:
    rest = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/runs/compare/?id={','.join(ids)}{rest}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_hundred_runs_are_compared(scheme: str, nora: Screen, ids: list[str], images: Path) -> None:
    page = nora.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    assert len(address(ids)) < 8000  # what a proxy takes
    for view in ("", "scatter", "parallel"):
        nora.go(address(ids, view=view))
        expect(page.locator(".sub")).to_have_text("200 runs")
        drawn = {"": ".chart canvas", "scatter": "#points canvas", "parallel": "#points path.way"}[view]
        expect(page.locator(drawn)).to_have_count({"": 2, "scatter": 1, "parallel": 200}[view])
        page.wait_for_load_state("networkidle")
        assert nora.accessibility() == [], view
        page.screenshot(path=images / f"compare-many-{view or 'table'}-{scheme}.png")


def test_one_request_brings_the_curves_of_all(nora: Screen, ids: list[str]) -> None:
    page, asked = nora.page, []
    page.on("request", lambda request: asked.append(request.url) if "/api/v2/" in request.url else None)
    nora.go(address(ids))
    expect(page.locator(".chart canvas")).to_have_count(2)
    page.wait_for_load_state("networkidle")
    assert sorted(url.partition("key=")[2].partition("&")[0] for url in asked) == ["accuracy", "loss"]
    expect(page.locator(".chart-named").first).to_contain_text("200 runs")
    over = page.locator(".chart .u-over").first
    over.scroll_into_view_if_needed()
    for part in range(1, 20):  # from the top to the bottom: somewhere it crosses curves
        box = over.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * part / 20)
    expect(page.locator(".chart-named").first).to_contain_text("trial-")


def test_only_what_differs_is_shown_unless_all_is_asked_for(nora: Screen, ids: list[str]) -> None:
    page = nora.go(address(ids[:3]))
    table = page.locator("#differences")
    expect(table).to_contain_text("rate")
    expect(table).not_to_contain_text("seed")
    page.click("text=Show everything")
    expect(table).to_contain_text("seed")
    page.click("text=Runs as rows")
    expect(table.locator("tbody tr")).to_have_count(3)
    expect(table).to_contain_text("seed")  # what was chosen stays chosen
    page.locator("#differences").get_by_role("link", name="loss").click()
    expect(table.locator("thead")).to_contain_text("ascending")
    shown = [float(row.locator("td.metric").nth(1).inner_text()) for row in table.locator("tbody tr").all()]
    assert shown == sorted(shown)
    assert len(shown) == 3
    page.fill("#q", "opti")
    page.press("#q", "Enter")
    expect(table).to_contain_text("optimizer")
    expect(table).not_to_contain_text("rate")


def test_dragging_along_an_axis_chooses_runs(nora: Screen, ids: list[str]) -> None:
    page = nora.go(address(ids, view="parallel"))
    expect(page.locator("path.way")).to_have_count(200)
    area = page.locator(".brush-area").last.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] * 0.75)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] - 1, steps=4)
    page.mouse.up()
    expect(page.locator("#points-said")).to_contain_text("of 200 runs chosen")
    left = 200 - page.locator("path.way.away").count()
    assert 1 < left < 200
    expect(page.locator("#points-table tbody tr:visible")).to_have_count(left)
    page.click("#points-chosen")
    expect(page.locator(".sub")).to_have_text(f"{left} runs")


def test_runs_are_chosen_by_keyboard_too(nora: Screen, ids: list[str]) -> None:
    page = nora.go(address(ids, view="parallel", axes="param.optimizer") + "&axes=metric.loss")
    expect(page.locator("path.way")).to_have_count(200)
    page.focus("#points-ranges summary")
    page.keyboard.press("Enter")
    page.get_by_label("loss to").fill("0.5")
    expect(page.locator("#points-said")).to_contain_text("of 200 runs chosen")
    assert page.locator("path.way.away").count() > 0
    assert nora.accessibility() == []


def test_axes_of_a_scatter_are_in_the_address(nora: Screen, ids: list[str]) -> None:
    page = nora.go(address(ids[:30], view="scatter"))
    page.select_option("select[name='x']", "param.optimizer")
    page.wait_for_url("**x=param.optimizer**")
    expect(page.locator("#points-table thead")).to_contain_text("optimizer")
    expect(page.locator("#points canvas")).to_have_count(1)
    assert nora.accessibility() == []


def test_a_narrow_window_does_not_scroll_sideways(nora: Screen, ids: list[str]) -> None:
    page = nora.page
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for view in ("", "scatter", "parallel"):
        nora.go(address(ids[:20], view=view))
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), view
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
