"""Credentials: secrets that jobs may use and nobody can read."""

from collections.abc import Mapping
from typing import Any

from fathom.models import Credential, CredentialUse
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport


class CredentialsApi:
    """`client.credentials`. `values` holds the fields of the kind (see `fathom.models.CREDENTIAL_KINDS`)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, name: str | None = None, kind: str | None = None, usable: bool = False) -> Listing[Credential]:
        """Those one may see; with `usable` those one may use."""
        asked = {"name": name, "kind": kind, "usable": "true" if usable else None}
        query = {key: value for key, value in asked.items() if value is not None}
        return Listing(self._transport, path("credentials"), Credential.from_json, query)

    def create(self, name: str, kind: str, values: Mapping[str, Any], **details: Any) -> Credential:
        """Keep a secret. `details`: team, visibility, description, expires_at. A keytab is given in base64."""
        given = {key: value for key, value in details.items() if value is not None}
        body = {"name": name, "kind": kind, "values": dict(values), **given}
        return Credential.from_json(self._transport.request("POST", path("credentials"), json_body=body).json())

    def get(self, credential_id: str) -> Credential:
        return Credential.from_json(self._transport.request("GET", path("credentials", credential_id)).json())

    def update(self, credential_id: str, **changes: Any) -> Credential:
        """Change `name`, `description`, `visibility` or `expires_at`."""
        reply = self._transport.request("PATCH", path("credentials", credential_id), json_body=changes)
        return Credential.from_json(reply.json())

    def replace(self, credential_id: str, values: Mapping[str, Any], *, reason: str = "") -> Credential:
        """Put a new value in place of the old one, which is destroyed. Public fields that are not given stay."""
        body = {"values": dict(values), "reason": reason}
        reply = self._transport.request("POST", path("credentials", credential_id, "replace"), json_body=body)
        return Credential.from_json(reply.json())

    def delete(self, credential_id: str) -> None:
        """Destroy the value at once."""
        self._transport.request("DELETE", path("credentials", credential_id))

    def uses(self, credential_id: str) -> Listing[CredentialUse]:
        """The jobs it was given to, newest first."""
        return Listing(self._transport, path("credentials", credential_id, "uses"), CredentialUse.from_json)
