"""One person's day on the platform, in a real browser against real processes."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import NARROW, WIDE, Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
TRAINING = r"""
import math, sys, time, fathom
rate, epochs = float(sys.argv[1]), int(sys.argv[2])
fathom.log_params({"rate": rate, "epochs": epochs})
for epoch in range(epochs):
    loss = 2.3 * math.exp(-epoch * rate) + 0.05
    fathom.log_metrics({"train/loss": loss, "val/accuracy": 1 - loss / 2.5}, step=epoch)
    print(f"epoch {epoch}  loss {loss:.4f}  \033[32mok\033[0m", flush=True)
    time.sleep(0.03)
open("notes.txt", "w").write("trained\n"); fathom.log_artifact("notes.txt")
open("table.csv", "w").write("epoch,loss\n0,2.3\n1,1.9\n"); fathom.log_artifact("table.csv")
print("done <b>bold</b>")
"""


@pytest.fixture(scope="module", autouse=True)
def people(platform: Platform, setup_path: str) -> None:
    """Make alice, who does the work; sre comes in by the set-up link, whichever test runs first."""
    platform.make_user("alice", password=PASSWORD)
    assert setup_path


@pytest.fixture
def alice(screen: Screen) -> Screen:
    screen.log_in("alice", PASSWORD)
    return screen


def submit(screen: Screen, name: str, command: str, *, kind: str = "Shell", tags: str = "") -> str:
    """Fill in the form as a person does; return the run page's path."""
    page = screen.go("/experiments/new/")
    page.fill("#id_name", name)
    page.get_by_text(kind, exact=True).click()
    page.fill("#id_command", command)
    page.fill("#id_tags", tags)
    expect(page.locator("#preview")).to_contain_text("fits now")
    page.click("text=Submit experiment")
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    return page.url.removeprefix(screen.url)


def train(screen: Screen, name: str, rate: float, epochs: int = 30) -> str:
    script = TRAINING.replace("'", "'\\''")
    return submit(screen, name, f"python -c '{script}' {rate} {epochs}", tags="family=curves")


def wait_for_state(page: Page, state: str) -> None:
    expect(page.locator("#run-status .state")).to_have_text(state, timeout=60_000)


def test_the_setup_link_makes_the_first_admin_and_works_once(screen: Screen, setup_path: str) -> None:
    page = screen.go(setup_path)
    assert screen.accessibility() == []
    page.fill("#id_username", "sre")
    page.fill("#id_password", PASSWORD)
    page.fill("#id_again", PASSWORD)
    page.click("text=Create the admin")
    expect(page.locator(".notices")).to_contain_text("Welcome, sre")
    assert page.goto(screen.url + setup_path).status == 404  # type: ignore[union-attr]
    assert len(screen.complaints) == 2  # the 404 itself, heard twice: as an answer and in the console
    screen.complaints.clear()


def test_an_empty_home_teaches(alice: Screen) -> None:
    page = alice.page
    expect(page.locator("main")).to_contain_text("Run your first experiment")
    expect(page.locator(".command code")).to_contain_text("fathom run")
    assert alice.accessibility() == []


def test_submit_watch_the_log_and_look_at_the_curves(alice: Screen) -> None:
    path = train(alice, "curves-a", 0.1)
    page = alice.go(f"{path}logs/")
    expect(page.locator("#log")).to_contain_text("epoch 3 ", timeout=30_000)
    expect(page.locator("#log")).to_contain_text("done <b>bold</b>", timeout=30_000)
    expect(page.locator("#log .ansi-2").first).to_have_text("ok")
    expect(page.locator("#log-live")).to_have_text("Complete", timeout=30_000)
    wait_for_state(page, "succeeded")
    lines = page.locator("#log .line .text").all_inner_texts()
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == [str(n) for n in range(30)]
    page.fill("#log-search", "epoch 7 ")
    expect(page.locator("#log-matches")).to_have_text("1 of 1")
    assert alice.accessibility() == []
    alice.go(f"{path}metrics/")
    expect(page.locator(".chart canvas")).to_have_count(2)
    page.get_by_text("Log", exact=True).click()
    page.get_by_text("Time", exact=True).click()
    expect(page.locator(".chart canvas")).to_have_count(2)
    assert alice.accessibility() == []


def test_a_log_that_was_cut_off_goes_on_where_it_stopped(alice: Screen) -> None:
    path = submit(alice, "numbers", "for i in $(seq 1 60); do echo line-$i; sleep 0.05; done")
    page = alice.page
    page.add_init_script(
        "const Real = WebSocket; window.sockets = [];"
        "window.WebSocket = class extends Real { constructor(u) { super(u); window.sockets.push(this); } };"
    )
    alice.go(f"{path}logs/")
    expect(page.locator("#log")).to_contain_text("line-5\n", timeout=30_000)
    page.evaluate("window.sockets.at(-1)?.close()")
    expect(page.locator("#log-live")).to_have_text("Complete", timeout=30_000)
    assert page.locator("#log .line .text").all_inner_texts() == [f"line-{n}" for n in range(1, 61)]
    # The log can be complete before the new connection is: the page gives that up, and Chromium says so.
    given_up = "closed before the connection is established"
    alice.complaints[:] = [one for one in alice.complaints if given_up not in one]


def test_stop_with_a_reason(alice: Screen) -> None:
    # It takes its time, so that the page is there before the end and has something to announce.
    path = submit(alice, "sleeper", "trap 'sleep 4; exit 1' TERM; sleep 600")
    page = alice.page
    wait_for_state(page, "running")
    page.click("#run-actions summary:has-text('Stop')")
    page.fill("#stop-reason", "wrong data")
    page.click("text=Stop it")
    wait_for_state(page, "stopped")
    expect(page.locator("#run-status")).to_contain_text("wrong data")
    expect(page.locator("#announce")).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Retry")).to_be_enabled()
    alice.go(f"{path}events/")
    expect(page.locator(".timeline")).to_contain_text("Stopped by alice: wrong data")


def test_filters_are_chips_and_compare_is_an_address(alice: Screen) -> None:
    train(alice, "curves-b", 0.2)
    wait_for_state(alice.page, "succeeded")
    page = alice.go("/experiments/")
    page.click("summary:has-text('Tag')")
    page.fill("#tag", "family=curves")
    page.press("#tag", "Enter")
    expect(page.locator("#rows tr")).to_have_count(2)
    page.click("h1")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    expect(page.locator("#bulk-count")).to_have_text("2 chosen")
    page.click("text=Compare")
    page.wait_for_url(re.compile("/runs/compare/"))
    expect(page.locator("table.table")).to_contain_text("rate")
    expect(page.locator(".chart canvas")).to_have_count(2)
    assert page.locator(".chart").first.locator(".u-legend .u-series").count() == 3
    assert alice.accessibility() == []


def test_the_palette_finds_and_goes(alice: Screen) -> None:
    page = alice.go("/usage/")
    page.keyboard.press("Control+k")
    page.keyboard.type("curves-a")
    expect(page.locator(".results a.current")).to_contain_text("curves-a")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("curves-a")


def test_a_form_keeps_what_was_typed(alice: Screen) -> None:
    page = alice.go("/experiments/new/")
    page.fill("#id_command", "echo kept")
    page.fill("#id_cpu", "many")
    expect(page.locator("#preview")).to_contain_text("Not a quantity")
    page.click("text=Submit experiment")
    expect(page.locator("#id_cpu_error")).to_contain_text("Not a quantity")
    expect(page.locator("#id_command")).to_have_value("echo kept")
    assert alice.accessibility() == []
    alice.complaints[:] = [said for said in alice.complaints if "400" not in said]


def test_the_theme_holds_without_a_flash(alice: Screen) -> None:
    page = alice.page
    page.click("button:has-text('Theme')")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    policy = page.request.get(alice.url + "/").headers["content-security-policy"]
    assert "unsafe" not in policy


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_clean_in_both_schemes_and_pictured(scheme: str, alice: Screen, images: Path) -> None:
    page = alice.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    alice.go("/experiments/?tag=family%3Dcurves")
    run = page.locator("#rows a").first.get_attribute("href")
    ids = "&".join(
        f"id={pk}" for pk in page.locator("#rows input").evaluate_all("boxes => boxes.map(box => box.value)")
    )
    pages = {
        "home": "/", "experiments": "/experiments/", "submit": "/experiments/new/", "run": run, "metrics": f"{run}metrics/",
        "logs": f"{run}logs/", "artifacts": f"{run}artifacts/?file=table.csv", "events": f"{run}events/", "clone": f"{run}clone/",
        "compare": f"/runs/compare/?{ids}", "teams": "/teams/", "usage": "/usage/", "tokens": "/tokens/", "search": "/search/?q=c",
    }  # fmt: skip
    found: list[str] = []
    for name, path in pages.items():
        alice.go(path or "/")
        page.wait_for_load_state("networkidle")
        found += alice.accessibility()
        if name in {"experiments", "run", "metrics", "logs", "compare"}:
            page.screenshot(path=images / f"{name}-{scheme}.png")
    assert found == []


def test_a_narrow_window_does_not_scroll_sideways(alice: Screen) -> None:
    page = alice.page
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for path in ("/", "/experiments/", "/experiments/new/", "/usage/", "/tokens/", "/teams/"):
        alice.go(path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def test_nothing_moves_and_little_is_sent(alice: Screen) -> None:
    page = alice.page
    page.add_init_script(
        "window.moved = 0; new PerformanceObserver(list => { for (const e of list.getEntries()) window.moved += e.value; })"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    for path in ("/", "/experiments/", "/experiments/new/", "/usage/"):
        alice.go(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.moved") < 0.01, path
        sent = page.evaluate(
            "performance.getEntries().filter(e => 'encodedBodySize' in e).reduce((sum, e) => sum + e.encodedBodySize, 0)"
        )
        assert sent < 150_000, path


def test_everything_works_without_javascript(platform: Platform, screen: Screen) -> None:
    browser = screen.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{platform.url}/login/")
    page.fill("#id_username", "alice")
    page.fill("#id_password", PASSWORD)
    page.click("button:has-text('Log in')")
    page.goto(f"{platform.url}/experiments/new/")
    page.fill("#id_name", "plain")
    page.fill("#id_command", "echo plain-words")
    page.click("text=Submit experiment")
    path = page.url
    for _ in range(200):
        page.goto(f"{path}logs/")
        if "succeeded" in page.locator("#run-status").inner_text():
            break
    assert page.locator("#log").inner_text().strip() == "plain-words"
    page.goto(f"{platform.url}/experiments/?q=plain")
    page.check("#rows input[name='id']")
    page.click("button:has-text('Delete')")
    assert "1 experiment deleted." in page.locator(".notices").inner_text()
    page.click("button:has-text('Log out')")
    assert page.url == f"{platform.url}/login/"
