"""The audit trail."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fathom.models import AuditEvent
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport, query_string

Kind = Literal["environments", "experiments", "models", "projects", "runs", "teams", "tokens"]


class AuditApi:
    """`client.audit`: the whole trail for auditors and admins; each object's history for who may view it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Any) -> Listing[AuditEvent]:
        """Newest first. Filters: actor, action, object_type, object_id, organization, outcome, origin, request_id, txid,
        since, until (datetimes, or RFC 3339 text).
        """
        return Listing(self._transport, path("audit"), AuditEvent.from_json, _query(filters))

    def export(
        self, target: str | os.PathLike[str], *, form: Literal["csv", "ndjson"] = "ndjson", **filters: Any
    ) -> Path:
        """Write all events that fit into a file, oldest first. Filters as in `list`."""
        goal = Path(target)
        self._transport.download(path("audit", "export") + query_string({"format": form, **_query(filters)}), goal)
        return goal

    def history(self, kind: Kind, object_id: str) -> Listing[AuditEvent]:
        """Who did what to one object, newest first; a team is named by its slug."""
        return Listing(self._transport, path(kind, object_id, "history"), AuditEvent.from_json)


def _query(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}
