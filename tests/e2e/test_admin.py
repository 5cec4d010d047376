"""An operator's day in a real browser: every page of the admin under the strict policy, in light and dark."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import NARROW, WIDE, Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
PASSWORD = "correct horse battery"
EVERY_KIND = 25  # of the models that the admin shows
FORMS = 8  # of them have a form for a new row
# A day's worth of trouble. What is parked is looked at by no loop.
_DAY = """
from datetime import timedelta
from django.utils import timezone
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import LoginFailure, Registration, User
from apps.compute import services as compute
from apps.compute.lifecycle import transition
from apps.compute.models import Attempt, Cluster, Workload
from apps.credentials import services as credentials
from apps.directory import services as directory
from apps.directory.models import DirectoryRule
from apps.experiments import services as experiments
from apps.experiments.models import CodeUpload
from apps.experiments.services import quota_node
from apps.quotas.models import QuotaLimit, Reservation
from apps.sharing import services as sharing
from apps.teams import services as teams
from apps.tracking.models import Artifact, MetricSeries, Param
from apps.core.middleware import RequestContext, current_request
P = "correct horse battery"
here = current_request.set(RequestContext("a-day-in-the-admin", "192.0.2.7", "admin"))
operator = accounts.create_user("operator", by=SYSTEM, password=P, is_admin=True)
operator.elevated_until = timezone.now() + timedelta(hours=1)
acme = teams.create_organization(slug="acme", name="Acme", by=operator)
made = {slug: teams.create_team(acme, slug=slug, name=slug.title(), by=operator) for slug in ("vision", "speech", "robotics")}
people = {}
for name, team, role in (("ana", "vision", "maintainer"), ("li", "vision", "member"), ("noor", "speech", "member"), ("tom", "robotics", "viewer")):
    people[name] = accounts.create_user(name, by=operator, email=f"{name}@acme.example", password=P)
    teams.set_member(made[team], people[name], role=role, by=operator)
accounts.issue_token(people["ana"], by=people["ana"], name="laptop")
accounts.issue_token(people["ana"], by=people["ana"], name="nightly", expires_in=None)
parked = compute.save_cluster(Cluster(name="gpu-hall", kind="fake", settings={}), by=operator)
compute.drain_cluster(parked, by=operator, reason="disks are exchanged until noon")
current_request.reset(here)
names = ["resnet50-imagenet", "whisper-small-de", "segment-cells", "gripper-ppo", "ablation-dropout", "vit-b16-warmup", "lm-tokenizer", "depth-kitti"]
jobs = []
for number in range(16):
    who = list(people.values())[number % 3]
    team = ["vision", "vision", "speech"][number % 3]
    jobs.append(experiments.submit_experiment({"command": "true", "name": f"{names[number % 8]}-{number}", "team": team, "cluster": {"name": "gpu-hall"}}, by=who))
paths = {2: ["starting", "running"], 3: ["starting", "failed"], 5: ["starting", "running", "lost"], 7: ["starting"], 8: ["starting", "running"], 10: ["starting", "failed"], 11: ["starting", "stopping"], 13: ["starting", "running", "succeeded"]}
why = {3: "exited with code 137: out of memory (12 GiB asked, 12 GiB used)", 5: "gpu-hall lost the node gpu-03", 10: "exited with code 1"}
for number, states in paths.items():
    workload = jobs[number].workload
    for state in states:
        transition(workload, state, actor="reconcile", attempt_no=1, **({"message": why[number]} if number in why and state == states[-1] else {}))
    Attempt.objects.create(workload=workload, no=1, cluster=parked, handle=f"fth-{workload.pk.hex}-1", verdict=states[-1] if number in why else "")
Workload.objects.filter(cluster=parked).update(next_reconcile_at=None)
Workload.objects.filter(cluster=parked, state="queued").update(reason="QuotaFull", message="waiting: team Vision uses 8 of 8 GPUs, and this needs 2")
ago = lambda minutes: timezone.now() - timedelta(minutes=minutes)
Workload.objects.filter(pk__in=[jobs[7].workload_id, jobs[11].workload_id]).update(state_changed_at=ago(24))
Workload.objects.filter(state="running").update(started_at=ago(300), state_changed_at=ago(300), last_seen_at=timezone.now())
node = quota_node(people["ana"], made["vision"])
QuotaLimit.objects.filter(node=node.parent, resource="gpu").update(limit=8000, used=8000)
QuotaLimit.objects.filter(node=node.parent, resource="cpu").update(limit=64000, used=60500)
QuotaLimit.objects.filter(node=node, resource="gpu").update(limit=8000, used=6000)
Reservation.objects.create(key="fth-x-1", node=node, node_ids=[], amounts={"gpu": 2000})
run = jobs[3].run
Artifact.objects.create(run=run, path="model.pt", sha256="ab" * 32, size_bytes=48 * 1024**2)
Param.objects.create(run=run, key="lr", value="0.0003")
MetricSeries.objects.create(run=run, key="loss", count=300, last_value=0.31)
CodeUpload.objects.create(owner=people["ana"], sha256="cd" * 32, format="zip", size_bytes=18_000)
for number in range(7):
    LoginFailure.objects.create(username="root", ip="203.0.113.9")
credentials.create_credential("hub", "generic", {"value": "canary-hub"}, by=people["ana"], team=made["vision"])
teams.create_service_account(made["vision"], name="ci", by=people["ana"])
teams.invite([(made["speech"], "member")], by=operator, email="guest@acme.example")
Registration.objects.create(username="guest", email="guest@acme.example", note="I join the speech team")
sharing.request_access("run", run.pk, by=people["tom"], message="to compare with the gripper")
directory.save_rule(DirectoryRule(source="ldap", group="cn=vision", team=made["vision"], role="member"), by=operator)
directory.sync(by=operator)
auditor = accounts.create_user("auditor", by=SYSTEM, password=P)
accounts.set_platform_role(auditor, "auditor", by=SYSTEM)
print("made")
"""


@pytest.fixture(scope="module", autouse=True)
def day(platform: Platform) -> None:
    assert "made" in platform.manage(_DAY)


@pytest.fixture
def operator(screen: Screen) -> Screen:
    screen.log_in("operator", PASSWORD)
    page = screen.go("/elevate/?next=/admin/")
    screen.elevate(PASSWORD, "a day's work")
    expect(page.locator("h1")).to_have_text("Operations")
    return screen


def scheme(page: Page, name: str) -> None:
    page.emulate_media(color_scheme=name, reduced_motion="reduce")  # type: ignore[arg-type]


def lists(page: Page) -> list[str]:
    found = page.locator(".all-tables a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(found) > 15
    return [str(href) for href in found]


def pages_of(screen: Screen) -> list[str]:
    """The pages behind a list, which is open: the form for a new row, a row and its history."""
    links = [screen.page.locator(link) for link in (".object-tools a.addlink", "#result_list tbody tr th a")]
    found = [str(link.first.get_attribute("href")) for link in links if link.count()]
    return found + [path.replace("/change/", "/history/") for path in found if "/change/" in path]


def walk(screen: Screen) -> list[str]:
    """Open every list and the pages behind it; the complaints of the console are the fixture's to judge."""
    page = screen.page
    found, kinds = screen.accessibility(), []
    for number, url in enumerate(lists(page)):
        scheme(page, ["light", "dark"][number % 2])
        screen.go(url)
        found += screen.accessibility() if number % 4 == 0 else []  # lists and histories are one template each
        for path in pages_of(screen):
            screen.go(path)
            kinds.append(path.rstrip("/").rpartition("/")[2])
            if "/history/" not in path or number % 4 == 0:
                found += screen.accessibility()
    assert found == [], "\n".join(found)
    assert kinds.count("change") == kinds.count("history") >= EVERY_KIND, kinds
    return kinds


@pytest.mark.timeout(400)  # a hundred pages, each looked through by axe
def test_every_page_runs_under_the_policy_and_is_accessible(operator: Screen) -> None:
    assert walk(operator).count("add") >= FORMS
    for path in ("/admin/credentials/credential/add/?kind=generic", "/admin/compute/cluster/add/?kind=local"):
        operator.go(path)
        assert operator.accessibility() == []


@pytest.mark.timeout(400)
def test_every_page_that_an_auditor_reads_is_accessible(screen: Screen) -> None:
    screen.log_in("auditor", PASSWORD)
    screen.go("/admin/")
    assert walk(screen).count("add") == 0


def test_a_question_of_every_list(operator: Screen) -> None:
    for url in lists(operator.page):
        page = operator.go(url)
        questions = page.locator("#changelist-filter details").first.locator("a")
        if questions.count() > 1:
            operator.go(f"{url}{questions.nth(1).get_attribute('href')}")


def test_each_action_shows_what_it_would_do(operator: Screen) -> None:
    page = operator.page
    found: list[str] = []
    seen: list[str] = []
    for url in lists(page):
        operator.go(url)
        if not page.locator("#result_list input.action-select").count():
            continue  # nothing of this kind exists here, so there is nothing to choose
        actions = page.locator("select[name='action'] option").evaluate_all("all => all.map(one => one.value)")
        for action in [name for name in actions if name and name != "check_now"]:
            operator.go(url)
            page.check("#result_list tbody tr:first-child input.action-select")
            page.select_option("select[name='action']", action)
            page.click(".actions button")
            expect(page.locator(".tally")).to_contain_text("Nothing has been done yet.")
            found += operator.accessibility()
            seen.append(f"{url} {action}")
    assert found == []
    assert len(seen) >= 8, seen


def test_pictures(operator: Screen, images: Path) -> None:
    page = operator.page
    for name in ("light", "dark"):
        scheme(page, name)
        operator.go("/admin/accounts/user/?q=ana")
        person = str(page.locator("#result_list tbody th a").first.get_attribute("href"))
        operator.go("/admin/")
        page.screenshot(path=images / f"admin-front-{name}.png")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for path in ("/admin/", person):
        operator.go(path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def test_a_bulk_action_is_previewed_confirmed_and_reported(operator: Screen, images: Path) -> None:
    page = operator.page
    scheme(page, "dark")
    operator.go("/admin/compute/workload/")
    page.check("#action-toggle")
    page.select_option("select[name='action']", "force_stop")
    page.click(".actions button")
    expect(page.locator(".tally")).to_contain_text("will change")
    page.screenshot(path=images / "admin-preview-dark.png")
    page.fill("#id_reason", "maintenance of the hall")
    page.click("input.default")
    expect(page.locator(".messagelist .success")).to_contain_text("asked to stop.")
    expect(page.locator("td:has-text('It has already')").first).to_be_visible()
    assert operator.accessibility() == []


def test_a_filter_is_saved_found_again_and_forgotten(operator: Screen) -> None:
    page = operator.go("/admin/compute/workload/")
    page.click("#changelist-filter a:has-text('Waiting for quota')")
    page.click("text=Save this filter")
    page.fill("#saved-name", "my morning")
    page.check("text=For all operators")
    page.click(".saved .tool")
    expect(page.locator(".saved li.current")).to_contain_text("my morning")
    assert operator.accessibility() == []
    operator.go("/admin/compute/workload/")
    page.click("text=my morning")
    expect(page.locator(".saved li.current")).to_contain_text("my morning")
    with page.expect_download() as download:
        page.click("text=CSV")
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("label,state,why")
    assert len(lines) == 1 + page.locator("#result_list tbody tr").count()
    page.click("button[aria-label='Forget the filter my morning']")
    expect(page.locator(".saved li")).to_have_count(0)


def test_a_member_is_found_by_typing(operator: Screen) -> None:
    page = operator.go("/admin/teams/team/")
    page.click("text=Robotics")
    page.click("text=Add another member")
    page.locator(".select2-selection").last.click()
    page.locator(".select2-search__field").fill("noo")
    page.locator(".select2-results__option:has-text('noor')").click()
    page.click("input[name='_continue']")
    expect(page.locator(".messagelist .success")).to_be_visible()
    expect(page.locator("#memberships-group")).to_contain_text("noor")


def test_limits_come_from_a_file(operator: Screen) -> None:
    page = operator.go("/admin/quotas/quotanode/")
    page.click("text=Import limits")
    assert operator.accessibility() == []
    with page.expect_download() as download:
        page.click("text=The limits as they are now")
    text = Path(download.value.path()).read_text()
    key = re.findall(r"^(team:\d+),gpu,", text, re.MULTILINE)[0]
    for content, words in ((f"key,resource,limit\nnobody,gpu,1\n{key},gpu,16\n", "cannot be done"), (f"key,resource,limit\n{key},gpu,16\n", "1 of 1 limits will change")):  # fmt: skip
        page.set_input_files("#id_file", {"name": "l.csv", "mimeType": "text/csv", "buffer": content.encode()})
        page.click("input.default")
        expect(page.locator("#content-main")).to_contain_text(words)
        assert operator.accessibility() == []
    page.fill("#id_reason", "the new cards are in")
    page.click("input.default")
    expect(page.locator(".messagelist .success")).to_have_text("1 limits set.")


def test_seeing_as_a_person_and_stopping(operator: Screen, images: Path) -> None:
    page = operator.go("/admin/accounts/user/")
    page.click("#result_list a:has-text('ana')")
    page.click("button:has-text('See as')")
    page.fill("#id_reason", "she cannot find her run")
    page.click("input.default")
    expect(page.locator(".seeing")).to_contain_text("You see the platform as ana")
    found = operator.accessibility()
    for name in ("light", "dark"):
        scheme(page, name)
        operator.go("/experiments/")
        found += operator.accessibility()
    assert found == []
    scheme(page, "light")
    page.screenshot(path=images / "admin-see-as-light.png")
    operator.go("/tokens/")
    expect(page.locator("h1")).to_have_text("Not allowed")
    operator.complaints.clear()
    page.click(".seeing button")
    expect(page.locator(".messagelist")).to_contain_text("your own eyes again")
    assert page.locator(".seeing").count() == 0
