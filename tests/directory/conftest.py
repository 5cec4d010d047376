"""A real LDAP server and a real OpenID provider, each started once and put back before each test."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from apps.accounts import providers
from apps.accounts.choices import IdentitySource
from apps.core.middleware import RequestContext, current_request
from apps.directory import services
from apps.directory.ldap.provider import LdapProvider
from tests.directory.slapd import GROUPS, PEOPLE, READER, READER_PASSWORD, SLAPD, Slapd
from tests.factories import cast, committed
from tests.people import Cast

__all__ = ["cast", "committed"]


@pytest.fixture(scope="session")
def running() -> Iterator[Slapd]:
    if SLAPD is None:
        pytest.skip("slapd is not installed: apt-get install slapd")
    if importlib.util.find_spec("django_auth_ldap") is None:
        pytest.skip("django-auth-ldap is not installed: it needs libldap2-dev, libsasl2-dev and gcc")
    server = Slapd()
    server.fill()
    yield server
    server.remove()


@pytest.fixture
def slapd(running: Slapd, settings: Any) -> Iterator[Slapd]:
    """The server as it was filled, and the platform that uses it."""
    use(settings, running)
    yield running
    running.restore()


def use(settings: Any, server: Slapd, **more: Any) -> None:
    """Let the platform log people in by `server`."""
    values = {
        "URL": [server.url],
        "CA_FILE": str(server.ca_file),
        "BIND_DN": READER,
        "BIND_PASSWORD": READER_PASSWORD,
        "USER_BASE": PEOPLE,
        "GROUP_BASE": GROUPS,
        "TIMEOUT_SECONDS": 2,
        **more,
    }
    for name, value in values.items():
        setattr(settings, f"FATHOM_LDAP_{name}", value)


@pytest.fixture(autouse=True)
def _fresh_provider() -> Iterator[None]:
    """No test remembers that the server was down in another; nor from where somebody else came."""
    before = providers._passwords[IdentitySource.LDAP]
    providers.register_passwords(LdapProvider(services.enter))
    token = current_request.set(RequestContext())
    yield
    current_request.reset(token)
    providers.register_passwords(before)


@pytest.fixture
def team(cast: Cast) -> Any:
    return cast.team
