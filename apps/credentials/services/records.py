"""Writes on credentials by people. No value leaves this module but encrypted."""

import re
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import policy
from apps.access.choices import Visibility
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed
from apps.core.locks import lock_row
from apps.credentials import crypto, kinds
from apps.credentials.choices import Kind
from apps.credentials.models import Credential
from apps.teams.models import Team

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}\Z")
_CHANGEABLE = {"name", "description", "visibility", "expires_at"}


@transaction.atomic
def create_credential(
    name: str,
    kind: str,
    fields: Any,
    *,
    by: Any,
    team: Team | None = None,
    owner: Any = None,
    **details: Any,
) -> Credential:
    """Keep a secret; `details` are description, visibility and expires_at.

    In a team it is the team's, and `by` must be at least a member; only admins choose another owner.

    Audited, without values. Raises: NotAllowed, Invalid with a sentence per field, KeyUnavailable.
    """
    policy.require_active(by, "credential:create")
    _require_place(by, team, owner)
    if kind not in Kind.values:
        raise Invalid(errors={"kind": [f"One of {', '.join(Kind.values)}."]})
    values = kinds.read_values(kind, fields)
    credential = Credential(
        name=name,
        kind=kind,
        description=details.get("description", ""),
        owner=owner or by,
        team=team,
        visibility=details.get("visibility") or (Visibility.TEAM if team else Visibility.PRIVATE),
        public=dict(values.public),
        expires_at=_future(details.get("expires_at")),
        created_by_id=by.pk,
    )
    credential.fingerprint = crypto.fingerprint(credential.pk, values.secret)
    _save(credential)
    crypto.store(credential, values.secret)
    audit.record("create", credential, by=by, kind=kind, version=credential.version)
    return credential


@transaction.atomic
def replace_credential(credential: Credential, fields: Any, *, by: Any, reason: str = "") -> Credential:
    """Put a new value in place of the old one, which is destroyed. Public fields that are not given stay.

    Jobs that run keep what they were given. Audited. Raises: NotAllowed, Invalid, Conflict when deleted, KeyUnavailable.
    """
    policy.require(by, "replace", credential)
    row = _locked(credential)
    values = kinds.read_values(row.kind, fields, keep=row.public)
    row.version += 1
    row.public = dict(values.public)
    row.fingerprint = crypto.fingerprint(row.pk, values.secret)
    row.replaced_at = timezone.now()
    row.save(update_fields=["version", "public", "fingerprint", "replaced_at"])
    crypto.store(row, values.secret)
    audit.record("replace", row, by=by, reason=reason, version=row.version)
    return row


@transaction.atomic
def update_credential(credential: Credential, *, by: Any, **changes: Any) -> Credential:
    """Change name, description, visibility or expiry. Audited.

    Raises: NotAllowed, InsufficientScope (another visibility needs the right to share), Invalid, Conflict when deleted.
    """
    policy.require(by, "edit", credential)
    if unknown := sorted(set(changes) - _CHANGEABLE):
        raise Invalid(errors={name: ["It cannot be changed."] for name in unknown})
    row = _locked(credential)
    if changes.get("visibility", row.visibility) != row.visibility:
        policy.require(by, "share", row)
        if row.visibility == Visibility.PRIVATE:
            policy.require_to_give(by, row)
    before = {name: _shown(getattr(row, name)) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    if "expires_at" in changes:
        _future(row.expires_at)
    _save(row)
    audit.record("update", row, by=by, before=before, after={name: _shown(value) for name, value in changes.items()})
    return row


@transaction.atomic
def delete_credential(credential: Credential, *, by: Any, reason: str = "") -> None:
    """Destroy the value at once; the record of its uses stays. Idempotent. Audited. Raises: NotAllowed.

    Jobs that run keep what they were given; what waits for its start will fail and say why.
    """
    policy.require(by, "delete", credential)
    row = lock_row(Credential.objects.filter(pk=credential.pk))
    if row.archived_at is None:
        row.values.all().delete()
        Credential.objects.filter(pk=row.pk).update(archived_at=Now())
        audit.record("delete", row, by=by, reason=reason, version=row.version)


def fit_for_heir(rows: Any, heir: Any) -> Any:
    """Keep those credentials of a leaver that `heir` can be given: whose value he may use already.

    SECURITY: who owns a secret can read it in a job; no admin makes that of anybody's, himself included, by an
    off-boarding. The others stay the leaver's, as does one whose name the heir has given to one of his own.
    """
    names = Credential.objects.live().filter(owner=heir, team=None).values("name")
    return rows.visible_to(heir, "use").exclude(team=None, archived_at=None, name__in=names)


def _require_place(by: Any, team: Team | None, owner: Any) -> None:
    if owner is not None and owner.pk != by.pk and not (by.is_superuser or getattr(by, "is_system", False)):
        msg = "Only an admin stores a credential for somebody else."
        raise NotAllowed(msg)
    if team is not None:
        policy.require(by, "submit", team)


def _locked(credential: Credential) -> Credential:
    row: Credential = lock_row(Credential.objects.filter(pk=credential.pk).select_related("team"))
    if row.archived_at is not None:
        msg = "It was deleted."
        raise Conflict(msg)
    return row


def _future(expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid(errors={"expires_at": ["It must be in the future."]})
    return expires_at


def _shown(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _save(credential: Credential) -> None:
    if not _NAME.match(str(credential.name)):
        said = "A letter, then letters, digits, dots, dashes and underscores; at most 63."
        raise Invalid(errors={"name": [said]})
    try:
        credential.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            credential.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Invalid(errors={"name": ["A credential of this name exists."]}) from error
