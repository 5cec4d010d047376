"""Credentials: what can be read of them, and what each kind is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self

from fathom.models.fields import as_time, raw_json


@dataclass(frozen=True, slots=True)
class CredentialField:
    name: str
    secret: bool = False
    required: bool = True
    multiline: bool = False
    binary: bool = False


CREDENTIAL_KINDS: Mapping[str, tuple[CredentialField, ...]] = MappingProxyType(
    {
        "git_https": (
            CredentialField("host"),
            CredentialField("username"),
            CredentialField("token", secret=True),
        ),
        "git_ssh": (
            CredentialField("host"),
            CredentialField("known_hosts", multiline=True),
            CredentialField("private_key", secret=True, multiline=True),
        ),
        "registry": (
            CredentialField("server"),
            CredentialField("username"),
            CredentialField("password", secret=True),
        ),
        "s3": (
            CredentialField("access_key_id"),
            CredentialField("secret_access_key", secret=True),
            CredentialField("session_token", secret=True, required=False),
            CredentialField("endpoint_url", required=False),
            CredentialField("region", required=False),
        ),
        "database": (CredentialField("url", secret=True),),
        "keytab": (
            CredentialField("principal"),
            CredentialField("keytab", secret=True, binary=True),
            CredentialField("kdc", required=False),
            CredentialField("krb5_conf", required=False, multiline=True),
        ),
        "generic": (CredentialField("value", secret=True, multiline=True),),
    }
)
"""The fields of each kind. The generic kind takes `files` (names in capitals, and contents) instead of a value."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential without its value, which the platform never shows. `fingerprint` tells one value from another."""

    id: str
    name: str
    kind: str
    description: str
    public: Mapping[str, str]
    version: int
    fingerprint: str
    owner: str
    team: str | None
    visibility: str
    created_by: str | None
    created_at: datetime | None
    replaced_at: datetime | None
    last_used_at: datetime | None
    expires_at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=str(data.get("id") or ""),
            name=str(data.get("name") or ""),
            kind=str(data.get("kind") or ""),
            description=str(data.get("description") or ""),
            public=data.get("public") or {},
            version=int(data.get("version") or 0),
            fingerprint=str(data.get("fingerprint") or ""),
            owner=str(data.get("owner") or ""),
            team=data.get("team"),
            visibility=str(data.get("visibility") or ""),
            created_by=data.get("created_by"),
            created_at=as_time(data.get("created_at")),
            replaced_at=as_time(data.get("replaced_at")),
            last_used_at=as_time(data.get("last_used_at")),
            expires_at=as_time(data.get("expires_at")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """One delivery to a job: to which attempt of which run, which version, for whom."""

    run: str
    attempt_no: int
    alias: str
    version: int
    user: str
    at: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            run=str(data.get("run") or ""),
            attempt_no=int(data.get("attempt_no") or 0),
            alias=str(data.get("alias") or ""),
            version=int(data.get("version") or 0),
            user=str(data.get("user") or ""),
            at=as_time(data.get("at")),
            raw=data,
        )
