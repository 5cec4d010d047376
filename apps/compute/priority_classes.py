"""Writes on priority classes: ranks among everybody's work. Admins only."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.access import policy
from apps.audit import services as audit
from apps.compute.choices import State
from apps.compute.models import PriorityClass, Workload
from apps.core import wakeup
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row


@transaction.atomic
def save_priority_class(chosen: PriorityClass, *, by: Any, reason: str = "") -> PriorityClass:
    """Make or change a class. What waits already keeps the rank it was queued with. Audited. Raises: NotAllowed, Invalid."""
    policy.require_admin(by)
    is_new = chosen._state.adding  # noqa: SLF001 -- documented Django API
    try:
        chosen.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    chosen.save()
    facts: dict[str, Any] = {"rank": chosen.rank, "open_to": chosen.open_to, "description": chosen.description}
    audit.record("create" if is_new else "update", chosen, by=by, reason=reason, **facts)
    return chosen


@transaction.atomic
def delete_priority_class(chosen: PriorityClass, *, by: Any, reason: str = "") -> None:
    """Delete a class that nothing waits with. Audited. Raises: NotAllowed, Conflict."""
    policy.require_admin(by)
    if Workload.objects.filter(state=State.QUEUED, priority_class=chosen.name).exists():
        msg = "Work waits with it."
        raise Conflict(msg)
    audit.record("delete", chosen, by=by, reason=reason, rank=chosen.rank)
    chosen.delete()


@transaction.atomic
def set_priority_class(
    workload: Workload, *, by: Any, reason: str, priority_class: PriorityClass | None = None
) -> None:
    """Give waiting work another priority class, or none, with the rank which that has now. Operators only. Audited.

    Raises: NotAllowed, Conflict when it does not wait any more.
    """
    policy.require(by, "operate", workload)
    row = lock_row(Workload.objects.filter(pk=workload.pk))
    if row.state != State.QUEUED:
        msg = f"It is {row.state}; only what waits has a place in the queue."
        raise Conflict(msg, state=row.state)
    name, rank = (priority_class.name, priority_class.rank) if priority_class else ("", 0)
    if (row.priority_class, row.rank) == (name, rank):
        return
    Workload.objects.filter(pk=row.pk).update(priority_class=name, rank=rank)
    told = {"before": row.priority_class or "none", "rank_before": row.rank, "after": name or "none", "rank": rank}
    audit.record("set_priority_class", row, by=by, reason=reason, **told)
    wakeup.poke("compute")


def use_of(resource: str) -> str:
    """Say what waits or runs and asks for `resource`, "" for nothing."""
    row = Workload.objects.active().filter(amounts__has_key=resource).first()
    return f"{row} asks for it" if row else ""
