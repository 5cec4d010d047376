"""Projects, tokens, teams, clusters: small lists with a few verbs."""

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.models import Cluster, Member, Project, ServiceAccount, Session, Team, Token
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

    def retention(self, project_id: str) -> Mapping[str, Any]:
        """How long the files of its runs are kept: the rule that counts, and whose it is."""
        rule: Mapping[str, Any] = self._transport.request("GET", path("projects", project_id, "retention")).json()
        return rule

    def set_retention(
        self, project_id: str, *, days_after_end: int | None = None, days_after_archive: int | None = None
    ) -> Mapping[str, Any]:
        """Give it a rule of its own: days after the end, or the deletion, of a run; None is for ever."""
        body = {"days_after_end": days_after_end, "days_after_archive": days_after_archive}
        reply = self._transport.request("PUT", path("projects", project_id, "retention"), json_body=body)
        rule: Mapping[str, Any] = reply.json()
        return rule

    def end_retention(self, project_id: str) -> None:
        """Take its own rule away: its team's counts again."""
        self._transport.request("DELETE", path("projects", project_id, "retention"))


class TokensApi:
    """`client.tokens`: your own API tokens."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Token]:
        return Listing(self._transport, path("tokens"), Token.from_json)

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("all",),
        expires_in_days: int | None = None,
        addresses: Sequence[str] = (),
    ) -> Token:
        """The secret is in the answer's `token`, this once. `addresses`: the networks it may be used from."""
        body = token_body(name, scopes, expires_in_days, addresses)
        return Token.from_json(self._transport.request("POST", path("tokens"), json_body=body).json())

    def get(self, token_id: str) -> Token:
        return Token.from_json(self._transport.request("GET", path("tokens", token_id)).json())

    def update(self, token_id: str, *, addresses: Sequence[str], reason: str = "") -> Token:
        """Say anew from which networks it may be used; none is everywhere."""
        body = {"addresses": list(addresses), "reason": reason}
        return Token.from_json(self._transport.request("PATCH", path("tokens", token_id), json_body=body).json())

    def rotate(self, token_id: str, *, overlap_hours: int = 24) -> Token:
        """A new token with the same rights, in `token` this once; the old one ends after the overlap (0 to 168)."""
        body = {"overlap_hours": overlap_hours}
        reply = self._transport.request("POST", path("tokens", token_id, "rotate"), json_body=body)
        return Token.from_json(reply.json())

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

    def create(self, slug: str, *, name: str, organization: str) -> Team:
        """Make a team. Admins only."""
        body = {"slug": slug, "name": name, "organization": organization}
        return Team.from_json(self._transport.request("POST", path("teams"), json_body=body).json())

    def update(self, slug: str, **changes: Any) -> Team:
        """Change `name`, or `archived`, which needs a `reason`. Admins only."""
        return Team.from_json(self._transport.request("PATCH", path("teams", slug), json_body=changes).json())

    def set_member(self, slug: str, username: str, *, role: str) -> Member:
        """Put somebody into the team, or give him another role. Maintainers only."""
        target = path("teams", slug, "members", username)
        data = self._transport.request("PUT", target, json_body={"role": role}).json()
        return Member(str(data.get("username") or username), str(data.get("role") or role))

    def remove_member(self, slug: str, username: str) -> None:
        """Take somebody out of the team; what he owns stays his. Maintainers only."""
        self._transport.request("DELETE", path("teams", slug, "members", username))


class ServiceAccountsApi:
    """`client.service_accounts`: what a team's programs act as. `name` may leave out `svc.<team>.`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, team: str) -> Listing[ServiceAccount]:
        return Listing(self._transport, _accounts(team), ServiceAccount.from_json)

    def get(self, team: str, name: str) -> ServiceAccount:
        return ServiceAccount.from_json(self._transport.request("GET", _accounts(team, name)).json())

    def create(self, team: str, name: str, *, role: str = "member") -> ServiceAccount:
        body = {"name": name, "role": role}
        return ServiceAccount.from_json(self._transport.request("POST", _accounts(team), json_body=body).json())

    def update(self, team: str, name: str, **changes: Any) -> ServiceAccount:
        """Change `role` or `is_active`."""
        reply = self._transport.request("PATCH", _accounts(team, name), json_body=changes)
        return ServiceAccount.from_json(reply.json())

    def create_token(
        self,
        team: str,
        account: str,
        name: str,
        *,
        scopes: Sequence[str] = ("all",),
        expires_in_days: int | None = None,
        addresses: Sequence[str] = (),
    ) -> Token:
        """The secret is in the answer's `token`, this once."""
        body = token_body(name, scopes, expires_in_days, addresses)
        return Token.from_json(
            self._transport.request("POST", _accounts(team, account, "tokens"), json_body=body).json()
        )


def token_body(
    name: str, scopes: Sequence[str], expires_in_days: int | None, addresses: Sequence[str]
) -> dict[str, Any]:
    """What a token is made from, as the platform reads it."""
    body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
    if expires_in_days is not None:
        body["expires_in_days"] = expires_in_days
    return body | ({"addresses": list(addresses)} if addresses else {})


def _accounts(team: str, *rest: str) -> str:
    return path("teams", team, "service-accounts", *rest)


class ClustersApi:
    """`client.clusters`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Cluster]:
        return Listing(self._transport, path("clusters"), Cluster.from_json)

    def get(self, name: str) -> Cluster:
        return Cluster.from_json(self._transport.request("GET", path("clusters", name)).json())
