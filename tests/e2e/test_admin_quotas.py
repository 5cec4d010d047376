"""Quotas and the queue in an operator's browser: what if, a request approved, a node moved, the queue in its order."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import NARROW, WIDE, Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]
PASSWORD = "correct horse battery"
# Optics holds what it may and what it may borrow, and has more to do; Acoustics has less than one of its jobs needs.
_QUEUE = """
from datetime import timedelta
from django.utils import timezone
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.compute import priority_classes
from apps.compute import services as compute
from apps.compute.models import Cluster, PriorityClass, Workload
from apps.experiments import services as experiments
from apps.quotas import services as quotas
from apps.quotas.models import QuotaLimit, QuotaNode, Resource, ShareUse
from apps.teams import services as teams
P = "correct horse battery"
warden = accounts.create_user("warden", by=SYSTEM, password=P, is_admin=True)
warden.elevated_until = timezone.now() + timedelta(hours=1)
lab = teams.create_organization(slug="light-lab", name="Lab", by=warden)
quotas.save_resource(Resource(name="gpu:h100", title="H100", position=31, weight=2000), by=warden, reason="the new hall")
priority_classes.save_priority_class(PriorityClass(name="deadline", rank=50, description="papers"), by=warden, reason="as agreed")
hall = compute.save_cluster(Cluster(name="gpu-floor", kind="fake", settings={}), by=warden)
compute.drain_cluster(hall, by=warden, reason="until all is set up")
jobs = {}
for slug, name, count, used in (("optics", "rita", 4, 220.0), ("acoustics", "sam", 3, 35.0)):
    team = teams.create_team(lab, slug=slug, name=slug.title(), by=warden)
    user = accounts.create_user(name, by=warden, password=P)
    teams.set_member(team, user, role="member", by=warden)
    for number in range(count):
        jobs[name, number] = experiments.submit_experiment({"command": "true", "name": f"{slug}-sweep-{number}", "team": slug, "cluster": {"name": "gpu-floor"}, "resources": {"cpu": 1, "gpu": 2}}, by=user).workload
    own = jobs[name, 0].quota_node
    for node in (own, own.parent):
        ShareUse.objects.update_or_create(node=node, defaults={"amount": used * 360_000})
optics = jobs["rita", 0].quota_node.parent
quotas.set_limit(optics, "gpu", 8000, by=warden, reason="the budget", borrow=4000)
QuotaLimit.objects.filter(node=optics, resource="gpu").update(used=12000)
quotas.set_limit(jobs["sam", 0].quota_node.parent, "gpu", 1000, by=warden, reason="the budget")
quotas.set_limit(jobs["rita", 0].quota_node, "gpu", 4000, by=warden, reason="x")
quotas.request_allocation(jobs["rita", 0].quota_node, "gpu", 6000, by=jobs["rita", 0].user, reason="the camera-ready deadline is on Friday", until=timezone.now() + timedelta(days=20))
quotas.create_group("Grant 2027", QuotaNode.objects.get(key=f"org:{lab.pk}"), by=warden, reason="ERC")
compute.drain_cluster(hall, drained=False, by=warden, reason="all is set up")
print("node", optics.pk)
"""


@pytest.fixture(scope="module")
def optics(platform: Platform) -> str:
    """Return the id of the node whose limit is in the way."""
    found = platform.manage(_QUEUE)
    return next(line.split()[1] for line in found.splitlines() if line.startswith("node"))


@pytest.fixture
def warden(screen: Screen, optics: str) -> Screen:
    screen.log_in("warden", PASSWORD)
    page = screen.go("/elevate/?next=/admin/")
    screen.elevate(PASSWORD, "the queue")
    expect(page.locator("h1")).to_have_text("Operations")
    return screen


def judged(screen: Screen) -> list[str]:
    """Look at the page in light and dark, and whether it fits a phone; return what axe says."""
    page, found = screen.page, []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found += screen.accessibility()
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    return found


def picture(screen: Screen, images: Path, name: str) -> None:
    """Keep the page as it is for the documents; its name ends with the scheme."""
    scheme = name.rpartition("-")[2]
    screen.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    screen.page.screenshot(path=images / f"{name}.png", full_page=True)


def node_page(screen: Screen, optics: str) -> Page:
    return screen.go(f"/admin/quotas/quotanode/{optics}/change/")


def test_the_queue_and_why(warden: Screen, images: Path) -> None:
    page = warden.go("/admin/compute/workload/")
    page.click("text=In the order of the queue")
    rows = page.locator("#content-main tbody tr")
    expect(rows.first).to_contain_text("acoustics-sweep-0")
    found = judged(warden)
    picture(warden, images, "admin-queue-dark")
    page.click("a:has-text('optics-sweep-0')")
    expect(page.locator(".panels")).to_contain_text("Why it waits")
    expect(page.locator(".panels")).to_contain_text("In its way: team Optics")
    assert [*found, *judged(warden)] == []


def test_what_if_shows_and_then_sets(warden: Screen, optics: str, images: Path) -> None:
    page = node_page(warden, optics)
    expect(page.locator(".readonly .meter", has_text="borrowed")).to_contain_text("4 of 4 borrowed")
    found = judged(warden)
    page.click("text=What if…")
    assert page.locator("input[name='_confirmed']").count() == 0
    page.fill("#id_limit_gpu", "12")
    page.click("input[name='_look']")
    expect(page.locator("#content-main")).to_contain_text("more would start now")
    expect(page.locator("[aria-labelledby='besides-heading']")).to_contain_text("optics-sweep-0")
    found += judged(warden)
    picture(warden, images, "admin-what-if-light")
    page.click("input[name='_confirmed']")
    expect(page.locator(".errorlist")).to_have_text("Say why.")
    found += warden.accessibility()
    page.fill("#id_reason", "four cards more until June")
    page.click("input[name='_confirmed']")
    expect(page.locator(".messagelist .success")).to_have_text("1 limits set.")
    expect(page.locator("#id_limit_gpu")).to_have_value("12")
    assert found == []


def test_a_request_is_found_in_front_and_approved(warden: Screen) -> None:
    page = warden.go("/admin/")
    page.click(".tile:has-text('requests for quota open')")
    page.wait_for_url("**/allocationrequest/**")
    found = judged(warden)
    page.click("#result_list th a:has-text('6 GPUs')")
    page.click("button:has-text('Approve')")
    expect(page.locator(".tally")).to_contain_text("Nothing has been done yet.")
    expect(page.locator("#content-main tbody")).to_contain_text("from 4 to 6 GPUs until")
    found += judged(warden)
    page.fill("#id_amount", "5")
    page.click("input[name='_look']")
    expect(page.locator("#content-main tbody")).to_contain_text("from 4 to 5 GPUs until")
    page.fill("#id_reason", "five are free until then")
    page.click("input[name='_confirmed']")
    expect(page.locator(".messagelist .success")).to_have_text("1 approved.")
    expect(page.locator("#content-main")).to_contain_text("five are free until then")
    assert found == []


def test_a_team_is_moved_below_a_group(warden: Screen, optics: str) -> None:
    page = node_page(warden, optics)
    page.click("button:has-text('Move')")
    page.click(".select2-selection")
    page.fill(".select2-search__field", "grant")
    page.click(".select2-results__option:has-text('Grant 2027')")
    page.click("input[name='_look']")
    expect(page.locator("#content-main tbody")).to_contain_text(
        "hangs below group Grant 2027; nothing is over a limit there"
    )
    found = judged(warden)
    page.fill("#id_reason", "paid by the grant")
    page.click("input[name='_confirmed']")
    expect(page.locator(".messagelist .success")).to_have_text("1 moved.")
    expect(page.locator("#content-main")).to_contain_text("group Grant 2027")
    assert found == []


def test_the_lists(warden: Screen) -> None:
    found = []
    for label in ("quotas/quotanode", "quotas/shareuse", "quotas/resource", "compute/priorityclass"):
        warden.go(f"/admin/{label}/")
        found += warden.accessibility()
    warden.go("/admin/quotas/shareuse/")
    assert [*found, *judged(warden)] == []
