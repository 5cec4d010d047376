"""What can be limited: rows beside what is built in, or saying something else of it."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.quotas.choices import BUILT_IN, RequestState
from apps.quotas.models import AllocationRequest, QuotaDefault, QuotaLimit, Reservation, Resource

# Asked before a resource is deleted: who uses it above this app. Each returns a few words, or "".
Use = Callable[[str], str]
_uses: list[Use] = []


def register_use(use: Use) -> None:
    """Let an app above say that a resource is in use."""
    _uses.append(use)


@transaction.atomic
def save_resource(resource: Resource, *, by: Any) -> Resource:
    """Add what can be limited, or change its title, place or weight. Audited. Raises: NotAllowed, Invalid."""
    policy.require_admin(by)
    is_new = resource._state.adding  # noqa: SLF001 -- documented Django API
    try:
        resource.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    resource.save()
    facts: dict[str, Any] = {"title": resource.title, "position": resource.position, "weight": resource.weight}
    audit.record("create" if is_new else "update", resource, by=by, **facts)
    return resource


@transaction.atomic
def delete_resource(resource: Resource, *, by: Any) -> None:
    """Delete the row of a resource. What is built in stays, as it was built in. Audited.

    Its counters stay too: other processes may know them, and the name may come back. Raises: NotAllowed, Conflict.
    """
    policy.require_admin(by)
    if resource.name not in {one.name for one in BUILT_IN} and (use := _use_of(resource.name)):
        msg = f"It is in use: {use}."
        raise Conflict(msg)
    audit.record("delete", resource, by=by)
    resource.delete()


def _use_of(name: str) -> str:
    if (
        row := QuotaLimit.objects.filter(resource=name, limit__isnull=False).select_related("node").first()
    ) is not None:
        return f"{row.node} has a limit of it"
    if Reservation.objects.filter(released_at=None, amounts__has_key=name).exists():
        return "running work holds some of it"
    if (default := QuotaDefault.objects.filter(resource=name).first()) is not None:
        return f"every new {default.kind} begins with a limit of it"
    if AllocationRequest.objects.filter(resource=name, state=RequestState.OPEN).exists():
        return "somebody asks for more of it"
    return next((words for use in _uses if (words := use(name))), "")
