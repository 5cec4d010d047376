"""Sharing: who has access and why, shares, requests for access."""

from datetime import datetime
from typing import Any

from fathom.models import Access, AccessRequest, Why
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport


class AccessApi:
    """`client.access`. An object is named by its kind ("run", "experiment", "project") and its id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, kind: str, object_id: str, *, offset: int = 0) -> Access:
        """Who has access, as what and through what."""
        query = {"offset": offset} if offset else None
        return Access.from_json(self._transport.request("GET", path("access", kind, object_id), query=query).json())

    def why(self, kind: str, object_id: str, *, user: str | None = None, action: str | None = None) -> Why:
        """Why one may (or, without that, what is missing). About others only those may ask who manage it."""
        query = {key: value for key, value in (("user", user), ("action", action)) if value}
        return Why.from_json(self._transport.request("GET", path("access", kind, object_id, "why"), query=query).json())

    def share(
        self,
        kind: str,
        object_id: str,
        role: str,
        *,
        user: str | None = None,
        team: str | None = None,
        organization: str | None = None,
        expires_at: datetime | None = None,
        reason: str = "",
    ) -> Access:
        """Share with one person, team or organization, or change that share. Raises: ValueError unless one is named."""
        body: dict[str, Any] = {"role": role}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        if reason:
            body["reason"] = reason
        where = path("access", kind, object_id, "shares", *_named(user, team, organization))
        return Access.from_json(self._transport.request("PUT", where, json_body=body).json())

    def unshare(
        self,
        kind: str,
        object_id: str,
        *,
        user: str | None = None,
        team: str | None = None,
        organization: str | None = None,
    ) -> None:
        """End a share; it gives nothing any more at once."""
        self._transport.request("DELETE", path("access", kind, object_id, "shares", *_named(user, team, organization)))

    def set_visibility(self, kind: str, object_id: str, visibility: str, *, team: str | None = None) -> None:
        """Set who sees it besides; with `team`, also whose it is."""
        body = {"visibility": visibility} | ({"team": team} if team else {})
        self._transport.request("PATCH", path("access", kind, object_id), json_body=body)

    def transfer(self, kind: str, object_id: str, to: str, *, reason: str = "") -> None:
        """Give it to another owner."""
        body = {"to": to, "reason": reason}
        self._transport.request("POST", path("access", kind, object_id, "owner"), json_body=body)

    def request(self, kind: str, object_id: str, *, role: str = "viewer", message: str = "") -> str:
        """Ask for access; return what the platform says, which does not tell whether there is such an object."""
        body = {"role": role, "message": message}
        reply = self._transport.request("POST", path("access", kind, object_id, "requests"), json_body=body)
        return str(reply.json()["detail"])

    def requests(self, *, mine: bool = False, state: str | None = None) -> Listing[AccessRequest]:
        """The requests one can decide, or with `mine` those one made."""
        query = {**({"mine": "true"} if mine else {}), **({"state": state} if state else {})}
        return Listing(self._transport, path("access", "requests"), AccessRequest.from_json, query)

    def get_request(self, request_id: str) -> AccessRequest:
        return AccessRequest.from_json(self._transport.request("GET", path("access", "requests", request_id)).json())

    def grant(
        self, request_id: str, *, role: str | None = None, expires_at: datetime | None = None, note: str = ""
    ) -> AccessRequest:
        """Grant a request, as asked or as `role`."""
        body: dict[str, Any] = {"note": note} | ({"role": role} if role else {})
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        reply = self._transport.request("POST", path("access", "requests", request_id, "grant"), json_body=body)
        return AccessRequest.from_json(reply.json())

    def refuse(self, request_id: str, *, note: str = "") -> AccessRequest:
        reply = self._transport.request(
            "POST", path("access", "requests", request_id, "refuse"), json_body={"note": note}
        )
        return AccessRequest.from_json(reply.json())

    def withdraw(self, request_id: str) -> None:
        """Take one's own request back."""
        self._transport.request("POST", path("access", "requests", request_id, "withdraw"))


def _named(user: str | None, team: str | None, organization: str | None) -> tuple[str, str]:
    given = [(kind, name) for kind, name in (("user", user), ("team", team), ("organization", organization)) if name]
    if len(given) != 1:
        message = "Name exactly one: a user, a team or an organization."
        raise ValueError(message)
    return given[0]
