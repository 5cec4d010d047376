"""Writes on priority classes: ranks among everybody's work. Admins only."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.access import policy
from apps.audit import services as audit
from apps.compute.choices import State
from apps.compute.models import PriorityClass, Workload
from apps.core.errors import Conflict, Invalid


@transaction.atomic
def save_priority_class(chosen: PriorityClass, *, by: Any) -> PriorityClass:
    """Make or change a class. What waits already keeps the rank it was queued with. Audited. Raises: NotAllowed, Invalid."""
    policy.require_admin(by)
    is_new = chosen._state.adding  # noqa: SLF001 -- documented Django API
    try:
        chosen.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    chosen.save()
    facts: dict[str, Any] = {"rank": chosen.rank, "open_to": chosen.open_to, "description": chosen.description}
    audit.record("create" if is_new else "update", chosen, by=by, **facts)
    return chosen


@transaction.atomic
def delete_priority_class(chosen: PriorityClass, *, by: Any) -> None:
    """Delete a class that nothing waits with. Audited. Raises: NotAllowed, Conflict."""
    policy.require_admin(by)
    if Workload.objects.filter(state=State.QUEUED, priority_class=chosen.name).exists():
        msg = "Work waits with it."
        raise Conflict(msg)
    audit.record("delete", chosen, by=by, rank=chosen.rank)
    chosen.delete()


def use_of(resource: str) -> str:
    """Say whether what waits asks for `resource`."""
    waits = Workload.objects.filter(state=State.QUEUED, amounts__has_key=resource).exists()
    return "waiting work asks for it" if waits else ""
