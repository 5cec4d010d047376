"""Budgets, prices, the ledger, costs and statements."""

import os
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from fathom.models import Budget, Posting, Price
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport, query_string

GroupBy = Literal["organization", "team", "user", "project", "cluster", "day"]


class BudgetsApi:
    """`client.budgets`. All amounts are whole micros: a million of them are one unit of the currency."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, ended: bool = False) -> Listing[Budget]:
        """Those one may see; with `ended` those that were ended, too."""
        return Listing(self._transport, path("budgets"), Budget.from_json, {"ended": "true"} if ended else {})

    def get(self, budget_id: int) -> Budget:
        return Budget.from_json(self._transport.request("GET", path("budgets", str(budget_id))).json())

    def create(self, place: str, *, cadence: str, policy: str, amount_micros: int, **details: Any) -> Budget:
        """Give a place ("team:vision", "org:acme", "user:alice") a budget. Admins only.

        `details`: starts_at and ends_at of a fixed one, webhook_url, reason.
        """
        body = {"place": place, "cadence": cadence, "policy": policy, "amount_micros": amount_micros, **_plain(details)}
        return Budget.from_json(self._transport.request("POST", path("budgets"), json_body=body).json())

    def update(self, budget_id: int, *, reason: str, **changes: Any) -> Budget:
        """Change `amount_micros`, `policy` or `webhook_url`. Admins only."""
        body = {"reason": reason, **_plain(changes)}
        return Budget.from_json(
            self._transport.request("PATCH", path("budgets", str(budget_id)), json_body=body).json()
        )

    def end(self, budget_id: int, *, reason: str) -> Budget:
        """End it: it limits nothing any more. Admins only."""
        reply = self._transport.request("POST", path("budgets", str(budget_id), "end"), json_body={"reason": reason})
        return Budget.from_json(reply.json())

    def prices(self, *, cluster: str | None = None) -> Listing[Price]:
        """Every version of the price book, the newest first."""
        return Listing(self._transport, path("prices"), Price.from_json, {"cluster": cluster} if cluster else {})

    def set_price(self, cluster: str, resource: str, micros_per_hour: int, **details: Any) -> Price:
        """Set a price for what is admitted from now, or from `effective_from`, on. Admins only."""
        body = {"cluster": cluster, "resource": resource, "micros_per_hour": micros_per_hour, **_plain(details)}
        return Price.from_json(self._transport.request("POST", path("prices"), json_body=body).json())

    def ledger(self, *, key: str | None = None) -> Listing[Posting]:
        """Postings, newest first; with `key` those of one attempt."""
        return Listing(self._transport, path("ledger"), Posting.from_json, {"key": key} if key else {})

    def posting(self, posting_id: str) -> Posting:
        return Posting.from_json(self._transport.request("GET", path("ledger", posting_id)).json())

    def reverse(self, posting_id: str, *, reason: str) -> Posting:
        """Give back a charge, whole. Admins only."""
        reply = self._transport.request("POST", path("ledger", posting_id, "reverse"), json_body={"reason": reason})
        return Posting.from_json(reply.json())

    def costs(self, group_by: GroupBy = "project", **when: Any) -> dict[str, Any]:
        """Who spent how much. `when`: since and until (dates, the second not included), node."""
        query = query_string({"group_by": group_by, **_plain(when)})
        found: dict[str, Any] = self._transport.request("GET", path("costs") + query).json()
        return found

    def statement(self, **when: Any) -> dict[str, Any]:
        """Lines that equal the ledger, what rounding made of them, and the exact sum. `when`: as for `costs`."""
        found: dict[str, Any] = self._transport.request("GET", path("statement") + query_string(_plain(when))).json()
        return found

    def download_statement(self, target: str | os.PathLike[str], **when: Any) -> Path:
        """Write a statement as CSV into a file."""
        goal = Path(target)
        self._transport.download(path("statement") + query_string({"format": "csv", **_plain(when)}), goal)
        return goal


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in given.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, date | datetime) else value for name, value in kept.items()}
