"""Which events are wanted: the same filters for the API, the admin and the command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from apps.audit import organizations
from apps.audit.choices import DATABASE, DOORS, Outcome
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid

FILTERS = (
    "actor", "action", "object_type", "object_id", "organization", "outcome", "origin", "request_id", "txid", "since",
    "until",
)  # fmt: skip
LONGEST_TRANSACTION = timedelta(hours=1)
PLATFORM = "platform"  # names the chain of what belongs to no organization
_ONE_OF = {"outcome": tuple(Outcome.values), "origin": DOORS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition on events, read from words."""

    condition: Q = field(default_factory=Q)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Read filters by name. Raises: Invalid for a value that cannot be one; names it does not know are left alone."""
        condition = Q()
        for name in FILTERS:
            if (text := str(given.get(name) or "").replace("\x00", "").strip()) != "":
                condition &= _condition(name, text)
        return cls(condition)

    def apply(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return events.filter(self.condition)


def by_actor(name: str) -> Q:
    """What somebody did: his events, and what the database saw change in the same transactions."""
    his = together().filter(actor_label=name, outcome=Outcome.OK)
    return Q(actor_label=name) | Q(Exists(his), origin=DATABASE)


def together() -> QuerySet[AuditEvent]:
    """Return, for a subquery, what was written in the same transaction as the outer event.

    Ids of transactions begin anew in a restored database, so the times must be near as well.
    """
    near = (OuterRef("at") - LONGEST_TRANSACTION, OuterRef("at") + LONGEST_TRANSACTION)
    return AuditEvent.objects.filter(txid=OuterRef("txid"), at__range=near)


def by_organization(slug: str) -> Q:
    """Raises: Invalid when there is no such organization."""
    if slug == PLATFORM:
        return Q(organization_id=None)
    if (found := organizations.find(slug)) is None:
        raise Invalid(errors={"organization": ["There is no such organization."]})
    return Q(organization_id=found)


def moment(text: str, name: str) -> datetime:
    """Read a time, or a date as its first moment; without a zone it is UTC. Raises: Invalid."""
    try:
        found = parse_datetime(text)
        if found is None and (day := parse_date(text)) is not None:
            found = datetime(day.year, day.month, day.day, tzinfo=UTC)
    except ValueError:
        found = None
    if found is None:
        raise Invalid(errors={name: ["Expected a time like 2026-11-26T10:00:00Z, or a date."]})
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _condition(name: str, text: str) -> Q:
    if name in _ONE_OF and text not in _ONE_OF[name]:
        raise Invalid(errors={name: [f"One of {', '.join(_ONE_OF[name])}."]})
    match name:
        case "actor":
            return by_actor(text)
        case "organization":
            return by_organization(text)
        case "since":
            return Q(at__gte=moment(text, name))
        case "until":
            return Q(at__lt=moment(text, name))
        case "txid":
            if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 -- digits of a bigint
                raise Invalid(errors={name: ["Expected a whole number."]})
            return Q(txid=int(text))
    return Q(**{name: text})
