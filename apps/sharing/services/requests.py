"""Asking for access, and the answer."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.access.choices import Visibility
from apps.access.memberships import memberships_of
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound, Throttled
from apps.core.locks import lock_row
from apps.sharing import kinds
from apps.sharing.choices import ROLES, RequestState, ShareRole
from apps.sharing.models import AccessRequest
from apps.sharing.services.shares import share

MOST_OPEN = 10


@transaction.atomic
def request_access(
    kind: str, object_id: UUID, *, by: Any, role: ShareRole | str = ShareRole.VIEWER, message: str = ""
) -> AccessRequest:
    """Ask those who may share the object for a role on it; asking again replaces what was asked. Audited.

    SECURITY: for an object that `by` may not see and for an id that never was, the same is written and answered.
    Raises: NotFound for an unknown kind, NotAllowed for who changes nothing, Invalid, Conflict when `by` holds the role
    already, Throttled with 10 requests open.
    """
    policy.require_active(by, "accessrequest:withdraw")
    if role not in ShareRole.values:
        raise Invalid(errors={"role": [f"One of {', '.join(ShareRole.values)}."]})
    root = _root(kinds.kind_named(kind))
    row = _row(kind, root, object_id, by)
    if by.is_superuser and row._state.adding:  # noqa: SLF001 -- documented Django API; an admin sees all there is
        raise NotFound
    held = policy.role_of(by, row)
    if held >= ROLES[ShareRole(role)]:
        msg = f"You are {held.word} of it already."
        raise Conflict(msg)
    asked = {"kind": root.name, "object_id": object_id, "by_id": by.pk}
    text = message.replace("\x00", "").strip()[:500]
    _require_few_open(by, asked)
    request = _write(asked, role=str(role), message=text)
    audit.record("request_access", request, by=by, kind=root.name, object_id=str(object_id), role=str(role))
    return request


@transaction.atomic
def withdraw_request(request: AccessRequest, *, by: Any) -> None:
    """Take one's own request back. Idempotent. Audited. Raises: NotFound, NotAllowed, Conflict after it was decided."""
    policy.require(by, "withdraw", request)
    if request.by_id != by.pk:
        msg = "Only who asked takes a request back."
        raise NotAllowed(msg)
    request = _locked(request)
    if request.state == RequestState.WITHDRAWN:
        return
    _require_open(request)
    _end(request, RequestState.WITHDRAWN, by=by, note="")
    audit.record("withdraw_request", request, by=by)


@transaction.atomic
def decide_request(
    request: AccessRequest,
    *,
    by: Any,
    grant: bool,
    role: ShareRole | str = "",
    expires_at: datetime | None = None,
    note: str = "",
) -> AccessRequest:
    """Grant what was asked for (or another role), which shares the object, or refuse it. Audited.

    LOCKING: the object before the request, as everywhere.
    Raises: NotFound, NotAllowed unless `by` may share the object, Conflict when it was decided before, Invalid.
    """
    policy.require(by, "decide", request)
    found = kinds.find_any(request.kind, request.object_id)
    if found is None:
        raise NotFound
    policy.require(by, kinds.SHARE, found)
    lock_row(type(found)._default_manager.filter(pk=found.pk))  # noqa: SLF001 -- generic code
    request = _locked(request)
    _require_open(request)
    text = note.replace("\x00", "").strip()[:500]
    if grant:
        share(found, request.by, role or request.role, by=by, expires_at=expires_at, reason=text or "asked for")
    _end(request, RequestState.GRANTED if grant else RequestState.REFUSED, by=by, note=text)
    audit.record("grant_request" if grant else "refuse_request", request, by=by, reason=text)
    return request


def _row(kind: str, root: kinds.Kind, object_id: UUID, by: Any) -> Any:
    """Return the row to judge. SECURITY: without one, a stranger's private one, so that the judgement costs the same."""
    _ = memberships_of(by).roles  # read before, as not every row needs them
    found = kinds.find_any(kind, object_id)
    if found is not None:
        return policy.owned(found)
    return root.model(pk=object_id, owner_id=0, visibility=Visibility.PRIVATE)


def _root(kind: kinds.Kind) -> kinds.Kind:
    """Return the kind that has the columns: an experiment's is the run."""
    model: Any = kind.model
    for name in filter(None, kind.policy.via.split("__")):
        model = model._meta.get_field(name).related_model  # noqa: SLF001 -- documented Django API
    return kinds.kind_named(str(model._meta.model_name))  # noqa: SLF001 -- documented Django API


def _require_few_open(by: Any, asked: dict[str, Any]) -> None:
    others = AccessRequest.objects.open().made_by(by).exclude(kind=asked["kind"], object_id=asked["object_id"])
    if others.count() >= MOST_OPEN:
        msg = f"You have {MOST_OPEN} open requests. Withdraw one, or wait for an answer."
        raise Throttled(msg, retry_after=3600)


def _write(asked: dict[str, Any], **wanted: str) -> AccessRequest:
    try:
        with transaction.atomic():
            request, _ = AccessRequest.objects.update_or_create(**asked, state=RequestState.OPEN, defaults=wanted)
    except IntegrityError as error:  # asked twice at the same moment
        msg = "You have just asked for this."
        raise Conflict(msg) from error
    return request


def _locked(request: AccessRequest) -> AccessRequest:
    return lock_row(AccessRequest.objects.filter(pk=request.pk).select_related("by"))


def _require_open(request: AccessRequest) -> None:
    if request.state != RequestState.OPEN:
        msg = f"It was {request.state} already."
        raise Conflict(msg)


def _end(request: AccessRequest, state: RequestState, *, by: Any, note: str) -> None:
    changes = {"state": state, "decided_by_id": by.pk, "note": note}
    AccessRequest.objects.filter(pk=request.pk).update(**changes, decided_at=Now())
    request.refresh_from_db()
