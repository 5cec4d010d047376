"""Costs and budgets as a person sees them, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import NARROW, WIDE, Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
_SPEND = """
from django.db import transaction
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.budgets import services
from apps.budgets.places import find_place
from apps.budgets.services import Ask
from apps.compute.services import ensure_local_cluster
from apps.teams import services as teams

cluster = ensure_local_cluster()
services.set_price(cluster.pk, "cpu", 1_500_000, by=SYSTEM)
organization = teams.create_organization(slug="ledger", name="Acme", by=SYSTEM)
team = teams.create_team(organization, slug="insight", name="Vision", by=SYSTEM)
for name, role in (("ines", "member"), ("otto", "member")):
    teams.set_member(team, User.objects.get(username=name), role=role, by=SYSTEM)
for place, cadence, policy, amount in (
    ("team:insight", "month", "reserve", 50), ("team:insight", "year", "observe", 900), ("team:insight/user:ines", "month", "accrue", 20),
    ("org:ledger", "month", "observe", 7777),
):
    services.create_budget(find_place(place), cadence=cadence, policy_name=policy, amount_micros=amount * 1_000_000, by=SYSTEM)
for no, (name, hours, ran) in enumerate((("ines", 9, 8), ("otto", 20, 18), ("ines", 4, 1))):
    node = find_place(f"team:insight/user:{name}")
    with transaction.atomic():
        services.hold([Ask(f"e2e-{no}", tuple(node.path), cluster.pk, {"cpu": 1000}, hours * 3600)])
    (services.settle if no == 2 else services.close)(f"e2e-{no}", ran * 3_600_000)
print("ok")
"""


def test_the_page_of_costs(platform: Platform, setup_path: str, screen: Screen, images: Path, tmp_path: Path) -> None:
    for name in ("ines", "otto"):
        platform.make_user(name, password=PASSWORD)
    assert "ok" in platform.manage(_SPEND)
    screen.log_in("ines", PASSWORD)
    page = screen.go("/usage/")
    costs = page.locator("#money")
    expect(costs).to_contain_text("Vision")
    expect(costs).to_contain_text("40.50 EUR")
    expect(costs).to_contain_text("13.50 EUR")
    expect(page.locator("main")).to_contain_text("50.00 EUR")
    expect(page.locator("main")).not_to_contain_text("7,777")
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
        assert screen.accessibility() == []
        page.screenshot(path=images / f"usage-{look}.png", full_page=True)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    with page.expect_download() as waiting:
        page.click("text=Statement of this month")
    target = tmp_path / "statement.csv"
    waiting.value.save_as(target)
    text = target.read_text()
    assert text.splitlines()[-1].endswith(",40500000,40.50")
    assert "otto" not in text
    assert "others" in text
