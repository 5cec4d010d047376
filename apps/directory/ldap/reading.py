"""All people and groups of the LDAP server, page by page, for a sync."""

from collections.abc import Iterator
from typing import Any

import ldap
from ldap.controls import SimplePagedResultsControl

from apps.accounts.choices import IdentitySource
from apps.core.errors import Unready
from apps.directory.config import LdapConfig
from apps.directory.ldap.connection import connect, sentence
from apps.directory.ldap.entries import keys_of, person_of
from apps.directory.ldap.nesting import groups_of_everybody
from apps.directory.person import Person, group_key

_PAGE = 500
Entry = tuple[str, dict[str, list[bytes]]]


def read_people(config: LdapConfig) -> list[Person]:
    """Return everybody whom the filter lets in, with all his groups. Raises: Unready; never a part of the answer."""
    try:
        connection = connect(config)
        try:
            groups = _groups(connection, config)
            wanted = [config.user_attribute, config.id_attribute, *(attribute for _, attribute in config.attributes)]
            found = _search(connection, config.user_base, config.user_filter, wanted)
            people = [
                person_of(config, dn, attributes, groups.get(group_key(IdentitySource.LDAP, dn), ()))
                for dn, attributes in found
            ]
        finally:
            connection.unbind_s()
    except ldap.LDAPError as error:
        msg = f"The LDAP server did not give the list of people: {sentence(error)}."
        raise Unready(msg) from error
    return [person for person in people if person is not None]


def _groups(connection: Any, config: LdapConfig) -> dict[str, set[str]]:
    """Return, for the DN of everybody, the keys of all groups he is in."""
    if not config.group_base:
        return {}
    entries = list(_search(connection, config.group_base, config.group_filter, [config.member_attribute, "cn"]))
    keys = {group_key(IdentitySource.LDAP, dn): keys_of(dn, _texts(found, "cn")) for dn, found in entries}
    members = {
        group_key(IdentitySource.LDAP, dn): [
            group_key(IdentitySource.LDAP, name) for name in _texts(found, config.member_attribute)
        ]
        for dn, found in entries
    }
    return {
        member: {key for group in groups for key in keys[group]}
        for member, groups in groups_of_everybody(members).items()
    }


def _search(connection: Any, base: str, filter_: str, attributes: list[str]) -> Iterator[Entry]:
    control = SimplePagedResultsControl(criticality=False, size=_PAGE, cookie="")
    while True:
        asked = connection.search_ext(base, ldap.SCOPE_SUBTREE, filter_, attributes, serverctrls=[control])
        _, entries, _, answered = connection.result3(asked)
        yield from ((dn, found) for dn, found in entries if dn is not None)
        pages = [one for one in answered if one.controlType == SimplePagedResultsControl.controlType]
        if not pages or not pages[0].cookie:
            return
        control.cookie = pages[0].cookie


def _texts(found: dict[str, list[bytes]], attribute: str) -> list[str]:
    for name, values in found.items():
        if name.lower() == attribute.lower():
            return [value.decode(errors="replace") for value in values]
    return []
