"""The kinds of credentials: which fields each has, which of them are secret, and what a valid value looks like.

No sentence that leaves this module repeats a value.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from apps.core.errors import Invalid
from apps.credentials.choices import Kind

MOST_BYTES = 64 << 10
MOST_FILES = 20
SHORTEST_SECRET = 6
"""Shorter ones cannot be masked in a log: they turn up by chance."""

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
_PRINCIPAL = r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}@[A-Za-z0-9][A-Za-z0-9.-]{0,200}"
_FILE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
# SECURITY: a profile may name plug-ins, which are code that would run in the job of whoever uses the credential.
_DANGEROUS_PROFILE = re.compile(
    r"^\s*(include|includedir|module)\b|^\s*\[\s*plugins\s*\]|\bmodule\s*=|plugin_base_dir",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind. `shape` is what the whole value matches; a `file` is delivered as one though it is public."""

    name: str
    label: str
    secret: bool = False
    required: bool = True
    multiline: bool = False
    binary: bool = False
    file: bool = False
    shape: str = ""
    help: str = ""


KINDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        Kind.GIT_HTTPS: (
            Field("host", "Host", shape=_HOST, help="github.com"),
            Field("username", "User name"),
            Field("token", "Token", secret=True),
        ),
        Kind.GIT_SSH: (
            Field("host", "Host", shape=_HOST, help="github.com"),
            Field("known_hosts", "Known hosts", multiline=True, file=True, help="What `ssh-keyscan` says of the host."),
            Field("private_key", "Private key", secret=True, multiline=True, help="Without a passphrase."),
        ),
        Kind.REGISTRY: (
            Field("server", "Server", shape=_HOST, help="registry.example.org"),
            Field("username", "User name"),
            Field("password", "Password", secret=True),
        ),
        Kind.S3: (
            Field("access_key_id", "Access key id"),
            Field("secret_access_key", "Secret access key", secret=True),
            Field("session_token", "Session token", secret=True, required=False),
            Field("endpoint_url", "Endpoint", required=False, shape=r"https?://[^\s@]{1,300}"),
            Field("region", "Region", required=False, shape=r"[A-Za-z0-9-]{1,60}"),
        ),
        Kind.DATABASE: (
            Field(
                "url",
                "URL",
                secret=True,
                shape=r"[a-z][a-z0-9+.-]{1,30}://\S+",
                help="postgresql://user:password@host/name",
            ),
        ),
        Kind.KEYTAB: (
            Field("principal", "Principal", shape=_PRINCIPAL, help="service/host@EXAMPLE.ORG"),
            Field("keytab", "Keytab", secret=True, binary=True),
            Field("kdc", "KDC", required=False, shape=_HOST, help="Where the cluster does not know the realm."),
            Field("krb5_conf", "krb5.conf", required=False, multiline=True, file=True, help="Instead of KDC."),
        ),
        Kind.GENERIC: (Field("value", "Value", secret=True, multiline=True),),
    }
)


@dataclass(frozen=True, slots=True)
class Values:
    """What was given, checked: the public fields as text, the secret ones as bytes."""

    public: Mapping[str, str]
    secret: Mapping[str, bytes]


def field_of(kind: str, name: str) -> Field:
    """Return a field by its name; the named files of the generic kind are fields too."""
    known = next((field for field in KINDS[kind] if field.name == name), None)
    return known or Field(name, name, secret=True, multiline=True)


def read_values(kind: str, given: Any, *, keep: Mapping[str, str] | None = None) -> Values:
    """Check the fields of a credential; binary ones arrive in base64. `keep`: public fields that hold where none is given.

    Raises: Invalid, with sentences that name fields and never repeat a value.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise Invalid(errors={"values": ["A JSON object of field names and values."]})
    if kind == Kind.GENERIC and "files" in given:
        return _named_files(given)
    fields = KINDS[kind]
    if set(given) - {field.name for field in fields}:
        known = ", ".join(field.name for field in fields)
        raise Invalid(errors={"values": [f"Unknown field. This kind has: {known}."]})
    problems: dict[str, list[str]] = {}
    found: dict[str, bytes] = {}
    for field in fields:
        try:
            if (value := _given(field, given, keep or {})) is not None:
                found[field.name] = value
        except ValueError as error:
            problems[f"values.{field.name}"] = [str(error)]
    if problems:
        raise Invalid(errors=problems)
    secret = {field.name for field in fields if field.secret}
    return Values(
        {name: value.decode() for name, value in found.items() if name not in secret},
        {name: value for name, value in found.items() if name in secret},
    )


def _given(field: Field, given: Mapping[str, Any], keep: Mapping[str, str]) -> bytes | None:
    """Return the value of one field, None where an optional one is left out. Raises: ValueError with a sentence."""
    value = given.get(field.name)
    if value in (None, "") and not field.secret:
        value = keep.get(field.name)
    if value in (None, ""):
        if field.required:
            msg = "Required."
            raise ValueError(msg)
        return None
    return _secret(field, value) if field.secret else _text(field, value).encode()


def _named_files(given: Mapping[str, Any]) -> Values:
    files = given["files"]
    if set(given) != {"files"} or not isinstance(files, Mapping) or not 0 < len(files) <= MOST_FILES:
        raise Invalid(errors={"values": [f"Either a value, or files: one to {MOST_FILES} names with contents."]})
    if not all(isinstance(name, str) and _FILE_NAME.match(name) for name in files):
        raise Invalid(errors={"values.files": ["Names are capital letters, digits and underscores, as CA_BUNDLE."]})
    secret = {}
    for name, value in files.items():
        try:
            secret[name] = _secret(Field(name, name, secret=True, multiline=True), value)
        except ValueError as error:
            raise Invalid(errors={f"values.files.{name}": [str(error)]}) from None
    return Values({}, secret)


def _secret(field: Field, value: Any) -> bytes:
    data = _binary(value) if field.binary else _text(field, value).encode()
    if len(data) < SHORTEST_SECRET:
        msg = f"At least {SHORTEST_SECRET} characters: a shorter secret cannot be masked in logs."
        raise ValueError(msg)
    return data


def _binary(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > MOST_BYTES * 4 // 3 + 4:
        msg = f"The file in base64, of at most {MOST_BYTES} bytes."
        raise ValueError(msg)
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        msg = "Not valid base64."
        raise ValueError(msg) from None


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        msg = "A text."
        raise ValueError(msg)  # noqa: TRY004 -- sorted with the other sentences
    text: str = value.replace("\r\n", "\n")
    text = text.strip("\n") + "\n" if field.multiline and "\n" in text else text.strip()
    shown = text.replace("\n", "").replace("\t", "") if field.multiline else text
    if not text.strip() or any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in shown):
        msg = "Not empty, and without control characters" + ("." if field.multiline else ", on one line.")
        raise ValueError(msg)
    if len(text.encode()) > MOST_BYTES:
        msg = f"At most {MOST_BYTES} bytes."
        raise ValueError(msg)
    _check_form(field, text)
    return text


def _check_form(field: Field, value: str) -> None:
    if field.shape and not re.fullmatch(field.shape, value):
        msg = "Not of the expected form" + (f", as in {field.help}." if field.help else ".")
        raise ValueError(msg)
    if field.name == "private_key" and "PRIVATE KEY-----" not in value:
        msg = "Not a private key in PEM or OpenSSH form."
        raise ValueError(msg)
    if field.name == "krb5_conf" and _DANGEROUS_PROFILE.search(value):
        msg = "Includes, plug-ins and modules are not accepted."
        raise ValueError(msg)
    if field.name == "url":
        _check_url(value)


def _check_url(value: str) -> None:
    try:
        urlsplit(value).port  # noqa: B018 -- raises for a port that is none
    except ValueError:
        msg = "The address cannot be read."
        raise ValueError(msg) from None
