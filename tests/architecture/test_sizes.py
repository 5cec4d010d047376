"""Budgets for the length of files and functions: split what has two subjects before it is too long."""

import os

import pytest

from tests.architecture.source import ROOT
from tools.measure import Measured, Spread, measure

# File -> its own limit, with the reason beside it.
RAISED: dict[str, int] = {}


@pytest.fixture(scope="module")
def found() -> tuple[list[Measured], list[Measured]]:
    assert os.path.samefile(ROOT, ".")
    return measure(["apps", "config", "sdk/src"])


def test_files(found: tuple[list[Measured], list[Measured]]) -> None:
    spread = Spread.of(found[0])
    assert spread.median <= 90
    assert spread.p90 <= 400
    assert [one for one in found[0] if one.lines > RAISED.get(one.where, 800)] == []


def test_functions(found: tuple[list[Measured], list[Measured]]) -> None:
    spread = Spread.of(found[1])
    assert spread.median <= 8
    assert spread.p90 <= 25
    assert spread.p99 <= 65
    assert spread.longest.lines <= 100, spread.longest.where


def test_functions_say_what_they_return(found: tuple[list[Measured], list[Measured]]) -> None:
    assert [one.where for one in found[1] if not one.is_annotated] == []


def test_the_measure_counts() -> None:
    spread = Spread.of([Measured(str(length), length) for length in range(1, 101)])
    assert (spread.count, spread.median, spread.p90, spread.p99) == (100, 50.5, 91, 100)
    assert spread.longest.where == "100"
