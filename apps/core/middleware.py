"""Request id: taken from the caller if it is well-formed, else made here; on every log line, error and audit row."""

import ipaddress
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from apps.core.ids import new_id

_LONGEST_AGENT = 200
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Where the present work comes from: what audit rows and log lines say."""

    request_id: str = ""
    ip: str | None = None
    origin: str = "system"  # one of apps.audit.choices.DOORS
    on_behalf_of: str = ""  # who is behind a command: the user of the operating system
    user_agent: str = ""


current_request: ContextVar[RequestContext] = ContextVar("current_request", default=RequestContext())  # noqa: B039 -- frozen


def request_id_of(given: str) -> str:
    """Return the caller's id if it is well-formed, else a new one."""
    return given if _WELL_FORMED.fullmatch(given) else str(new_id())


def address_of(text: Any) -> str | None:
    """Return an IP address in its one spelling; None for what is none, which no column would take."""
    try:
        return str(ipaddress.ip_address(str(text or "").partition("%")[0]))
    except ValueError:
        return None


def agent_of(text: str) -> str:
    """Return what a browser says of itself, short and printable."""
    return "".join(filter(str.isprintable, text))[:_LONGEST_AGENT]


def _origin(path: str) -> str:
    if path.startswith(("/api/", "/ajax-api/")):
        return "api"
    return "admin" if path.startswith("/admin/") else "portal"


class RequestContextMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = request_id_of(request.headers.get("X-Request-ID", ""))
        ip, agent = address_of(request.META.get("REMOTE_ADDR")), agent_of(request.headers.get("User-Agent", ""))
        context = RequestContext(request_id, ip, _origin(request.path), user_agent=agent)
        token = current_request.set(context)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            current_request.reset(token)
        response["X-Request-ID"] = request_id
        return response
