"""Quotas and the queue."""

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fathom.errors import NotFound
from fathom.models import AllocationRequest, PriorityClass, QueuePlace, QuotaNode, Resource, WhatIf
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.resources.people import given
from fathom.transport import Transport

Amount = str | int
"""As people write it ("8", "32Gi"), or a whole number of base units."""


class QuotasApi:
    """`client.quotas`: the places of the quota tree that one may see, and what they may hold."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, kind: str | None = None, q: str | None = None) -> Listing[QuotaNode]:
        """From the top. `q`: the name contains it."""
        return Listing(self._transport, path("quotas"), QuotaNode.from_json, given(kind=kind, q=q))

    def get(self, node: int | str) -> QuotaNode:
        """One place, by its id or its key (`team:7`). Raises: NotFound."""
        if str(node).isdigit():
            return QuotaNode.from_json(self._transport.request("GET", path("quotas", str(node))).json())
        found = Listing(self._transport, path("quotas"), QuotaNode.from_json, {"key": str(node)}).first(1)
        if not found:
            message = f"There is no place {node} in the quota tree, or you may not see it."
            raise NotFound(message, code="not_found", status=404)
        return found[0]

    def update(
        self,
        node_id: int,
        *,
        reason: str,
        limits: Mapping[str, Amount | None] | None = None,
        borrow: Mapping[str, Amount] | None = None,
        weight: int | None = None,
    ) -> QuotaNode:
        """Set limits (None removes one), what may be borrowed, and the weight: all of it or nothing.

        For admins, and for maintainers inside their team's own share. Raises: Invalid with a sentence per field.
        """
        body = {"reason": reason, **given(limits=limits, borrow=borrow, weight=weight)}
        reply = self._transport.request("PATCH", path("quotas", str(node_id)), json_body=body)
        return QuotaNode.from_json(reply.json())

    def what_if(self, changes: Sequence[tuple[int | str, str, Amount | None]]) -> WhatIf:
        """Which of the waiting would start with other limits, each as (place, resource, limit). Operators only."""
        limits = [{"node": str(node), "resource": name, "limit": limit} for node, name, limit in changes]
        reply = self._transport.request("POST", path("quotas", "what-if"), json_body={"limits": limits})
        return WhatIf.from_json(reply.json())


class QueueApi:
    """`client.queue`: what waits and one may see, in the order of the queue."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[QueuePlace]:
        """The next one first."""
        return Listing(self._transport, path("queue"), QueuePlace.from_json)


class AllocationsApi:
    """`client.allocations`: asking that a place may hold more, and the answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, mine: bool = False, to_decide: bool = False, state: str | None = None
    ) -> Listing[AllocationRequest]:
        """Newest first. `mine`: those one made; `to_decide`: open ones of others that one can decide."""
        query = given(mine="true" if mine else None, to_decide="true" if to_decide else None, state=state)
        return Listing(self._transport, path("allocation-requests"), AllocationRequest.from_json, query)

    def get(self, request_id: str) -> AllocationRequest:
        return self._read("GET", request_id)

    def create(
        self, node: int | str, resource: str, amount: Amount, *, reason: str, until: datetime | None = None
    ) -> AllocationRequest:
        """Ask that a place (id or key) may hold `amount` in all, until a time or for good."""
        body = {"node": str(node), "resource": resource, "amount": amount, "reason": reason}
        return self._read("POST", body={**body, **given(until=until.isoformat() if until else None)})

    def approve(
        self, request_id: str, *, amount: Amount | None = None, until: datetime | None = None, note: str = ""
    ) -> AllocationRequest:
        """Give what was asked for, or `amount`, at once. Nobody approves his own."""
        ends = until.isoformat() if until else None
        return self._read("POST", request_id, "approve", body={"note": note, **given(amount=amount, until=ends)})

    def refuse(self, request_id: str, *, note: str = "") -> AllocationRequest:
        return self._read("POST", request_id, "refuse", body={"note": note})

    def withdraw(self, request_id: str) -> AllocationRequest:
        """Take back what one asked for."""
        return self._read("POST", request_id, "withdraw", body={})

    def _read(self, method: str, *parts: str, body: Any = None) -> AllocationRequest:
        reply = self._transport.request(method, path("allocation-requests", *parts), json_body=body)
        return AllocationRequest.from_json(reply.json())


class PriorityClassesApi:
    """`client.priority_classes`: ranks among everybody's work. Admins change them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[PriorityClass]:
        """The highest first."""
        return Listing(self._transport, path("priority-classes"), PriorityClass.from_json)

    def get(self, name: str) -> PriorityClass:
        return PriorityClass.from_json(self._transport.request("GET", path("priority-classes", name)).json())

    def create(self, name: str, rank: int, *, open_to: str = "admins", description: str = "") -> PriorityClass:
        body = {"name": name, "rank": rank, "open_to": open_to, "description": description}
        return PriorityClass.from_json(self._transport.request("POST", path("priority-classes"), json_body=body).json())

    def update(self, name: str, **changes: Any) -> PriorityClass:
        """Change `rank`, `open_to` or `description`. What waits keeps the rank it has."""
        reply = self._transport.request("PATCH", path("priority-classes", name), json_body=changes)
        return PriorityClass.from_json(reply.json())

    def delete(self, name: str) -> None:
        """Raises: Conflict while work waits with it."""
        self._transport.request("DELETE", path("priority-classes", name))


class ResourcesApi:
    """`client.resources`: what can be limited. Admins change it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> builtins.list[Resource]:
        """All of it, in the order in which it is shown."""
        return [Resource.from_json(one) for one in self._transport.request("GET", path("resources")).json()]

    def create(self, name: str, title: str, **facts: int) -> Resource:
        """Add what can be limited. `facts`: position, weight."""
        body = {"name": name, "title": title, **facts}
        return Resource.from_json(self._transport.request("POST", path("resources"), json_body=body).json())

    def update(self, name: str, **changes: Any) -> Resource:
        """Change `title`, `position` or `weight`, also of what is built in."""
        return Resource.from_json(self._transport.request("PATCH", path("resources", name), json_body=changes).json())

    def delete(self, name: str) -> None:
        """Raises: Conflict while it is in use."""
        self._transport.request("DELETE", path("resources", name))
