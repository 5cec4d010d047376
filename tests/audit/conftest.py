"""Fixtures of this folder."""

from collections.abc import Iterator

import pytest

from apps.audit import denials
from tests.factories import cast, committed, stage

__all__ = ["cast", "committed", "stage"]


@pytest.fixture(autouse=True)
def no_flood() -> Iterator[None]:
    """Each test begins with what it has seen of no one."""
    denials.forget_flood()
    yield
    denials.forget_flood()
