"""Projects, tokens, teams, clusters: small lists with a few verbs."""

from collections.abc import Sequence
from typing import Any

from fathom.models import Cluster, Project, Session, Team, Token
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport


class ProjectsApi:
    """`client.projects`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, shared: bool = False) -> Listing[Project]:
        """Newest first. `shared`: only what was shared with me."""
        return Listing(self._transport, path("projects"), Project.from_json, {"shared": "true"} if shared else None)

    def create(
        self, name: str, *, description: str = "", team: str | None = None, visibility: str | None = None
    ) -> Project:
        body = {"name": name, "description": description or None, "team": team, "visibility": visibility}
        sent = {key: value for key, value in body.items() if value is not None}
        return Project.from_json(self._transport.request("POST", path("projects"), json_body=sent).json())

    def get(self, project_id: str) -> Project:
        return Project.from_json(self._transport.request("GET", path("projects", project_id)).json())

    def update(self, project_id: str, **changes: Any) -> Project:
        """Change `name`, `description` or `visibility`."""
        reply = self._transport.request("PATCH", path("projects", project_id), json_body=changes)
        return Project.from_json(reply.json())

    def delete(self, project_id: str) -> None:
        self._transport.request("DELETE", path("projects", project_id))


class TokensApi:
    """`client.tokens`: your own API tokens."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Token]:
        return Listing(self._transport, path("tokens"), Token.from_json)

    def create(self, name: str, *, scopes: Sequence[str] = ("all",), expires_in_days: int | None = None) -> Token:
        """The secret is in the answer's `token`, this once."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_in_days is not None:
            body["expires_in_days"] = expires_in_days
        return Token.from_json(self._transport.request("POST", path("tokens"), json_body=body).json())

    def get(self, token_id: str) -> Token:
        return Token.from_json(self._transport.request("GET", path("tokens", token_id)).json())

    def revoke(self, token_id: str) -> None:
        """It stops working at once."""
        self._transport.request("DELETE", path("tokens", token_id))


class SessionsApi:
    """`client.sessions`: the browsers in which you are logged in."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Session]:
        return Listing(self._transport, path("sessions"), Session.from_json)

    def end(self, session_id: str) -> None:
        """It is logged out at once."""
        self._transport.request("DELETE", path("sessions", session_id))


class TeamsApi:
    """`client.teams`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Team]:
        return Listing(self._transport, path("teams"), Team.from_json)

    def get(self, slug: str) -> Team:
        return Team.from_json(self._transport.request("GET", path("teams", slug)).json())


class ClustersApi:
    """`client.clusters`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Cluster]:
        return Listing(self._transport, path("clusters"), Cluster.from_json)

    def get(self, name: str) -> Cluster:
        return Cluster.from_json(self._transport.request("GET", path("clusters", name)).json())
