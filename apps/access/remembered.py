"""What was read a moment ago of a person's teams and shares: spares a busy client the same questions.

SECURITY: removed access must stop within a second, so what was read is believed no longer than the token of the request
(docs/adr/0012), and not at all once a team or a share was changed in this process. Only what lets pass: before a refusal
everything is read afresh.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.db import transaction

T = TypeVar("T")

_NAME = "_remembered"
_changes = 0  # how often a team or a share was changed here


class Memory:
    """What requests with one token read, until a point of the monotonic clock."""

    def __init__(self, until: float) -> None:
        self._answers: dict[Any, Any] = {}
        self._until = until
        self._changes = _changes

    @property
    def is_good(self) -> bool:
        return self._changes == _changes and time.monotonic() < self._until

    def ask(self, key: Any, question: Callable[[], T]) -> T:
        if key not in self._answers:
            self._answers[key] = question()
        return cast("T", self._answers[key])


def give(principal: Any, until: float) -> None:
    """Let `principal`, and all copies of him, remember what is read of him."""
    principal.__dict__[_NAME] = Memory(until)


def of(principal: Any) -> Memory | None:
    """Return the memory, if there is one that may still be believed."""
    memory: Memory | None = principal.__dict__.get(_NAME)
    return memory if memory is not None and memory.is_good else None


def set_aside(principal: Any) -> bool:
    """Read afresh from now on in this request. Return whether anything may have been remembered before."""
    had_one = principal.__dict__.pop(_NAME, None) is not None
    if had_one:
        principal.__dict__.pop("_memberships", None)
    return had_one


def forget() -> None:
    """Believe nothing that was read before: now, and once more when the change of a team or a share is committed."""
    _forget()
    transaction.on_commit(_forget)


def _forget() -> None:
    global _changes  # noqa: PLW0603 -- one counter per process
    _changes += 1
