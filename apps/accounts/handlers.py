"""Who does what when somebody leaves: plain functions, called inside the off-boarding's transaction.

Accounts know nothing of teams, jobs and assets; the apps that do register what is to be done, at start.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from apps.accounts.choices import Assets, Belonging, Jobs
from apps.accounts.models import User


@dataclass(frozen=True, slots=True)
class Departure:
    """Who leaves, who says so, and by which policy; `transfer_to` None lets each team's assets go to a member of it."""

    user: User
    by: Any
    reason: str
    assets: Assets = Assets.KEEP
    transfer_to: User | None = None
    jobs: Jobs = Jobs.STOP
    memberships: Belonging = Belonging.KEEP


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of what was done, or in a preview would be: "projects transferred to mia", 3. Warnings ask for a look."""

    what: str
    count: int
    examples: tuple[str, ...] = ()
    is_warning: bool = False


Handler = Callable[[Departure], Iterable[Effect]]
Preparation = Callable[[QuerySet[Any], User], QuerySet[Any]]
_handlers: list[Handler] = []
_preparations: dict[type[Model], Preparation] = {}
_EXAMPLES = 5


def on_offboard(handler: Handler) -> Handler:
    """Register `handler(departure)`; it does its part, audits it, and tells its effects. It must not call a backend."""
    _handlers.append(handler)
    return handler


def before_transfer(model: type[Model], preparation: Preparation) -> None:
    """Register what has to be done to `rows` of `model` before they are given to `heir`; it returns those that can be."""
    _preparations[model] = preparation


def prepare_transfer(rows: QuerySet[Any], heir: User) -> QuerySet[Any]:
    """Return those of `rows` that `heir` can be given, prepared for it."""
    preparation = _preparations.get(rows.model)
    return rows if preparation is None else preparation(rows, heir)


def tell(departure: Departure) -> list[Effect]:
    """Let everybody do his part; effects that count nothing are left out."""
    return [effect for handler in _handlers for effect in handler(departure) if effect.count]


def some(names: Iterable[object]) -> tuple[str, ...]:
    """Return the first few names, as examples."""
    return tuple(str(name) for name, _ in zip(names, range(_EXAMPLES), strict=False))
