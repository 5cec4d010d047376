"""`fathom budget`, and money as the client reads it."""

from pathlib import Path

import pytest

from fathom.models import in_money, to_micros
from tests.sdk.stub_platform import StubPlatform
from tests.sdk.test_cli import Fathom, env, fathom

__all__ = ["env", "fathom"]


def test_budgets_are_listed_with_what_is_left(platform: StubPlatform, fathom: Fathom) -> None:
    head, line = fathom("budget", "list").stdout.splitlines()
    assert head.split() == ["ID", "WHOSE", "EACH", "POLICY", "SPENT", "HELD", "LEFT", "OF", "UNTIL"]
    assert line.split()[:9] == ["3", "team", "Vision", "month", "reserve", "38.80", "8.00", "3.20", "50.00"]
    assert "Currency" in fathom("budget", "show", "3").stdout


def test_a_budget_is_set_in_money_and_sent_in_micros(platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("budget", "set", "team:vision", "1,250.50", "--policy", "reserve").returncode == 0
    sent = platform.requests[0].json()
    assert (sent["place"], sent["amount_micros"], sent["policy"], sent["cadence"]) == (
        "team:vision", 1_250_500_000, "reserve", "month",
    )  # fmt: skip
    assert fathom("budget", "change", "3", "--amount", "0.000001", "--reason", "less").returncode == 0
    assert platform.requests[1].json() == {"amount_micros": 1, "reason": "less"}


@pytest.mark.parametrize("text", ["ten", "-1", "1.0000001", ""])
def test_what_is_no_money_is_not_sent(text: str, platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("budget", "set", "team:vision", "--", text).returncode == 2
    assert platform.requests == []


def test_a_change_needs_a_reason(platform: StubPlatform, fathom: Fathom) -> None:
    for words in (("change", "3"), ("end", "3"), ("reverse", "x")):
        assert fathom("budget", *words).returncode == 2
    assert platform.requests == []


def test_prices_costs_ledger_and_statement(platform: StubPlatform, fathom: Fathom, tmp_path: Path) -> None:
    assert "1.50" in fathom("budget", "prices").stdout
    assert "1.50 per hour" in fathom("budget", "set-price", "gpu", "gpu", "1.5").stdout
    assert platform.requests[-1].json()["micros_per_hour"] == 1_500_000
    costs = fathom("budget", "costs", "--by", "user").stdout
    assert "20 %" in costs
    assert "total" in costs
    assert "charge" in fathom("budget", "ledger").stdout
    assert "1.24" in fathom("budget", "reverse", "0199", "--reason", "x").stdout
    shown = fathom("budget", "statement").stdout.splitlines()
    assert [line.split()[-1] for line in shown] == ["COST", "1.23", "0.01", "1.24"]
    target = tmp_path / "statement.csv"
    assert fathom("budget", "statement", "--csv", str(target)).returncode == 0
    assert target.read_text().endswith("1.23\n")


def test_arithmetic() -> None:
    assert [in_money(micros) for micros in (0, 1, 5_000, 15_000, -15_000, 1_234_565_000)] == [
        "0.00", "0.00", "0.00", "0.02", "-0.02", "1,234.56",
    ]  # fmt: skip
    assert to_micros("50.25") == 50_250_000
