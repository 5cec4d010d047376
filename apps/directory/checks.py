"""What is wrong with the settings of directories, said at start instead of at the first login."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks

from apps.directory.config import LdapConfig, ldap_config


@checks.register
def check_ldap(app_configs: Any = None, **_kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001 -- Django's signature
    """Say what keeps LDAP from working, or from being safe."""
    config = ldap_config()
    if config is None:
        return []
    found = []
    if find_spec("django_auth_ldap") is None or find_spec("ldap") is None:
        hint = "apt-get install libldap2-dev libsasl2-dev gcc; pip install -r requirements-ldap.txt"
        found.append(
            checks.Error("FATHOM_LDAP_URL is set, but django-auth-ldap is not installed.", hint, id="directory.E001")
        )
    if not config.user_base:
        found.append(checks.Error("FATHOM_LDAP_USER_BASE is missing.", id="directory.E002"))
    if config.ca_file and not Path(config.ca_file).is_file():
        found.append(checks.Error(f"FATHOM_LDAP_CA_FILE cannot be read: {config.ca_file}.", id="directory.E003"))
    if any(not url.startswith(("ldap://", "ldaps://")) for url in config.urls):
        found.append(checks.Error("FATHOM_LDAP_URL must begin with ldap:// or ldaps://.", id="directory.E004"))
    if config.uses_starttls and any(url.startswith("ldaps://") for url in config.urls):
        hint = "FATHOM_LDAP_URL names ldap:// and ldaps:// addresses; StartTLS works with the former only."
        found.append(checks.Error(hint, id="directory.E006"))
    return [*found, *_in_the_clear(config)]


def _in_the_clear(config: LdapConfig) -> list[checks.CheckMessage]:
    is_open = not config.starttls and any(url.startswith("ldap://") for url in config.urls)
    if not is_open:
        return []
    return [checks.Warning("Passwords travel to LDAP in the clear: FATHOM_LDAP_STARTTLS is 0.", id="directory.W001")]


@checks.register
def check_oidc(app_configs: Any = None, **_kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001 -- Django's signature
    """Say what is missing for OpenID Connect."""
    if bool(settings.FATHOM_OIDC_ISSUER) == bool(settings.FATHOM_OIDC_CLIENT_ID):
        return []
    return [checks.Error("FATHOM_OIDC_ISSUER and FATHOM_OIDC_CLIENT_ID belong together.", id="directory.E005")]
