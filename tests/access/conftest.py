"""Fixtures of this folder. The world of every shape is built once for a module and taken back at its end."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from tests.access.judged import make_objects
from tests.factories import Stage, cast, committed, stage
from tests.people import Cast, make_cast

__all__ = ["cast", "committed", "stage"]


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Cast]:
    with django_db_blocker.unblock(), transaction.atomic():
        made = make_cast()
        Stage()
        make_objects(made)
        yield made
        transaction.set_rollback(True)
