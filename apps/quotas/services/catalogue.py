"""What can be limited, and with which limits nodes of a kind begin: rows that admins keep."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.quotas.choices import BUILT_IN, RequestState
from apps.quotas.models import AllocationRequest, QuotaDefault, QuotaLimit, Reservation, Resource

# Says for a resource what of an app above needs it, "" for nothing.
Use = Callable[[str], str]
_uses: list[Use] = []


def register_use(use: Use) -> None:
    """Let an app above keep a resource from being deleted while something there needs it."""
    _uses.append(use)


@transaction.atomic
def save_resource(resource: Resource, *, by: Any, reason: str = "") -> Resource:
    """Add or change a resource. Its use and its limits, from then on; what runs is not counted anew. Audited.

    Raises: NotAllowed, Invalid.
    """
    is_new = _require(resource, by)
    resource.save(force_insert=is_new, force_update=not is_new)
    told = {"title": resource.title, "position": resource.position, "weight": resource.weight}
    audit.record("create" if is_new else "update", resource, by=by, reason=reason, **told)
    return resource


@transaction.atomic
def delete_resource(resource: Resource, *, by: Any, reason: str = "") -> None:
    """Forget a resource that nothing needs any more; what is built in goes on as it came. Audited.

    Its rows at the nodes stay, without a limit: admission believes that a row which it has seen is there.
    Raises: NotAllowed, Conflict while it is in use.
    """
    policy.require_admin(by)
    if resource.pk not in {one.name for one in BUILT_IN} and (use := _use_of(resource.pk)):
        msg = f"{resource.pk} is in use: {use}."
        raise Conflict(msg)
    audit.record("delete", resource, by=by, reason=reason, title=resource.title, weight=resource.weight)
    resource.delete()


def _use_of(name: str) -> str:
    """Say what needs a resource, "" when nothing does."""
    limits = QuotaLimit.objects.filter(resource=name)
    if (row := limits.exclude(limit=None, used=0).select_related("node").first()) is not None:
        return f"{row.node} has a limit of it" if row.limit is not None else f"{row.node} holds some"
    if Reservation.objects.filter(released_at=None, amounts__has_key=name).exists():
        return "something that runs holds it"
    if QuotaDefault.objects.filter(resource=name).exists():
        return "new nodes begin with a limit of it"
    if AllocationRequest.objects.filter(_PENDING, resource=name).exists():
        return "a request for it is open, or what was given of it has an end"
    return next((said for use in _uses if (said := use(name))), "")


_PENDING = Q(state=RequestState.OPEN) | Q(state=RequestState.APPROVED, until__isnull=False)


@transaction.atomic
def save_default(default: QuotaDefault, *, by: Any, reason: str = "") -> QuotaDefault:
    """Say with which limit nodes of a kind begin; those that are there keep theirs. Audited. Raises: NotAllowed, Invalid."""
    is_new = _require(default, by)
    before = None if is_new else QuotaDefault.objects.values_list("limit", flat=True).get(pk=default.pk)
    default.save()
    told = {"kind": default.kind, "resource": default.resource, "before": before, "after": default.limit}
    audit.record("create" if is_new else "update", default, by=by, reason=reason, **told)
    return default


@transaction.atomic
def delete_default(default: QuotaDefault, *, by: Any, reason: str = "") -> None:
    """Let nodes of that kind begin as the settings say again. Audited. Raises: NotAllowed."""
    policy.require_admin(by)
    told = {"kind": default.kind, "resource": default.resource, "before": default.limit}
    audit.record("delete", default, by=by, reason=reason, **told)
    default.delete()


def _require(row: Any, by: Any) -> bool:
    """Judge a change, and return whether the row is new. Raises: NotAllowed, Invalid with a sentence per field."""
    policy.require_admin(by)
    try:
        row.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    return bool(row._state.adding)  # noqa: SLF001 -- documented Django API
