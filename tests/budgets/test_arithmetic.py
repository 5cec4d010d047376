"""Money is whole numbers, rounded once."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.budgets.choices import bounds, carried_ms, cents, due_micros, in_money, parse_money, rate_of, worst_micros

RATES = st.integers(0, 10**12)
TIMES = st.integers(0, 10**10)


@given(RATES, st.lists(TIMES, max_size=20))
def test_steps_add_up_to_the_whole(rate: int, times: list[int]) -> None:
    """Whatever the steps, in whatever order: what was posted is what is due after the longest time."""
    posted = 0
    for time in times:
        posted += max(0, due_micros(rate, time) - posted)
    assert posted == due_micros(rate, max(times, default=0)) == rate * max(times, default=0) // 3_600_000


@given(RATES, TIMES)
def test_the_worst_case_covers_what_is_due_and_is_no_more_than_one_micro_above(rate: int, time: int) -> None:
    assert 0 <= worst_micros(rate, time) - due_micros(rate, time) <= 1


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_what_money_carries_is_never_more_than_it_pays(rate: int, micros: int) -> None:
    carried = carried_ms(rate, micros)
    assert carried is not None
    assert due_micros(rate, carried) <= micros
    assert carried_ms(0, micros) is None


def test_a_rate_is_per_unit() -> None:
    prices = {"cpu": 1_000_000, "memory": 100_000, "experiments": 5}
    assert rate_of({"cpu": 1500, "memory": 3 << 29, "experiments": 1, "gpu": 1000}, prices) == 1_500_000 + 150_000 + 5
    assert rate_of({"cpu": 1}, {"cpu": 999}) == 0  # less than a micro


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (5_000, 0),
        (15_000, 2),
        (25_000, 2),
        (25_001, 3),
        (-5_000, 0),
        (-15_000, -2),
        (-25_001, -3),
        (1_234_560_000, 123_456),
    ],
)
def test_half_goes_to_even(micros: int, shown: int) -> None:
    assert cents(micros) == shown


def test_words() -> None:
    assert in_money(1_234_565_000) == "1,234.56"
    assert in_money(-3_200_000) == "-3.20"
    assert in_money(-1) == "0.00"
    assert in_money(1, exact=True) == "0.000001"
    assert in_money(-1_500_000, exact=True) == "-1.50"


@given(st.integers(0, 1 << 53))
def test_what_is_written_exactly_is_read_back(micros: int) -> None:
    assert parse_money(in_money(micros, exact=True)) == micros


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1.0000001", "٣", "1_000", "nan", "9" * 13, "9999999999999"])
def test_what_is_no_money(text: str) -> None:
    with pytest.raises(ValueError, match=r"money|large"):
        parse_money(text)


@pytest.mark.parametrize(
    ("cadence", "at", "start", "end"),
    [
        ("month", (2026, 12, 31), (2026, 12, 1), (2027, 1, 1)),
        ("month", (2028, 2, 29), (2028, 2, 1), (2028, 3, 1)),
        ("quarter", (2026, 11, 5), (2026, 10, 1), (2027, 1, 1)),
        ("quarter", (2026, 3, 31), (2026, 1, 1), (2026, 4, 1)),
        ("year", (2026, 7, 1), (2026, 1, 1), (2027, 1, 1)),
    ],
)
def test_periods_of_the_calendar(
    cadence: str, at: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    found = bounds(cadence, datetime(*at, 13, 5, tzinfo=UTC))  # type: ignore[misc]
    assert found == (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))  # type: ignore[misc]
