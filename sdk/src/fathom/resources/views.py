"""Saved views of run tables."""

from typing import Any

from fathom.models import SavedView
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport


class ViewsApi:
    """`client.views`: what the run table of a project was asked for, under a name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, project: str | None = None) -> Listing[SavedView]:
        """My own and the shared ones, newest first. `project`: a project's id."""
        return Listing(self._transport, path("saved-views"), SavedView.from_json, {"project": project})

    def create(self, project: str, name: str, query: str = "", *, is_shared: bool = False) -> SavedView:
        """Keep a table. `query` is the query string of its page, such as `sort=-metrics.loss&col=params.lr`."""
        body: dict[str, Any] = {"project": project, "name": name, "query": query, "is_shared": is_shared}
        return SavedView.from_json(self._transport.request("POST", path("saved-views"), json_body=body).json())

    def get(self, view_id: str) -> SavedView:
        return SavedView.from_json(self._transport.request("GET", path("saved-views", view_id)).json())

    def update(self, view_id: str, **changes: Any) -> SavedView:
        """Change `name`, `query` or `is_shared`."""
        reply = self._transport.request("PATCH", path("saved-views", view_id), json_body=changes)
        return SavedView.from_json(reply.json())

    def delete(self, view_id: str) -> None:
        self._transport.request("DELETE", path("saved-views", view_id))
