"""Shares, the queue and asking for more, in real browsers: a member who waits, and the maintainer who can help."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import WIDE, Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
PHONE = {"width": 360, "height": 740}
PICTURES = os.environ.get("FATHOM_PICTURES", "")
SETUP = """
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.compute.models import PriorityClass
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import Resource
from apps.teams import services as teams
organization = teams.create_organization(slug="deep", name="Deep", by=SYSTEM)
team = teams.create_team(organization, slug="divers", name="Divers", by=SYSTEM)
for name, role in (("gina", "maintainer"), ("hugo", "member"), ("iris", "member")):
    teams.set_member(team, User.objects.get(username=name), role=role, by=SYSTEM)
node = quota_node(User.objects.get(username="hugo"), team)
quotas.set_limit(node, "cpu", 500, by=SYSTEM)
quotas.set_limit(node, "licenses", 2, by=SYSTEM)
quotas.set_limit(quota_node(User.objects.get(username="gina"), team), "cpu", 4000, by=SYSTEM, borrow=2000)
Resource.objects.create(name="licenses", title="Solver licenses", position=45)
Resource.objects.create(name="gpu:a100", title="A100", position=35)
PriorityClass.objects.create(name="urgent", rank=10, open_to="everyone", description="for deadlines")
PriorityClass.objects.create(name="reserved", rank=90, open_to="admins")
"""


@pytest.fixture(scope="module", autouse=True)
def people(platform: Platform) -> None:
    for name in ("gina", "hugo", "iris"):
        platform.make_user(name, password=PASSWORD)
    platform.manage(SETUP)


@pytest.fixture
def hugo(screen: Screen) -> Screen:
    screen.log_in("hugo", PASSWORD)
    return screen


@pytest.fixture
def gina(screen: Screen) -> Iterator[Screen]:
    """Open a second window, with cookies of its own."""
    browser = screen.page.context.browser
    assert browser is not None
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    other = Screen(context.new_page(), screen.url)
    other.page.on("console", other.hear)
    other.log_in("gina", PASSWORD)
    yield other
    context.close()
    assert other.complaints == []


def submit(screen: Screen, name: str, cpu: str) -> str:
    page = screen.go("/experiments/new/?team=divers")
    page.fill("#id_name", name)
    page.get_by_text("Shell", exact=True).click()
    page.fill("#id_command", "sleep 600")
    page.fill("#id_cpu", cpu)
    page.click("text=Submit experiment")
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    return page.url.removeprefix(screen.url)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_who_waits_sees_the_numbers_asks_and_is_given(hugo: Screen, gina: Screen) -> None:
    submit(hugo, "first dive", "300m")
    path = submit(hugo, "second dive", "400m")
    page = hugo.page
    panel = page.locator("#why")
    expect(panel).to_contain_text("user hugo in Divers uses 0.3 of 0.5 CPUs, and this needs 0.4", ignore_case=True)
    expect(panel).to_contain_text("With 0.2 CPUs fewer it would start now.")
    expect(panel).to_contain_text("gina, an admin")
    expect(panel).to_contain_text("Place 1")
    assert hugo.accessibility() == []
    picture(page, "why")
    page.click("#why-clone")
    expect(page.locator("#id_cpu")).to_have_value("0.2")

    hugo.go(path)
    page.get_by_role("link", name="Ask for more CPUs").click()
    expect(page.locator("#id_amount")).to_have_value("0.7")
    page.click("button:has-text('Ask')")
    expect(page.locator("#id_reason_error")).to_contain_text("Say what for.")
    expect(page.locator("#id_amount")).to_have_value("0.7")
    assert hugo.accessibility() == []
    picture(page, "ask")
    page.fill("#id_reason", "Two dives at once, for the deadline.")
    page.click("button:has-text('Ask')")
    expect(page.locator(".notices")).to_contain_text("You have asked.")
    assert hugo.accessibility() == []
    picture(page, "mine")
    hugo.complaints[:] = [said for said in hugo.complaints if "400" not in said]

    theirs = gina.go("/")
    expect(theirs.locator(".nav-item .count")).to_have_text("1")
    theirs.get_by_role("link", name=re.compile("^Usage")).first.click()
    theirs.get_by_role("link", name="Requests for more", exact=True).click()
    expect(theirs.locator("main")).to_contain_text("hugo asks for 0.7 CPUs for hugo in Divers")
    assert gina.accessibility() == []
    picture(theirs, "decide")
    theirs.get_by_label("Give").fill("1")
    theirs.get_by_label("Note").fill("One each, then.")
    theirs.click("button:has-text('Approve')")
    expect(theirs.locator(".notices")).to_contain_text("hugo in Divers may hold 1 CPUs now.")

    expect(hugo.go(path).locator("#run-status .state")).to_have_text("running", timeout=30_000)
    expect(hugo.go("/usage/requests/").locator("table")).to_contain_text("One each, then.")
    picture(page, "answered")


def test_a_maintainer_changes_a_share_in_the_sheet(gina: Screen) -> None:
    page = gina.go("/usage/")
    expect(page.locator(".members")).to_contain_text("hugo")
    assert gina.accessibility() == []
    page.get_by_role("link", name="Change what hugo may hold").click()
    sheet = page.locator("#dialog .share")
    expect(sheet).to_contain_text("hugo in Divers")
    page.fill("#id_limit_cpu", "1000")
    page.fill("#id_reason", "More.")
    sheet.get_by_role("button", name="Change").click()
    expect(page.locator("#id_limit_cpu_error")).to_contain_text("At most what team Divers has itself: 64 CPUs.")
    expect(page.locator("#id_limit_cpu")).to_have_value("1000")
    assert gina.accessibility() == []
    picture(page, "sheet")
    page.fill("#id_limit_cpu", "2")
    page.fill("#id_weight", "3")
    sheet.get_by_role("button", name="Change").click()
    expect(page.locator(".notices")).to_contain_text("The share of hugo in Divers is changed.")
    row = page.locator(".members tr", has_text="hugo")
    expect(row).to_contain_text("of 2")
    expect(row.locator(".num").nth(1)).to_have_text("3")


def test_everything_works_without_scripts(gina: Screen) -> None:
    browser = gina.page.context.browser
    assert browser is not None
    state = gina.page.context.storage_state()
    context = browser.new_context(viewport=WIDE, java_script_enabled=False, storage_state=state)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(gina.url + "/usage/")
    page.get_by_role("link", name="Change what iris may hold").click()
    page.wait_for_url(re.compile("/usage/teams/divers/iris/"))
    page.fill("#id_limit_gpu", "1")
    page.fill("#id_reason", "Begins tomorrow.")
    page.click("main button:has-text('Change')")
    expect(page.locator(".notices")).to_contain_text("The share of iris in Divers is changed.")
    page.goto(gina.url + "/usage/queue/")
    expect(page.locator("main")).to_contain_text("Nothing waits")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_clean_in_both_schemes_and_on_a_phone(scheme: str, hugo: Screen) -> None:
    page = hugo.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    path = submit(hugo, f"{scheme} dive", "1.9")
    expect(page.locator("#why")).to_contain_text("In use")
    paths = {
        "run": path, "usage": "/usage/", "queue": "/usage/queue/", "requests": "/usage/requests/", "asking": "/usage/ask/",
        "submit": "/experiments/new/",
    }  # fmt: skip
    found: list[str] = []
    for size in (WIDE, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for name, address in paths.items():
            hugo.go(address)
            page.wait_for_load_state("networkidle")
            if name == "submit":
                page.click("text=More settings")
                expect(page.locator("#id_priority_class")).to_contain_text("urgent")
                expect(page.locator("#id_priority_class")).not_to_contain_text("reserved")
                expect(page.locator("#id_gpu_model")).to_contain_text("A100")
            found += hugo.accessibility()
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, size)
            picture(page, f"{name}-{scheme}-{size['width']}")
    assert found == []
