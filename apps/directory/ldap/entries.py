"""From entries of the LDAP server to people."""

from collections.abc import Iterable, Mapping
from typing import Any

from apps.accounts.choices import IdentitySource
from apps.accounts.providers import canonical
from apps.directory.config import LdapConfig
from apps.directory.person import Person, group_key, mail

_BINARY = {"objectguid"}
_LONGEST = 150  # of a name


def person_of(config: LdapConfig, dn: str, attributes: Mapping[str, Any], groups: Iterable[str]) -> Person | None:
    """Return the person of an entry, None when it has no user name. User names are lower case here."""
    found = {name.lower(): values for name, values in attributes.items() if values}
    names = found.get(config.user_attribute.lower())
    if not names:
        return None
    fields = {field: _text(found.get(attribute.lower()))[:_LONGEST] for field, attribute in config.attributes}
    email = mail(_text(found.get(dict(config.attributes).get("email", "").lower())))
    return Person(
        source=IdentitySource.LDAP,
        external_id=identity(config, dn, found),
        username=canonical(_text(names)),
        groups=frozenset(groups),
        gave_groups=bool(config.group_base),
        **{**fields, "email": email},  # type: ignore[arg-type]  # texts, by the names of the settings
    )


def identity(config: LdapConfig, dn: str, found: Mapping[str, Any]) -> str:
    """Return what names the entry for ever; its DN where the server has nothing better."""
    values = found.get(config.id_attribute.lower())
    if not values:
        return group_key(IdentitySource.LDAP, dn)
    value = values[0]
    if config.id_attribute.lower() in _BINARY:
        return (value if isinstance(value, bytes) else str(value).encode()).hex()
    return _text(values)


def keys_of(dn: str, names: Iterable[str]) -> list[str]:
    """Return under what rules may name a group: its DN, and its name."""
    return [group_key(IdentitySource.LDAP, dn), *(name.strip().lower() for name in names)]


def _text(values: Any) -> str:
    value = values[0] if values else ""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.replace("\x00", "").strip()
