"""The settings of the directories, read when they are needed."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class LdapConfig:
    """How the LDAP server is reached and read."""

    urls: tuple[str, ...]
    starttls: bool
    ca_file: str
    bind_dn: str
    bind_password: str
    user_base: str
    user_filter: str
    user_attribute: str
    id_attribute: str
    attributes: tuple[tuple[str, str], ...]  # field of the account, attribute of the entry
    group_base: str
    group_filter: str
    member_attribute: str
    timeout: int

    @property
    def uses_starttls(self) -> bool:
        return self.starttls and not all(url.startswith("ldaps://") for url in self.urls)


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """How the OpenID provider is reached and read."""

    issuer: str
    client_id: str
    client_secret: str
    name: str
    scopes: str
    username_claim: str
    groups_claim: str
    ca_file: str


_FIELDS = ("email", "first_name", "last_name")


def ldap_config() -> LdapConfig | None:
    """Return the settings, None when there is no LDAP."""
    if not settings.FATHOM_LDAP_URL:
        return None
    pairs = (pair.partition("=") for pair in settings.FATHOM_LDAP_ATTRIBUTES)
    return LdapConfig(
        urls=tuple(settings.FATHOM_LDAP_URL),
        starttls=settings.FATHOM_LDAP_STARTTLS,
        ca_file=settings.FATHOM_LDAP_CA_FILE,
        bind_dn=settings.FATHOM_LDAP_BIND_DN,
        bind_password=settings.FATHOM_LDAP_BIND_PASSWORD,
        user_base=settings.FATHOM_LDAP_USER_BASE,
        user_filter=settings.FATHOM_LDAP_USER_FILTER,
        user_attribute=settings.FATHOM_LDAP_USER_ATTRIBUTE,
        id_attribute=settings.FATHOM_LDAP_ID_ATTRIBUTE,
        attributes=tuple((field, attribute) for field, _, attribute in pairs if field in _FIELDS and attribute),
        group_base=settings.FATHOM_LDAP_GROUP_BASE,
        group_filter=settings.FATHOM_LDAP_GROUP_FILTER,
        member_attribute=settings.FATHOM_LDAP_MEMBER_ATTRIBUTE,
        timeout=settings.FATHOM_LDAP_TIMEOUT_SECONDS,
    )


def oidc_config() -> OidcConfig | None:
    """Return the settings, None when there is no OpenID provider."""
    if not (settings.FATHOM_OIDC_ISSUER and settings.FATHOM_OIDC_CLIENT_ID):
        return None
    return OidcConfig(
        issuer=settings.FATHOM_OIDC_ISSUER,
        client_id=settings.FATHOM_OIDC_CLIENT_ID,
        client_secret=settings.FATHOM_OIDC_CLIENT_SECRET,
        name=settings.FATHOM_OIDC_NAME,
        scopes=" ".join(dict.fromkeys(["openid", *settings.FATHOM_OIDC_SCOPES.split()])),
        username_claim=settings.FATHOM_OIDC_USERNAME_CLAIM,
        groups_claim=settings.FATHOM_OIDC_GROUPS_CLAIM,
        ca_file=settings.FATHOM_OIDC_CA_FILE,
    )
