"""A person as a directory tells of him, whatever the directory is."""

from dataclasses import dataclass, field

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from apps.accounts.choices import IdentitySource
from apps.accounts.services import refused_name

_LONGEST_NAME, _LONGEST_ID, _LONGEST_MAIL = 150, 500, 254


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
    logged_in_at: float | None = None  # when the password was last typed there, in epoch seconds, if it is known
    gave_groups: bool = True  # False: the directory said nothing of groups, so nobody loses any

    @property
    def problem(self) -> str:
        """Why nobody can get an account from this, or ""."""
        if not self.external_id or len(self.external_id) > _LONGEST_ID:
            return "the directory gave no usable identity"
        try:
            UnicodeUsernameValidator()(self.username)
        except ValidationError:
            return f"{self.username!r} cannot be a user name here"
        if reserved := refused_name(self.username):
            return f"{self.username!r} cannot be a user name here: {reserved}"
        return "the user name is too long" if len(self.username) > _LONGEST_NAME else ""


def mail(value: str) -> str:
    """Return the address, or nothing for what is none: a wrong one in the directory keeps nobody out."""
    try:
        validate_email(value)
    except ValidationError:
        return ""
    return value if len(value) <= _LONGEST_MAIL else ""


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
