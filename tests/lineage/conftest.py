"""Fixtures of this folder."""

from tests.factories import cast, committed
from tests.models.conftest import _own_store, model, run, version

__all__ = ["_own_store", "cast", "committed", "model", "run", "version"]
