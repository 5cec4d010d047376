"""The audit trail: who did what, and what changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event, or one line of an object's history (then `data` holds `details` and `changes`)."""

    id: int
    at: datetime | None
    actor: str
    on_behalf_of: str
    origin: str
    action: str
    object_type: str
    object_id: str
    object_label: str
    organization: str
    outcome: str
    reason: str
    data: Mapping[str, Any]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        words = ("actor", "on_behalf_of", "origin", "action", "object_type", "object_id", "object_label")
        rest = ("organization", "outcome", "reason")
        facts = data.get("data")
        return cls(
            id=int(data.get("id") or 0),
            at=as_time(data.get("at")),
            **{name: str(data.get(name) or "") for name in (*words, *rest)},
            data=facts if facts is not None else {name: data.get(name) for name in ("details", "changes")},
            raw=data,
        )
