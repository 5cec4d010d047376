"""How single values are read from JSON."""

from dataclasses import field
from datetime import datetime
from typing import Any


def as_time(value: Any) -> datetime | None:
    """RFC 3339 text; None for an absent one."""
    return datetime.fromisoformat(value) if value else None


def as_float(value: Any) -> float | None:
    """A number, or one of the strings in which non-finite numbers travel."""
    return None if value is None else float(value)


def raw_json() -> Any:
    """The dataclass field that keeps the answer itself, out of `repr` and comparison."""
    return field(default_factory=dict, repr=False, compare=False)
