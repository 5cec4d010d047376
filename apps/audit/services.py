"""Writing the trail: what was done (`record`), what was refused (`record_denied`)."""

from typing import Any

import orjson
from django.db import connection
from django.db.models import Model

from apps.audit import denials, organizations
from apps.audit.denials import Denial
from apps.core.errors import DomainError
from apps.core.middleware import current_request

ANONYMOUS = "anonymous"
_INSERT = """
    INSERT INTO audit_auditevent (organization_id, actor_id, actor_label, on_behalf_of, token_id, origin, ip, request_id,
                                  action, object_type, object_id, object_label, reason, data)
    VALUES (%(organization_id)s, %(actor_id)s, %(actor_label)s, %(on_behalf_of)s, %(token_id)s, %(origin)s, %(ip)s::inet,
            %(request_id)s, %(action)s, %(object_type)s, %(object_id)s, %(object_label)s, %(reason)s, %(data)s::jsonb)
"""


def record(action: str, obj: Model, *, by: Any, reason: str = "", **data: Any) -> None:
    """Write one audit row, in the caller's transaction: it stands or falls with the change it tells of.

    `data` must hold no secret. The door, address and request id come from the current request, the chain from the
    organization of `obj`.
    """
    context = current_request.get()
    token, actor = getattr(by, "token", None), _actor(by)
    row = {
        "organization_id": organizations.organization_of(obj),
        "actor_id": actor.pk,
        "actor_label": str(actor)[:150],
        "on_behalf_of": _on_behalf_of(by) or context.on_behalf_of,
        "token_id": token.pk if token is not None else None,
        "origin": context.origin,
        "ip": context.ip,
        "request_id": context.request_id,
        "action": action,
        "object_type": str(obj._meta.label_lower),  # noqa: SLF001 -- documented Django API
        "object_id": str(obj.pk),
        "object_label": str(obj)[:200],
        "reason": reason,
        "data": orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS).decode(),
    }
    with connection.cursor() as cursor:  # every submission waits for it: without the ORM it takes a third of the time
        cursor.execute(_INSERT, row)


def refused(by: Any, action: str, obj: Model | str, error: DomainError, *, object_id: str = "") -> DomainError:
    """Note on `error`, and return it to be raised, who was refused what: the door it passes writes that down.

    `obj` is what was asked for, or its kind as "app.model" with the `object_id` that was named. Writes nothing itself:
    the caller's transaction will be rolled back.
    """
    error.denial = denial_of(by, action, obj, error, object_id=object_id)
    denials.note(error.denial)
    return error


def record_denied(by: Any, action: str, obj: Model | str, error: DomainError, *, object_id: str = "") -> None:
    """Write down that `by` was refused: for doors that are no HTTP view. Call it outside of transactions.

    What `error` already knows of itself goes before the arguments. Never raises: a refusal stays what it is.
    """
    noted = error.denial
    denials.write(noted if isinstance(noted, Denial) else denial_of(by, action, obj, error, object_id=object_id))


def denial_of(by: Any, action: str, obj: Model | str, error: DomainError, *, object_id: str = "") -> Denial:
    """Put together who was refused what, and why. Returns the facts; writes nothing."""
    token = getattr(by, "token", None)
    kind, label, organization = "", "", None
    if isinstance(obj, str):
        kind = obj
    else:
        kind, object_id, label = str(obj._meta.label_lower), str(obj.pk), str(obj)  # noqa: SLF001 -- documented Django API
        organization = organizations.organization_of(obj)
    return Denial(
        actor_id=getattr(_actor(by), "pk", None),
        actor_label=str(_actor(by))[:150] if getattr(by, "is_authenticated", False) else ANONYMOUS,
        token_id=None if token is None else str(token.pk),
        on_behalf_of=_on_behalf_of(by),
        action=action[:64],
        object_type=kind,
        object_id=object_id[:64],
        object_label=label[:200],
        organization_id=organization,
        code=error.code,
        reason=error.detail[:300],
    )


def _actor(by: Any) -> Any:
    """Return who acts: the admin who sees the platform as somebody else, not that person."""
    return getattr(by, "seen_by", None) or by


def _on_behalf_of(by: Any) -> str:
    """Say who is acted for, when it is not the actor himself: the owner of a run's token, a service account's team."""
    if getattr(by, "seen_by", None) is not None:
        return str(by)[:150]
    token = getattr(by, "token", None)
    if token is not None and token.bound_to:
        return f"{token.bound_to} of {by}"[:150]
    team = getattr(by, "service_of_id", None)
    return "" if team is None else f"team {team}"
