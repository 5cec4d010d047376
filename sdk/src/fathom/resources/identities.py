"""Directories (LDAP, OpenID Connect), for admins."""

from typing import Any

from fathom.models import DirectoryPlan, DirectoryRule, DirectorySync
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport


class DirectoryApi:
    """`client.directory`: which group gives what, the dry run, and the sync. Admins only; auditors read."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def rules(self) -> Listing[DirectoryRule]:
        return Listing(self._transport, path("directory", "rules"), DirectoryRule.from_json)

    def rule(self, rule_id: int) -> DirectoryRule:
        return DirectoryRule.from_json(self._transport.request("GET", path("directory", "rules", str(rule_id))).json())

    def create_rule(self, group: str, **fields: Any) -> DirectoryRule:
        """Fields: `source`, `team` and `role`, or `platform_role`; `order`, `enabled`."""
        body = {"group": group, **fields}
        reply = self._transport.request("POST", path("directory", "rules"), json_body=body)
        return DirectoryRule.from_json(reply.json())

    def update_rule(self, rule_id: int, **changes: Any) -> DirectoryRule:
        """Change what is given."""
        reply = self._transport.request("PATCH", path("directory", "rules", str(rule_id)), json_body=changes)
        return DirectoryRule.from_json(reply.json())

    def delete_rule(self, rule_id: int) -> None:
        """The next sync takes back what only this rule gave."""
        self._transport.request("DELETE", path("directory", "rules", str(rule_id)))

    def preview(self) -> DirectoryPlan:
        """Say what a sync would change now; nothing is changed."""
        return DirectoryPlan.from_json(self._transport.request("GET", path("directory", "preview")).json())

    def sync(self, *, digest: str = "", force: bool = False) -> DirectorySync:
        """Sync now. With the `digest` of a preview it does exactly what that showed, or raises Conflict."""
        body = {"digest": digest, "force": force}
        return DirectorySync.from_json(
            self._transport.request("POST", path("directory", "sync"), json_body=body).json()
        )

    def syncs(self) -> Listing[DirectorySync]:
        """What came of earlier syncs, the newest first."""
        return Listing(self._transport, path("directory", "sync"), DirectorySync.from_json)

    def sync_result(self, sync_id: int) -> DirectorySync:
        return DirectorySync.from_json(self._transport.request("GET", path("directory", "sync", str(sync_id))).json())
