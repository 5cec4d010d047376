"""The one compare-and-swap through which every state changes."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from django.db.models import F, Model

from apps.core.errors import Stale

M = TypeVar("M", bound=Model)


def compare_and_swap(
    row: M, *, expected: str, to: str, allowed: Mapping[str, frozenset[str]], guard: Mapping[str, Any], **changes: Any
) -> M:
    """Move `row.state` from `expected` to `to`, bumping `state_version`, if nobody moved it meanwhile.

    `allowed` is the transition table; `guard` are further conditions (a lease epoch). On success `row` carries the new values.
    Raises: ValueError for a transition not in the table (a bug), Stale when the row is no longer as `row` says.
    """
    if to not in allowed[expected]:
        msg = f"{type(row).__name__}: {expected} -> {to} is not a transition"
        raise ValueError(msg)
    version: int = cast("Any", row).state_version
    manager = type(row)._default_manager  # noqa: SLF001 -- Django's documented way for generic code
    updated = manager.filter(pk=row.pk, state=expected, state_version=version, **guard).update(
        state=to, state_version=F("state_version") + 1, **changes
    )
    if updated != 1:
        msg = f"{type(row).__name__} {row.pk} was changed by somebody else."
        raise Stale(msg)
    computed = [name for name, value in changes.items() if hasattr(value, "resolve_expression")]
    for name, value in {**changes, "state": to, "state_version": version + 1}.items():
        setattr(row, name, value)
    for name in computed:
        row.__dict__.pop(name, None)  # what the database computed is read when somebody asks for it
    return row
