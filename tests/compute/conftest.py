"""Fixtures of this folder."""

import pytest

from apps.compute.reconcile import admit
from tests.factories import cast, committed, stage

__all__ = ["cast", "committed", "stage"]


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at money and tell all who wait with every turn, and not once in some seconds."""
    monkeypatch.setattr(admit, "_TELL_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(admit, "_LOOK_AT_MONEY_AGAIN_SECONDS", -1.0)
