"""The platform's client."""

from types import TracebackType
from typing import Any, Self

from fathom.config import Connection, resolve
from fathom.models import Me, Token, Usage
from fathom.resources.access import AccessApi
from fathom.resources.audit import AuditApi
from fathom.resources.code import CodeApi
from fathom.resources.credentials import CredentialsApi
from fathom.resources.directory import (
    ClustersApi,
    ProjectsApi,
    ServiceAccountsApi,
    SessionsApi,
    TeamsApi,
    TokensApi,
)
from fathom.resources.environments import EnvironmentsApi
from fathom.resources.experiments import ExperimentsApi
from fathom.resources.identities import DirectoryApi
from fathom.resources.money import BudgetsApi
from fathom.resources.paths import path
from fathom.resources.people import InvitationsApi, OrganizationsApi, RegistrationsApi, UsersApi
from fathom.resources.quotas import AllocationsApi, PriorityClassesApi, QueueApi, QuotasApi, ResourcesApi
from fathom.resources.registry import ModelsApi
from fathom.resources.runs import RunsApi
from fathom.resources.uploads import UploadsApi
from fathom.resources.views import ViewsApi
from fathom.transport import Transport


class Client:
    """A connection to one platform, as one person.

    Without arguments it is configured by `FATHOM_URL` with `FATHOM_TOKEN` or `FATHOM_TOKEN_FILE`, else by what
    `fathom login` stored. Requests are retried for `retry_seconds` while the platform cannot be reached or asks to
    wait; changes carry an Idempotency-Key, so a retry never does anything twice.

    Raises: NotConfigured when no platform is known; its methods raise the children of ApiError.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        retry_seconds: float = 30.0,
        connection: Connection | None = None,
    ) -> None:
        self.transport = Transport(connection or resolve(url, token), timeout=timeout, retry_seconds=retry_seconds)
        self.access = AccessApi(self.transport)
        self.code = CodeApi(self.transport)
        self.experiments = ExperimentsApi(self.transport, self.code)
        self.runs = RunsApi(self.transport)
        self.uploads = UploadsApi(self.transport)
        self.models = ModelsApi(self.transport)
        self.environments = EnvironmentsApi(self.transport)
        self.projects = ProjectsApi(self.transport)
        self.views = ViewsApi(self.transport)
        self.credentials = CredentialsApi(self.transport)
        self.tokens = TokensApi(self.transport)
        self.sessions = SessionsApi(self.transport)
        self.teams = TeamsApi(self.transport)
        self.service_accounts = ServiceAccountsApi(self.transport)
        self.organizations = OrganizationsApi(self.transport)
        self.users = UsersApi(self.transport)
        self.registrations = RegistrationsApi(self.transport)
        self.invitations = InvitationsApi(self.transport)
        self.clusters = ClustersApi(self.transport)
        self.quotas = QuotasApi(self.transport)
        self.queue = QueueApi(self.transport)
        self.allocations = AllocationsApi(self.transport)
        self.priority_classes = PriorityClassesApi(self.transport)
        self.resources = ResourcesApi(self.transport)
        self.audit = AuditApi(self.transport)
        self.budgets = BudgetsApi(self.transport)
        self.directory = DirectoryApi(self.transport)

    @property
    def url(self) -> str:
        """The platform's address."""
        return self.transport.url

    def login(self, username: str, password: str, *, name: str, expires_in_days: int | None = None) -> Token:
        """Exchange a password for a new personal token called `name`; the secret is in the answer's `token`."""
        body: dict[str, Any] = {"username": username, "password": password, "name": name}
        if expires_in_days is not None:
            body["expires_in_days"] = expires_in_days
        reply = self.transport.request("POST", path("auth", "login"), json_body=body, anonymous=True)
        return Token.from_json(reply.json())

    def elevate(self, password: str, *, reason: str, code: str = "", minutes: int | None = None) -> Token:
        """Exchange your password (and a code of your second factor) for a short-lived token that acts as an admin."""
        body: dict[str, Any] = {"password": password, "reason": reason, "code": code}
        if minutes is not None:
            body["minutes"] = minutes
        return Token.from_json(self.transport.request("POST", path("auth", "elevate"), json_body=body).json())

    def change_password(self, current: str, new: str, *, end_tokens: bool = False) -> None:
        """Set another password; your browser sessions end, and with `end_tokens` every personal token too."""
        body = {"current_password": current, "new_password": new, "end_tokens": end_tokens}
        self.transport.request("POST", path("auth", "password"), json_body=body)

    def me(self) -> Me:
        return Me.from_json(self.transport.request("GET", path("me")).json())

    def usage(self) -> Usage:
        return Usage.from_json(self.transport.request("GET", path("usage")).json())

    def spec_schema(self) -> dict[str, Any]:
        """The JSON Schema of an experiment's spec."""
        schema: dict[str, Any] = self.transport.request("GET", path("spec-schema")).json()
        return schema

    def api_schema(self) -> bytes:
        """The platform's OpenAPI document, as it is served."""
        headers = {"Accept": "application/vnd.oai.openapi"}
        return self.transport.request("GET", path("schema"), headers=headers).data

    def close(self) -> None:
        """Close idle connections."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
