"""Environments: the packages work runs with, locked by version."""

import time
from typing import Any

from fathom.errors import FathomError, NotFound
from fathom.models.environments import Environment, EnvironmentBuild, EnvironmentVersion
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.transport import Transport

_LOOK_SECONDS = 1.0


class EnvironmentsApi:
    """`client.environments`. An environment is named by its id; `find` gives it for a name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Any) -> Listing[Environment]:
        """Newest first. Filters: q (part of the name), name, team, shared."""
        query = {key: "true" if value is True else value for key, value in filters.items() if value}
        return Listing(self._transport, path("environments"), Environment.from_json, query)

    def create(self, name: str, **details: Any) -> Environment:
        """Make an environment with its first version.

        `details`: packages (the text of a requirements.txt or environment.yml), python, variables, r_packages, image, team,
        visibility, description.
        """
        body = {"name": name, **_given(details)}
        return Environment.from_json(self._transport.request("POST", path("environments"), json_body=body).json())

    def get(self, environment_id: str) -> Environment:
        return Environment.from_json(self._transport.request("GET", path("environments", environment_id)).json())

    def find(self, name: str) -> Environment:
        """The environment of that name. Raises: NotFound without one, FathomError when several have it."""
        found = self.list(name=name).first(2)
        if not found:
            message = f"There is no environment called {name}, or you may not see it."
            raise NotFound(message, code="not_found", status=404)
        if len(found) > 1:
            message = f"Several environments are called {name}. Name one by its id."
            raise FathomError(message)
        return found[0]

    def update(self, environment_id: str, **changes: Any) -> Environment:
        """Change name, description or visibility."""
        reply = self._transport.request("PATCH", path("environments", environment_id), json_body=changes)
        return Environment.from_json(reply.json())

    def delete(self, environment_id: str, *, reason: str = "") -> None:
        """Take it out of sight; what ran in it can be run again."""
        query = {"reason": reason} if reason else None
        self._transport.request("DELETE", path("environments", environment_id), query=query)

    def versions(self, environment_id: str) -> Listing[EnvironmentVersion]:
        """Newest first."""
        return Listing(self._transport, path("environments", environment_id, "versions"), EnvironmentVersion.from_json)

    def version(self, environment_id: str, number: int | str = "latest") -> EnvironmentVersion:
        return EnvironmentVersion.from_json(self._transport.request("GET", _version(environment_id, number)).json())

    def add(self, environment_id: str, **contents: Any) -> EnvironmentVersion:
        """Make the next version. `contents`: packages, python, variables, r_packages, image."""
        address = path("environments", environment_id, "versions")
        return EnvironmentVersion.from_json(self._transport.request("POST", address, json_body=_given(contents)).json())

    def build(self, environment_id: str, number: int | str = "latest", *, cluster: str = "") -> EnvironmentBuild:
        """Have a version built, or built again where that failed. Returns at once."""
        address = f"{_version(environment_id, number)}builds/"
        return EnvironmentBuild.from_json(
            self._transport.request("POST", address, json_body={"cluster": cluster}).json()
        )

    def build_of(self, environment_id: str, number: int | str, cluster: str) -> EnvironmentBuild:
        """How a build goes, with its log and its lock."""
        address = path("environments", environment_id, "versions", str(number), "builds", cluster)
        return EnvironmentBuild.from_json(self._transport.request("GET", address).json())

    def wait(
        self, environment_id: str, number: int | str, cluster: str, *, timeout: float | None = None
    ) -> EnvironmentBuild:
        """Wait for the end of a build. Raises: FathomError when it takes longer than `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            found = self.build_of(environment_id, number, cluster)
            if found.is_final:
                return found
            if until is not None and time.monotonic() > until:
                message = f"It is still {found.state}."
                raise FathomError(message)
            time.sleep(_LOOK_SECONDS)


def _version(environment_id: str, number: int | str) -> str:
    return path("environments", environment_id, "versions", str(number))


def _given(details: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if value is not None}
