"""Asking for more: a person asks for a larger limit, who may change that limit answers, and what was given may expire."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed
from apps.core.locks import lock_row
from apps.quotas.choices import RequestState, in_units, words
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode
from apps.quotas.services.limits import set_limit

MOST_OPEN = 20  # of one person at a time

Give = Callable[..., None]
Read = Callable[[Collection[QuotaNode]], Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Other:
    """A resource that is no row of `QuotaLimit`, such as money: how it is called, read and given."""

    title: str
    read: Read
    give: Give


_others: dict[str, Other] = {}


def register_other(resource: str, title: str, read: Read, give: Give) -> None:
    """Let people ask for `resource` too. `read(nodes)` returns what those have that have it, by id of the node;
    `give(node, amount, by=, reason=)` judges whether `by` may.
    """
    _others[resource] = Other(title, read, give)


def others_at(nodes: Iterable[QuotaNode]) -> dict[str, str]:
    """Return what can be asked for at any of `nodes` besides what has limits, with its title."""
    found = list(nodes)
    return {name: other.title for name, other in _others.items() if other.read(found)}


@transaction.atomic
def request_allocation(
    node: QuotaNode, resource: str, amount: int, *, by: Any, reason: str, until: datetime | None = None
) -> AllocationRequest:
    """Ask that `node` may hold `amount` of `resource`, in base units, in all, until a time or for good. Audited.

    One open request per node and resource. Raises: NotFound, Invalid, Conflict.
    """
    policy.require(by, "request", node)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say what for."]})
    if amount < 0 or amount > LARGEST:
        raise Invalid(errors={"amount": ["From nothing to 2^53 base units."]})
    if until is not None and until <= timezone.now():
        raise Invalid(errors={"until": ["In the future."]})
    before = limit_now(node, resource)
    if before is None:
        raise Invalid(errors={"resource": [f"{node} has no limit of {words(resource)}."]})
    if amount <= before:
        have = f"{in_units(resource, before)} {words(resource)}"
        raise Invalid(errors={"amount": [f"{node} may hold {have} already."]})
    mine = AllocationRequest.objects.filter(asked_by=by, state=RequestState.OPEN)
    if mine.count() >= MOST_OPEN:
        msg = f"You have {MOST_OPEN} open requests. Withdraw some."
        raise Conflict(msg)
    if AllocationRequest.objects.filter(node=node, resource=resource, state=RequestState.OPEN).exists():
        raise Conflict(_asked_already(node))
    facts = {"amount": amount, "before": before, "reason": reason.strip()[:1000], "until": until, "asked_by": by}
    try:
        with transaction.atomic():
            made = AllocationRequest.objects.create(node=node, resource=resource, **facts)
    except IntegrityError as error:  # asked for twice at the same moment
        raise Conflict(_asked_already(node)) from error
    audit.record("request_allocation", made, by=by, reason=reason, resource=resource, before=before, after=amount)
    return made


def _asked_already(node: QuotaNode) -> str:
    return f"That is asked for already, for {node}."


def limit_now(node: QuotaNode, resource: str) -> int | None:
    """Return what `node` may hold of `resource` now; None: any amount."""
    if resource in _others:
        return _others[resource].read([node]).get(node.pk)
    return QuotaLimit.objects.filter(node=node, resource=resource).values_list("limit", flat=True).first()


@transaction.atomic
def approve_allocation(
    request: AllocationRequest, *, by: Any, amount: int | None = None, until: datetime | None = None, note: str = ""
) -> AllocationRequest:
    """Give what was asked for, or `amount` instead, at once; `until` instead of the time that was asked for. Audited.

    Whoever may set that limit may approve: an admin, or a maintainer within his team's own share. Nobody his own.
    Raises: NotAllowed, NotFound, Conflict when it was decided meanwhile, Invalid beyond the team's share.
    """
    row = _locked(request, by)
    _refuse_own(row, by)
    given = row.amount if amount is None else amount
    ends = until or row.until
    if ends is not None and ends <= timezone.now():
        raise Invalid(errors={"until": ["That time has passed."]})
    row.before = _require_more(row, given)
    _set(row, given, by=by, reason=f"asked for by {row.asked_by}: {row.reason}")
    row.given, row.until, row.note = given, ends, note.strip()[:1000]
    _decide(row, RequestState.APPROVED, by)
    audit.record("approve_allocation", row, by=by, reason=note, before=row.before, after=given)
    return row


@transaction.atomic
def refuse_allocation(request: AllocationRequest, *, by: Any, note: str = "") -> AllocationRequest:
    """Say no, and why. Audited. Raises: NotAllowed, NotFound, Conflict."""
    row = _locked(request, by)
    row.note = note.strip()[:1000]
    _decide(row, RequestState.REFUSED, by)
    audit.record("refuse_allocation", row, by=by, reason=note)
    return row


@transaction.atomic
def withdraw_allocation(request: AllocationRequest, *, by: Any) -> AllocationRequest:
    """Take one's own request back. Audited. Raises: NotAllowed, Conflict."""
    policy.require(by, "withdraw", request)
    if request.asked_by_id != getattr(by, "pk", None):
        raise audit.refused(by, "withdraw", request, NotAllowed("Only who asked takes a request back."))
    row = lock_row(AllocationRequest.objects.filter(pk=request.pk))
    _require_open(row)
    _decide(row, RequestState.WITHDRAWN, by)
    audit.record("withdraw_allocation", row, by=by)
    return row


def expire_allocations() -> int:
    """Take back what was given until now, by as much as it was raised: what was changed since stays so. Audited."""
    due = AllocationRequest.objects.filter(state=RequestState.APPROVED, until__lte=Now()).order_by("pk")
    return sum(_expire(row) for row in due[:100])


@transaction.atomic
def _expire(request: AllocationRequest) -> bool:
    row = lock_row(AllocationRequest.objects.filter(pk=request.pk))
    if row.state != RequestState.APPROVED:
        return False  # somebody else was faster
    now, gone = limit_now(row.node, row.resource), _taken_back_since(row)
    if now is not None and row.given is not None and now >= row.given - gone:
        left = max(row.before - gone, now - (row.given - row.before))
        _set(row, left, by=SYSTEM, reason="the time for which it was given has passed")
    row.state = RequestState.EXPIRED
    row.save(update_fields=["state"])
    audit.record("expire_allocation", row, by=SYSTEM, before=row.given, after=row.before)
    return True


def _taken_back_since(row: AllocationRequest) -> int:
    """Return how much ended of what others had been given before this was, and which it came on top of."""
    under = AllocationRequest.objects.filter(
        node=row.node, resource=row.resource, state=RequestState.EXPIRED,
        decided_at__lt=row.decided_at, until__gt=row.decided_at,
    )  # fmt: skip
    return int(under.aggregate(gone=Sum(F("given") - F("before")))["gone"] or 0)


def _locked(request: AllocationRequest, by: Any) -> AllocationRequest:
    policy.require(by, "decide", request)
    row = lock_row(AllocationRequest.objects.filter(pk=request.pk).select_related("node", "node__parent", "asked_by"))
    _require_open(row)
    return row


def _require_open(row: AllocationRequest) -> None:
    if row.state != RequestState.OPEN:
        msg = f"It is {row.get_state_display().lower()} already."
        raise Conflict(msg, state=row.state)


def _require_more(row: AllocationRequest, given: int) -> int:
    """Return what the node may hold now, which has to be less than is given: the limit may have changed since."""
    before = limit_now(row.node, row.resource)
    if before is None:
        msg = f"{row.node} has no limit of {words(row.resource)} any more."
        raise Conflict(msg)
    if given <= before:
        have = f"{in_units(row.resource, before)} {words(row.resource)}"
        raise Invalid(errors={"amount": [f"{row.node} may hold {have} already."]})
    if given > LARGEST:
        raise Invalid(errors={"amount": ["At most 2^53 base units."]})
    return before


def _refuse_own(row: AllocationRequest, by: Any) -> None:
    """Nobody gives himself more: not the maintainer in his own team, and not the admin who works here himself."""
    if row.asked_by_id == getattr(by, "pk", None):
        msg = "It is your own request. Somebody else has to decide."
        raise Conflict(msg)


def _set(row: AllocationRequest, amount: int, *, by: Any, reason: str) -> None:
    if row.resource in _others:
        _others[row.resource].give(row.node, amount, by=by, reason=reason)
    else:
        set_limit(row.node, row.resource, amount, by=by, reason=reason)


def _decide(row: AllocationRequest, state: RequestState, by: Any) -> None:
    row.state, row.decided_by, row.decided_at = state, by, timezone.now()
    row.save(update_fields=["state", "decided_by", "decided_at", "note", "given", "until", "before"])


LARGEST = 1 << 53
