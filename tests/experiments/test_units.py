"""Quantities and durations: exact, and nothing else accepted."""

from typing import Any

import pytest

from apps.experiments.units import LARGEST, duration, quantity


@pytest.mark.parametrize(
    ("value", "unit", "amount"),
    [
        (1, 1000, 1000),
        ("1", 1000, 1000),
        ("500m", 1000, 500),
        ("0.5", 1000, 500),
        (0.5, 1000, 500),
        (0.1, 1000, 100),
        (0.3, 1000, 300),
        ("0.0001", 1000, 1),
        (1e-7, 1000, 1),
        (0, 1000, 0),
        ("1m", 1000, 1),
        ("1.5m", 1000, 2),
        ("512Mi", 1, 512 << 20),
        ("4Gi", 1, 4 << 30),
        ("1.5Gi", 1, 1_610_612_736),
        ("1k", 1, 1000),
        ("1Ki", 1, 1024),
        ("1M", 1, 10**6),
        ("2G", 1, 2 * 10**9),
        ("3T", 1, 3 * 10**12),
        ("1Pi", 1, 1 << 50),
        ("0.1Ki", 1, 103),
        (1e15, 1, 10**15),
        (1.0, 1000, 1000),
        ("00012", 1, 12),
        ("1.0000000000000000000000000001", 1, 2),
        (LARGEST, 1, LARGEST),
    ],
)
def test_a_quantity_is_exact_and_rounded_up(value: Any, unit: int, amount: int) -> None:
    assert quantity(value, unit=unit) == amount


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "1 ", " 1", "1\n", "+1", "-1", "-0", -1, "1e3", "1E3", "0x10", "1_000", ".5", "5.", "1.2.3", "1mi",
        "1ki", "1GiB", "1Gib", "1 Gi", "m", "Gi", "NaN", "nan", "inf", "Infinity", float("nan"), float("inf"),
        float("-inf"), -0.5, "१", "\uff11", "²", "½", "1\u066b5", "1,5", True, False, None, [], {}, "1" * 400, 1 << 60, "9Pi",
        "9007199254740993", 1e300, 1e308, "--1", "1Ei", "1K", "0.5.m",
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity|is too large"):
        quantity(value, unit=1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        (90.0, 90),
        ("90s", 90),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d1h1m1s", 90_061),
        ("365d", 31_536_000),
        ("0h1m", 60),
        ("100m", 6000),
    ],
)
def test_a_duration_is_read(value: Any, seconds: int) -> None:
    assert duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", "90", "1.5h", "1h 30m", "30m1h", "-1s", "+1s", "1H", "0s", 0, -1, 366 * 86_400, "366d", "s", "1y", "१s", "1s\n",
        1.5, float("nan"), float("inf"), "9" * 30 + "s",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"duration|between one second|whole number"):
        duration(value)
