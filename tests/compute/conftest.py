"""Fixtures of this folder."""

from tests.factories import cast, committed, stage

__all__ = ["cast", "committed", "stage"]
