"""Reading the audit trail: who may, and what each object's own history is.

It is here because `audit` is below the policies and must not know them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Exists, Model, Q, QuerySet

from apps.access import policy
from apps.access.decision import Role
from apps.access.policy import Policy, register
from apps.audit import querying
from apps.audit.choices import DATABASE, Outcome
from apps.audit.models import AuditEvent
from apps.audit.services import refused
from apps.core.errors import NotAllowed

_KIND = "audit.auditevent"
_INTERNAL = (
    "table",
    "row",
    "before",
    "after",
    "session_user",
    "application",
    "code",
    "route",
    "repeats",
    "since",
    "until",
)


def declare() -> None:
    register(Policy(AuditEvent, {"view": Role.VIEWER, "export": Role.VIEWER}, rule=_rule, scope="audit"))


def is_auditor(by: Any) -> bool:
    """Whether `by` reads the whole trail: auditors, and admins who act as such."""
    return bool(getattr(by, "is_system", False) or getattr(by, "is_auditor", False) or by.is_superuser)


def events(by: Any, action: str = "view") -> QuerySet[AuditEvent]:
    """Return the whole trail. Raises: NotAllowed unless `by` is an auditor or an admin, InsufficientScope."""
    policy.require_active(by)
    if not is_auditor(by):
        raise refused(by, action, _KIND, NotAllowed("The audit trail is for auditors and admins."))
    policy.require_scope(by, AuditEvent, action)
    return policy.visible(AuditEvent.objects.all(), by, action)


def _rule(principal: Any, role: Role) -> Q:
    return Q(pk__isnull=False) if role is Role.VIEWER and is_auditor(principal) else Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Change:
    """What one row of a table was, and is. Only columns that changed; a secret one says "changed"."""

    table: str
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def columns(self) -> list[tuple[str, Any, Any]]:
        names = list(dict.fromkeys([*self.before, *self.after]))
        return [(name, self.before.get(name), self.after.get(name)) for name in names]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an object's history. `token_id` and `ip` are for auditors only, else None."""

    event: AuditEvent
    actor: str
    details: Mapping[str, Any]
    changes: Sequence[Change] = field(default_factory=list)
    token_id: Any = None
    ip: str | None = None


def history_of(obj: Model, *, by: Any) -> QuerySet[AuditEvent]:
    """Return the events of an object that `by` may view (the caller has judged that), newest first.

    Row changes that belong to an event of the same transaction are left out: `entries` shows them with it. What was
    denied is for auditors and admins.
    """
    mine = _about(obj)
    intents = querying.together().filter(mine).exclude(origin=DATABASE)
    rows = AuditEvent.objects.filter(mine).exclude(Q(origin=DATABASE) & Exists(intents))
    return (rows if is_auditor(by) else rows.filter(outcome=Outcome.OK)).order_by("-pk")


def entries(page: Iterable[AuditEvent], *, of: Model, by: Any) -> list[Entry]:
    """Turn events of one object into lines: three queries, however many there are."""
    shown = list(page)
    changes = _changes(of, [event for event in shown if event.origin != DATABASE])
    doers = _doers([event for event in shown if event.origin == DATABASE])
    return [_entry(event, changes, doers, may_know=is_auditor(by)) for event in shown]


def _entry(event: AuditEvent, changes: Any, doers: Any, *, may_know: bool) -> Entry:
    is_row = event.origin == DATABASE
    doer = next((intent.actor_label for intent in doers.get(event.txid, ()) if _is_near(intent, event)), "")
    return Entry(
        event,
        actor=doer or event.actor_label,
        details={name: value for name, value in event.data.items() if name not in _INTERNAL},
        changes=[_change(row) for row in ([event] if is_row else changes.get(event.txid, ())) if _is_near(row, event)],
        token_id=event.token_id if may_know else None,
        ip=event.ip if may_know else None,
    )


def _changes(obj: Model, intents: Sequence[AuditEvent]) -> dict[Any, list[AuditEvent]]:
    """Return the row changes of the object that were made in the transactions of its events."""
    rows = AuditEvent.objects.filter(_about(obj), origin=DATABASE, txid__in={event.txid for event in intents})
    return _by_transaction(rows.order_by("pk"))


def _doers(rows: Sequence[AuditEvent]) -> dict[Any, list[AuditEvent]]:
    """Return whose row changes those are that stand alone in this history: it was noted under another object."""
    same = AuditEvent.objects.filter(txid__in={row.txid for row in rows}, outcome=Outcome.OK)
    return _by_transaction(same.exclude(origin=DATABASE).order_by("pk"))


def _by_transaction(found: Iterable[AuditEvent]) -> dict[Any, list[AuditEvent]]:
    sorted_out: dict[Any, list[AuditEvent]] = {}
    for event in found:
        sorted_out.setdefault(event.txid, []).append(event)
    return sorted_out


def _is_near(one: AuditEvent, other: AuditEvent) -> bool:
    return abs(one.at - other.at) <= querying.LONGEST_TRANSACTION


def _change(row: AuditEvent) -> Change:
    data = row.data
    return Change(data.get("table", ""), row.action.removeprefix("row."), data.get("before", {}), data.get("after", {}))


def _about(obj: Model) -> Q:
    """Return the condition on events of the object. An experiment and its run are one thing with one id."""
    kinds: set[Any] = {type(obj)}
    for declared in policy.registered():
        above: Any = declared.model._meta.pk.related_model  # noqa: SLF001 -- documented Django API
        if above is not None and kinds & {declared.model, above}:
            kinds |= {declared.model, above}
    return Q(object_type__in=sorted(kind._meta.label_lower for kind in kinds), object_id=str(obj.pk))  # noqa: SLF001 -- as above
