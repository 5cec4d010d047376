from typing import Any

from django.db.models import Model

from apps.audit.models import AuditEvent
from apps.core.middleware import current_request


def record(action: str, obj: Model, *, by: Any, reason: str = "", **data: Any) -> None:
    """Write one audit row, in the caller's transaction: it stands or falls with the change it tells of.

    `data` must hold no secret. The door, address and request id come from the current request.
    """
    context = current_request.get()
    token = getattr(by, "token", None)
    if said := getattr(by, "on_behalf_of", ""):
        data["on_behalf_of"] = said
    by = getattr(by, "seen_by", None) or by
    AuditEvent.objects.create(
        actor_id=by.pk,
        actor_label=str(by)[:150],
        token_id=token.pk if token is not None else None,
        origin=context.origin,
        ip=context.ip,
        request_id=context.request_id,
        action=action,
        object_type=str(obj._meta.label_lower),  # noqa: SLF001 -- documented Django API
        object_id=str(obj.pk),
        object_label=str(obj)[:200],
        reason=reason,
        data=data,
    )
