"""The operator, the others, and a browser for each of them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.compute.backends.base import SettingField
from apps.compute.backends.fake.backend import FakeBackend
from apps.compute.backends.fake.settings import FakeSettings
from tests import people

PASSWORD = "correct horse battery"


@pytest.fixture
def sre(db: None) -> User:
    return people.as_admin(accounts.create_user("sre", by=SYSTEM, password=PASSWORD, is_admin=True))


@pytest.fixture
def alice(db: None) -> User:
    return accounts.create_user("alice", by=SYSTEM, password=PASSWORD)


@pytest.fixture
def halfway(db: None) -> User:
    """An admin who does not act as one."""
    return accounts.create_user("halfway", by=SYSTEM, password=PASSWORD, is_admin=True)


@pytest.fixture
def reading(db: None) -> Client:
    """The browser of an auditor."""
    user = accounts.create_user("aud", by=SYSTEM)
    accounts.set_platform_role(user, "auditor", by=SYSTEM)
    return people.browser_of(user)


@pytest.fixture
def browser_of() -> Callable[[User | None], Client]:
    def make(user: User | None) -> Client:
        if user is not None and user.username == "halfway":
            client = Client(REMOTE_ADDR="192.0.2.9")
            client.force_login(user)
            return client
        return people.browser_of(user, REMOTE_ADDR="192.0.2.9")

    return make


@pytest.fixture
def browser(sre: User, browser_of: Callable[[User | None], Client]) -> Client:
    """The operator's browser."""
    return browser_of(sre)


class SecretiveSettings(FakeSettings):
    """A cluster that needs a password."""

    __slots__ = ()

    @classmethod
    def fields(cls) -> tuple[SettingField, ...]:
        return (
            SettingField("address", str, "", "Where it is."),
            SettingField("password", str, "", "Its key.", secret=True),
        )

    @classmethod
    def parse(cls, raw: Any) -> Any:
        if raw.get("address", "x") == "nowhere":
            msg = "address: there is no such place"
            raise ValueError(msg)
        return FakeSettings.parse({})


class SecretiveBackend(FakeBackend):
    settings_schema = SecretiveSettings


@pytest.fixture
def secretive(settings: Any) -> str:
    """The name of a kind of cluster that has a secret setting."""
    settings.COMPUTE_BACKENDS = {
        **settings.COMPUTE_BACKENDS,
        "secretive": f"{SecretiveBackend.__module__}.SecretiveBackend",
    }
    return "secretive"
