"""People and how they come and go: users, registrations, invitations, organizations. Mostly for admins."""

from collections.abc import Mapping
from typing import Any

from fathom.models import ImportReport, Invitation, Offboarding, Organization, Registration, User
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


class UsersApi:
    """`client.users`: yourself and your teams' people; everybody, for admins, who also change them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, q: str | None = None) -> Listing[User]:
        """`q`: the name begins with it."""
        return Listing(self._transport, path("users"), User.from_json, given(q=q))

    def get(self, username: str) -> User:
        return User.from_json(self._transport.request("GET", path("users", username)).json())

    def create(self, username: str, **facts: str) -> User:
        """Make an account; `email`, `first_name`, `last_name`, `platform_role`, `password`."""
        body = {"username": username, **facts}
        return User.from_json(self._transport.request("POST", path("users"), json_body=body).json())

    def update(self, username: str, **changes: str) -> User:
        """Change `username`, `email`, `first_name`, `last_name` or `platform_role`; the last needs a `reason`."""
        reply = self._transport.request("PATCH", path("users", username), json_body=changes)
        return User.from_json(reply.json())

    def disable(self, username: str, *, reason: str) -> User:
        """Shut somebody out at once, by the standing policy."""
        return self._switch(username, "disable", reason)

    def enable(self, username: str, *, reason: str) -> User:
        """Let somebody in again, without his former tokens."""
        return self._switch(username, "enable", reason)

    def offboard(self, username: str, *, reason: str, dry_run: bool = False, **policy: str) -> Offboarding:
        """Shut somebody out and deal with what was his: `assets`, `transfer_to`, `jobs`, `memberships`."""
        reply = self._transport.request(
            "POST",
            path("users", username, "offboard"),
            query={"dry_run": "true"} if dry_run else None,
            json_body={"reason": reason, **policy},
        )
        return Offboarding.from_json(reply.json())

    def import_csv(self, text: str, *, dry_run: bool = False) -> ImportReport:
        """Create the people of a file and put them into teams, all or nothing.

        Raises: Invalid with the sentences of each wrong line; a dry run has them in its report.
        """
        query = {"dry_run": "true"} if dry_run else None
        reply = self._transport.request("POST", path("users", "import"), query=query, json_body={"csv": text})
        return ImportReport.from_json(reply.json())

    def _switch(self, username: str, verb: str, reason: str) -> User:
        reply = self._transport.request("POST", path("users", username, verb), json_body={"reason": reason})
        return User.from_json(reply.json())


class RegistrationsApi:
    """`client.registrations`: who asked for an account. Admins only."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, waiting: bool = False) -> Listing[Registration]:
        query = {"waiting": "true"} if waiting else None
        return Listing(self._transport, path("registrations"), Registration.from_json, query)

    def get(self, registration_id: str) -> Registration:
        return Registration.from_json(self._transport.request("GET", path("registrations", registration_id)).json())

    def approve(self, registration_id: str, *, reason: str) -> Registration:
        return self._decide(registration_id, "approve", reason)

    def reject(self, registration_id: str, *, reason: str) -> Registration:
        return self._decide(registration_id, "reject", reason)

    def _decide(self, registration_id: str, verb: str, reason: str) -> Registration:
        target = path("registrations", registration_id, verb)
        return Registration.from_json(self._transport.request("POST", target, json_body={"reason": reason}).json())


class InvitationsApi:
    """`client.invitations`: one-time links into teams."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Invitation]:
        return Listing(self._transport, path("invitations"), Invitation.from_json)

    def get(self, invitation_id: str) -> Invitation:
        return Invitation.from_json(self._transport.request("GET", path("invitations", invitation_id)).json())

    def create(
        self,
        teams: Mapping[str, str],
        *,
        email: str | None = None,
        for_user: str | None = None,
        expires_in_days: int | None = None,
    ) -> Invitation:
        """A link into `teams` (slug: role), or one that opens the account `for_user`; it is in `url`, this once."""
        places = [{"team": slug, "role": role} for slug, role in teams.items()]
        body = {"teams": places, **given(email=email, for_user=for_user, expires_in_days=expires_in_days)}
        return Invitation.from_json(self._transport.request("POST", path("invitations"), json_body=body).json())

    def revoke(self, invitation_id: str) -> None:
        """It opens nothing any more."""
        self._transport.request("DELETE", path("invitations", invitation_id))


class OrganizationsApi:
    """`client.organizations`: those of your teams; admins make and change them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Listing[Organization]:
        return Listing(self._transport, path("organizations"), Organization.from_json)

    def get(self, slug: str) -> Organization:
        return Organization.from_json(self._transport.request("GET", path("organizations", slug)).json())

    def create(self, slug: str, *, name: str) -> Organization:
        body = {"slug": slug, "name": name}
        return Organization.from_json(self._transport.request("POST", path("organizations"), json_body=body).json())

    def update(self, slug: str, **changes: Any) -> Organization:
        """Change `name`, or `archived`, which needs a `reason`."""
        reply = self._transport.request("PATCH", path("organizations", slug), json_body=changes)
        return Organization.from_json(reply.json())
