"""A person as a directory tells of him, whatever the directory is."""

from dataclasses import dataclass, field

from apps.accounts.choices import IdentitySource


@dataclass(frozen=True, slots=True)
class Person:
    """`external_id` never changes and is never given anew; `groups` are in the form of `group_key`."""

    source: IdentitySource
    external_id: str
    username: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    groups: frozenset[str] = field(default_factory=frozenset)
    gave_groups: bool = True  # False: the directory said nothing of groups, so nobody loses any


def group_key(source: str, name: str) -> str:
    """Return the form in which groups are compared: LDAP names without regard to case and blanks, others as they are."""
    if source != IdentitySource.LDAP:
        return name.strip()
    return ",".join(_part(part) for part in _split(name)) if "=" in name else name.strip().lower()


def _split(dn: str) -> list[str]:
    """Split at the commas that are not escaped."""
    parts, start, index = [], 0, 0
    while index < len(dn):
        if dn[index] == "\\":
            index += 1
        elif dn[index] == ",":
            parts.append(dn[start:index])
            start = index + 1
        index += 1
    return [*parts, dn[start:]]


def _part(part: str) -> str:
    attribute, _, value = part.partition("=")
    return f"{attribute.strip().lower()}={' '.join(value.split()).lower()}"
