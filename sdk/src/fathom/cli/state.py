"""What every command needs: the client, made when it is first asked for, and ids as people write them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from fathom.errors import FathomError, NotFound

if TYPE_CHECKING:
    from fathom.client import Client

MIN_PREFIX = 6
SHORT_ID = 13  # of a time-ordered UUID: its milliseconds
FULL_ID = 36
_HEX = re.compile(r"[0-9a-f-]+")


class HasId(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


Thing = TypeVar("Thing", bound=HasId)


class Ambiguous(FathomError):
    """A prefix that several things begin with."""


class State:
    """Kept by click for the length of one command."""

    def __init__(self, *, host: str | None = None) -> None:
        self.host = host
        self._client: Client | None = None

    @property
    def client(self) -> "Client":
        if self._client is None:
            from fathom.client import Client  # noqa: PLC0415 -- help and completion do without HTTP
            from fathom.config import resolve  # noqa: PLC0415 -- the same

            self._client = Client(connection=resolve(host=self.host))
        return self._client

    def experiment_id(self, given: str) -> str:
        """The full id for a full id, a prefix of at least 6 characters, or `latest` (your newest)."""
        if given == "latest":
            owner = self.client.me().username
            newest = self.client.experiments.list(owner=owner).first(1)
            if not newest:
                message = "You have no experiment yet."
                raise NotFound(message, code="not_found", status=404)
            return newest[0].id
        return self._expand(given, "experiment", self._experiments_near(given))

    def run_id(self, given: str) -> str:
        """As `experiment_id`, for runs; an experiment's run has the experiment's id."""
        if given == "latest":
            return self.experiment_id(given)
        return self._expand(given, "run", self.client.runs.list())

    def project_id(self, given: str) -> str:
        """The full id of a project by id, prefix or name."""
        projects = list(self.client.projects.list())
        named = next((item.id for item in projects if given in {item.id, item.name}), None)
        return named or self._expand(given, "project", projects)

    def credential_id(self, given: str) -> str:
        """The full id of a credential by id, prefix or name."""
        if len(given) >= FULL_ID and _HEX.fullmatch(given.lower()):
            return given
        named = self.client.credentials.list(name=given).first(2)
        if len(named) > 1:
            message = f"Several credentials are called {given}: {', '.join(item.id for item in named)}. Give an id."
            raise Ambiguous(message)
        return named[0].id if named else self._expand(given, "credential", self.client.credentials.list())

    def _experiments_near(self, given: str) -> Iterable[HasId]:
        window = time_window(given)
        if window is None:
            return self.client.experiments.list()
        return self.client.experiments.list(created_after=window[0], created_before=window[1])

    @staticmethod
    def _expand(given: str, what: str, candidates: Iterable[HasId]) -> str:
        prefix = given.lower()
        if len(prefix) >= FULL_ID or not _HEX.fullmatch(prefix):
            return given
        if len(prefix) < MIN_PREFIX:
            message = f"{given!r} is too short for an id: give at least {MIN_PREFIX} characters, or `latest`."
            raise click.UsageError(message)
        found = {item.id: item.name for item in candidates if item.id.startswith(prefix)}
        if len(found) > 1:
            names = "\n".join(f"  {id_}  {name}" for id_, name in list(found.items())[:10])
            message = f"{given!r} could be any of these; give more characters:\n{names}"
            raise Ambiguous(message)
        if not found:
            message = f"There is no {what} whose id begins with {given}, or you may not see it."
            raise NotFound(message, code="not_found", status=404)
        return next(iter(found))


def time_window(prefix: str) -> tuple[datetime, datetime] | None:
    """When an id that begins so can have been made: its first 48 bits are milliseconds. A minute is left for clocks."""
    digits = prefix.replace("-", "").lower()[:12]
    if not _HEX.fullmatch(digits):
        return None
    low, high = int(digits.ljust(12, "0"), 16), int(digits.ljust(12, "f"), 16)
    slack = timedelta(minutes=1)
    try:
        return (
            datetime.fromtimestamp(low / 1000, UTC) - slack,
            datetime.fromtimestamp(high / 1000, UTC) + slack,
        )
    except (OverflowError, ValueError, OSError):
        return None


def short(id_: str) -> str:
    """The part of an id that tables show; it works as a prefix."""
    return id_[:SHORT_ID]


pass_state = click.make_pass_decorator(State)
