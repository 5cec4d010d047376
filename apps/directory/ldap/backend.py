"""django-auth-ldap with our accounts: the library searches, escapes, binds and follows groups; we say whose account it is.

It is not among AUTHENTICATION_BACKENDS: sessions are loaded by Django's own backend, which keeps disabled people out.
"""

from collections.abc import Callable
from typing import Any

import ldap
from django.dispatch import receiver
from django_auth_ldap.backend import LDAPBackend, ldap_error
from django_auth_ldap.config import LDAPSearch, LDAPSettings, NestedMemberDNGroupType
from typing_extensions import override

from apps.accounts.models import User
from apps.accounts.providers import Refused, canonical
from apps.core.errors import Unready
from apps.directory.config import LdapConfig
from apps.directory.ldap.away import AWAY, Away
from apps.directory.ldap.connection import UNREACHABLE, options, sentence
from apps.directory.ldap.entries import keys_of, person_of
from apps.directory.person import Person


class DirectoryBackend(LDAPBackend):  # type: ignore[misc]  # the library has no types
    """One login. The library never writes a user: `get_or_build_user` returns one that our service has written."""

    def __init__(self, config: LdapConfig, enter: Callable[[Person], User]) -> None:
        super().__init__()
        self._enter = enter
        self.config = config
        self.settings = LDAPSettings("FATHOM_UNUSED_", _library_settings(config))

    @override
    def authenticate_ldap_user(self, ldap_user: Any, password: str) -> Any:
        """Ask the server about the password, if what was typed is the name and not only matches it.

        SECURITY: a server finds ana by an\u00ada or \u00e1na as well, and guesses are counted by what was typed.
        """
        if ldap_user.dn is None:
            return None
        names = ldap_user.attrs.get(self.config.user_attribute) or []
        if ldap_user._username not in {canonical(str(name)) for name in names}:  # noqa: SLF001 -- the library's only copy
            return None
        return super().authenticate_ldap_user(ldap_user, password)

    @override
    def get_or_build_user(self, username: str, ldap_user: Any) -> tuple[User, bool]:
        groups = self._groups(ldap_user)
        person = person_of(self.config, ldap_user.dn, ldap_user.attrs, groups)
        if person is None:
            msg = f"the LDAP entry {ldap_user.dn} has no {self.config.user_attribute}"
            raise Refused(msg)
        return self._enter(person), False

    def _groups(self, ldap_user: Any) -> list[str]:
        if not self.config.group_base:
            return []
        found = ldap_user._get_groups()._get_group_infos()  # noqa: SLF001 -- DN and names together, in one search
        return [key for dn, attributes in found for key in keys_of(dn, attributes.get("cn", []))]


def _library_settings(config: LdapConfig) -> dict[str, Any]:
    # The filter is a format string to the library, which escapes what it puts in.
    by_name = f"(&{config.user_filter.replace('%', '%%')}({config.user_attribute}=%(user)s))"
    attributes = [config.user_attribute, config.id_attribute, *(attribute for _, attribute in config.attributes)]
    wanted = {
        "SERVER_URI": " ".join(config.urls),
        "START_TLS": config.uses_starttls,
        "CONNECTION_OPTIONS": options(config),
        "BIND_DN": config.bind_dn,
        "BIND_PASSWORD": config.bind_password,
        "USER_SEARCH": LDAPSearch(config.user_base, ldap.SCOPE_SUBTREE, by_name, attributes),
        "ALWAYS_UPDATE_USER": False,
        "PERMIT_EMPTY_PASSWORD": False,
    }
    if config.group_base:
        groups = LDAPSearch(config.group_base, ldap.SCOPE_SUBTREE, config.group_filter.replace("%", "%%"), ["cn"])
        wanted |= {"GROUP_SEARCH": groups, "GROUP_TYPE": NestedMemberDNGroupType(config.member_attribute)}
    return wanted


@receiver(ldap_error, sender=DirectoryBackend)
def _tell(*, context: str, exception: Exception, **_more: Any) -> None:
    """Turn an error that the library would swallow into an answer: "no" and "I do not know" are not the same."""
    if isinstance(exception, UNREACHABLE):
        raise Away(AWAY) from exception
    if context == "search_for_user_dn":  # not his fault: the account that searches may not, or the base is wrong
        raise Unready(AWAY) from exception
    msg = f"the LDAP server refused: {sentence(exception)}"
    raise Refused(msg) from exception
