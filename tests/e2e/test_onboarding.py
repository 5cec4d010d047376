"""People come and go, in a real browser: a file of people, an invitation, an off-boarding while a job runs."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Screen
from tests.platform import Platform, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
FILE = """username,email,first_name,last_name,team,role
newt,newt@example.org,Newt,Scamander,sight,maintainer
fay,fay@example.org,Fay,,sight,member
"""


@pytest.fixture(scope="module", autouse=True)
def team(platform: Platform) -> None:
    platform.make_user("chief", password=PASSWORD, is_admin=True)
    platform.manage(
        "from apps.access.principal import SYSTEM\nfrom apps.teams import services\n"
        "made = services.create_organization(slug='lab', name='Lab', by=SYSTEM)\n"
        "services.create_team(made, slug='sight', name='Sight', by=SYSTEM)\n"
    )


def shoot(screen: Screen, name: str) -> None:
    """Keep a picture where SHOTS says, for a person to look at."""
    if folder := os.environ.get("SHOTS"):
        screen.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def operate(screen: Screen) -> None:
    screen.log_in("chief", PASSWORD)
    page = screen.go("/elevate/?next=/admin/")
    screen.elevate(PASSWORD, "people come and go")
    page.wait_for_url(screen.url + "/admin/")


def test_a_file_is_looked_at_imported_and_its_links_open_the_accounts(
    screen: Screen, platform: Platform, tmp_path: Path
) -> None:
    operate(screen)
    page = screen.go("/admin/accounts/user/")
    page.click("text=Import people…")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(FILE.replace("fay,fay@example.org", "fay,nonsense").replace("sight,member", "nowhere,member"))
    page.set_input_files("#id_file", str(wrong))
    page.click("text=Show what would happen")
    expect(page.locator("#preview caption")).to_contain_text("1 wrong line")
    expect(page.locator("#preview")).to_contain_text("there is no team nowhere")
    shoot(screen, "import-wrong")
    assert screen.accessibility() == []
    right = tmp_path / "people.csv"
    right.write_text(FILE)
    page.set_input_files("#id_file", str(right))
    page.click("text=Show what would happen")
    expect(page.locator("#preview")).to_contain_text("creates newt; maintainer of sight")
    shoot(screen, "import-preview")
    assert screen.accessibility() == []
    page.click("input[value=Import]")
    expect(page.locator("#links")).to_contain_text("/join/fth_inv_")
    expect(page.locator("#links button[data-copy]").first).to_be_visible()
    shoot(screen, "import-links")
    assert screen.accessibility() == []
    with page.expect_download() as saved:
        page.click("text=Save as a file")
    lines = Path(saved.value.path()).read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["username", "newt", "fay"]
    path = lines[1].partition(",")[2].removeprefix(platform.url)
    screen.page.context.clear_cookies()
    page = screen.go(path)
    expect(page.locator("h1")).to_have_text("Welcome, newt")
    assert screen.accessibility() == []
    page.fill("#id_password", PASSWORD)
    page.fill("#id_again", PASSWORD)
    page.click("text=Set the password")
    page.wait_for_url(screen.url + "/")
    expect(page.locator(".notices")).to_contain_text("Welcome, newt")


def test_a_maintainer_invites_and_the_guest_joins(screen: Screen) -> None:
    screen.log_in("newt", PASSWORD)
    page = screen.go("/teams/sight/")
    shoot(screen, "team")
    assert screen.accessibility() == []
    page.fill("#id_invite_email", "guest@example.org")
    page.click("text=Make a link")
    link = page.locator("#new-invitation").inner_text()
    shoot(screen, "team-invitation")
    page.fill("#id_service_name", "ci")
    page.click("text=Create >> nth=-1")
    expect(page.locator("h1")).to_contain_text("svc.sight.ci")
    page.fill("#id_name", "deploy")
    page.click("text=Choose what it may do")
    shoot(screen, "service-account")
    assert screen.accessibility() == []
    page.select_option("#id_scope", "chosen")
    page.check("input[value='run:view']")
    page.click("text=Create token")
    expect(page.locator("#new-token")).to_contain_text("fth_svc_")
    screen.page.context.clear_cookies()
    page = screen.go(link.removeprefix(screen.url))
    shoot(screen, "join")
    assert screen.accessibility() == []
    page.fill("#id_username", "guest")
    page.fill("#id_password", PASSWORD)
    page.fill("#id_again", PASSWORD)
    page.click("text=Create my account")
    page.wait_for_url(screen.url + "/")
    expect(page.locator(".whoami")).to_contain_text("guest")


def test_an_offboarding_ends_a_session_and_a_job(screen: Screen, platform: Platform) -> None:
    token = platform.make_user("leaver", password=PASSWORD)
    job = platform.api(token, "POST", "/experiments/", {"command": "sleep 300", "name": "long"})

    def state() -> str:
        code = "from apps.compute.models import Workload\nprint(Workload.objects.get(label='long', user__username='leaver').state)"
        return platform.manage(code).strip().splitlines()[-1]

    wait_for(lambda: state() == "running", seconds=60, every=0.5, what="a running job")
    operate(screen)
    page = screen.go("/admin/accounts/user/?q=leaver")
    page.click("th a:has-text('leaver')")
    page.click("text=Off-board…")
    page.fill("#id_reason", "left the company")
    shoot(screen, "offboard-form")
    assert screen.accessibility() == []
    page.click("text=Show what would happen")
    expect(page.locator("#preview")).to_contain_text("running jobs stopped")
    shoot(screen, "offboard-preview")
    assert screen.accessibility() == []
    page.click("input[value='Off-board leaver']")
    expect(page.locator(".messagelist")).to_contain_text("is off-boarded")
    wait_for(lambda: state() == "stopped", seconds=60, every=0.5, what="a stopped job")
    assert job["id"]
