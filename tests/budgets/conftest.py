"""Fixtures of this folder."""

import pytest

from tests.budgets.money import Tree, make_tree
from tests.factories import cast, committed, stage
from tests.portal.conftest import as_person

__all__ = ["as_person", "cast", "committed", "stage"]


@pytest.fixture
def tree(db: None) -> Tree:
    made = make_tree()
    made.price()
    return made
