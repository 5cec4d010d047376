"""Settings that cannot work are said at start."""

from typing import Any

import pytest

from apps.directory.checks import check_ldap, check_oidc


def ids(settings: Any, **values: Any) -> list[str]:
    for name, value in values.items():
        setattr(settings, f"FATHOM_{name}", value)
    return [message.id for message in (*check_ldap(), *check_oidc())]


GOOD = {"LDAP_URL": ["ldap://ldap.example"], "LDAP_USER_BASE": "dc=example"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"LDAP_USER_BASE": ""}, ["directory.E002"]),
        ({"LDAP_CA_FILE": "/nowhere"}, ["directory.E003"]),
        ({"LDAP_URL": ["http://ldap.example"]}, ["directory.E004"]),
        ({"LDAP_URL": ["ldap://a", "ldaps://b"]}, ["directory.E006"]),
        ({"LDAP_STARTTLS": False}, ["directory.W001"]),
        ({"LDAP_STARTTLS": False, "LDAP_URL": ["ldaps://b"]}, []),
        ({"OIDC_ISSUER": "https://login.example"}, ["directory.E005"]),
        ({"OIDC_ISSUER": "https://login.example", "OIDC_CLIENT_ID": "x"}, []),
    ],
)
def test_settings(changes: dict[str, Any], expected: list[str], settings: Any) -> None:
    pytest.importorskip("django_auth_ldap")
    assert ids(settings, **{**GOOD, **changes}) == expected


def test_nothing_is_asked_where_nothing_is_set(settings: Any) -> None:
    assert ids(settings) == []


def test_a_missing_library(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.directory.checks.find_spec", lambda _name: None)
    assert ids(settings, **GOOD) == ["directory.E001"]
