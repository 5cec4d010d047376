"""The trail as CSV or NDJSON, row by row, however many there are."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from django.db.models import Max, QuerySet

from apps.audit import organizations
from apps.audit.models import AuditEvent

CHUNK = 2000
COLUMNS = (
    "id", "at", "organization", "actor_label", "on_behalf_of", "token_id", "origin", "ip", "request_id", "action",
    "object_type", "object_id", "object_label", "outcome", "reason", "data", "txid",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """In which form."""

    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def content_type(self) -> str:
        return {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}[self.value]


def stream(events: QuerySet[AuditEvent], form: Format) -> Iterator[bytes]:
    """Yield `events` in the order of their ids, a chunk at a time. What comes into being meanwhile is left out.

    Pages by id instead of holding a cursor open: a slow reader keeps no transaction, and no memory.
    """
    write = _csv if form is Format.CSV else _ndjson
    names = organizations.names()
    if form is Format.CSV:
        yield (",".join(COLUMNS) + "\r\n").encode()
    for part in _parts(events):
        yield "".join(write(_shown(row, names)) for row in part).encode()


def _parts(events: QuerySet[AuditEvent]) -> Iterator[list[dict[str, Any]]]:
    newest = events.order_by().aggregate(newest=Max("pk"))["newest"] or 0
    wanted = (
        events.filter(pk__lte=newest)
        .order_by("pk")
        .values(*("organization_id" if c == "organization" else c for c in COLUMNS))
    )
    after = 0
    while part := list(wanted.filter(pk__gt=after)[:CHUNK]):
        yield part
        after = part[-1]["id"]


def _shown(row: dict[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    chain = row.pop("organization_id")
    shown = {**row, "at": row["at"].isoformat(), "organization": "" if chain is None else names.get(chain, str(chain))}
    return {name: shown[name] for name in COLUMNS}


def _ndjson(row: dict[str, Any]) -> str:
    return json.dumps(row, default=str, ensure_ascii=False) + "\n"


def _csv(row: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(_harmless(value) for value in row.values())
    return text.getvalue()


def _harmless(value: Any) -> str:
    """SECURITY: a spreadsheet calculates a cell that begins like a formula; anybody can choose a name that does."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
