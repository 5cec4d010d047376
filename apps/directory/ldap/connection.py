"""How a connection to the LDAP server is made: encrypted, with a certificate that is checked, and not for long.

Every module of this package needs python-ldap, which has to be built; they are imported only where LDAP is switched on.
"""

from typing import Any

import ldap

from apps.directory.config import LdapConfig

# What says nothing of the person: the server is away, busy, or not to be trusted.
UNREACHABLE: tuple[type[Exception], ...] = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.TIMELIMIT_EXCEEDED,
    ldap.UNAVAILABLE,
    ldap.BUSY,
    ldap.PROTOCOL_ERROR,
    ldap.CONFIDENTIALITY_REQUIRED,
    ldap.OPERATIONS_ERROR,
)


def options(config: LdapConfig) -> dict[int, Any]:
    """Return the options of a connection, in the order in which they are set."""
    chosen: dict[int, Any] = {
        ldap.OPT_PROTOCOL_VERSION: ldap.VERSION3,
        ldap.OPT_REFERRALS: 0,  # SECURITY: a referral would send the password to a server of somebody else's choice
        ldap.OPT_NETWORK_TIMEOUT: float(config.timeout),
        ldap.OPT_TIMEOUT: float(config.timeout),
        ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_DEMAND,
    }
    if config.ca_file:
        chosen[ldap.OPT_X_TLS_CACERTFILE] = config.ca_file
    chosen[ldap.OPT_X_TLS_NEWCTX] = 0  # makes the options above count for this connection; the last of them
    return chosen


def connect(config: LdapConfig) -> Any:
    """Return a connection bound as the account that searches. Raises: ldap.LDAPError."""
    connection = ldap.initialize(" ".join(config.urls), bytes_mode=False)
    for option, value in options(config).items():
        connection.set_option(option, value)
    if config.uses_starttls:
        connection.start_tls_s()
    connection.simple_bind_s(config.bind_dn, config.bind_password)
    return connection


def sentence(error: Exception) -> str:
    """Say in words what the library says in a dictionary."""
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    parts = [str(told.get(key, "")).strip() for key in ("desc", "info")]
    return ": ".join(part for part in parts if part) or type(error).__name__
