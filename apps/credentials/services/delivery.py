"""Using credentials: judged when work is submitted, judged again and delivered when it starts."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import DomainError, Invalid
from apps.credentials import crypto, variables
from apps.credentials.models import Credential, CredentialUse, SecretValue

_ALIAS = re.compile(r"(?!FATHOM_)[A-Z][A-Z0-9_]{0,63}\Z")


class Refused(Exception):
    """A job may not have, or cannot have, a credential it was promised. The message is a sentence for its owner."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a job is given: files by the names of their variables, plain variables, and a shell line to run first."""

    secrets: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    first: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """The fields of a credential, public and secret."""

    kind: str = ""
    public: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, bytes] = field(default_factory=dict)


def require_usable(
    wanted: Sequence[Mapping[str, Any]], *, by: Any, taken: Collection[str] = ()
) -> list[dict[str, str]]:
    """Find the credentials a specification names and judge that `by` may use them; return what `deliver` needs to know.

    `taken`: variables that the specification sets itself. Raises: Invalid, NotAllowed, InsufficientScope.
    """
    found = []
    for number, entry in enumerate(wanted):
        credential = _find(str(entry["name"]), by=by, place=f"credentials.{number}.name")
        alias = entry.get("as") or default_alias(credential.name)
        if not _ALIAS.match(alias):
            said = "Capital letters, digits and underscores, not beginning with FATHOM_. Give another with `as`."
            raise Invalid(errors={f"credentials.{number}.as": [said]})
        found.append((credential, alias))
    _require_apart(found, taken)
    return [
        {"id": str(credential.pk), "name": str(entry["name"]), "as": alias, "kind": credential.kind}
        for (credential, alias), entry in zip(found, wanted, strict=True)
    ]


def default_alias(name: str) -> str:
    """Return what a credential's variables begin with when the specification does not say."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


@transaction.atomic
def deliver(
    promised: Sequence[Mapping[str, str]], *, user_id: Any, subject: str, attempt: UUID, number: int
) -> Delivery:
    """Judge anew that the submitter may use each credential, decrypt them, and record and audit each use.

    Called by the worker that starts the attempt, and nowhere else. Repeatable. Raises: Refused, KeyUnavailable.
    """
    if not promised:
        return Delivery()
    user = get_user_model().objects.get(pk=user_id)  # anew: what he may was judged long ago
    secrets: dict[str, bytes] = {}
    env: dict[str, str] = {}
    opened = []
    for entry in promised:
        credential, values = _open(entry, _still_usable(entry, user))
        given = variables.of(entry["as"], credential.kind, credential.public, values)
        if secrets.keys() & given.files.keys():
            msg = f"The credential {entry['name']} was replaced meanwhile by one whose files are named like another's."
            raise Refused(msg)
        secrets |= given.files
        env |= given.env
        opened.append((entry["as"], credential))
    for alias, credential in sorted(opened, key=lambda pair: pair[1].pk):  # LOCKING: one order for all jobs
        _record(credential, alias, user, subject=subject, attempt=attempt, number=number)
    helpers = variables.helpers(opened)
    return Delivery(secrets, {**env, **helpers.env}, helpers.first)


@transaction.atomic
def open_one(promised: Mapping[str, str], *, user_id: Any, subject: str, use: UUID, number: int = 0) -> Opened:
    """Open a credential that the platform itself uses for somebody: judged anew, recorded and audited as a job's use is.

    Called by a worker, and nowhere else. Repeatable under the same `use`. Raises: Refused, KeyUnavailable.
    """
    user = get_user_model().objects.get(pk=user_id)
    credential, values = _open(promised, _still_usable(promised, user))
    _record(credential, promised["as"], user, subject=subject, attempt=use, number=number)
    return Opened(credential.kind, credential.public, values)


def shown_variables(credential: Credential) -> list[tuple[str, str]]:
    """Return what a job finds under the default alias, without any value that is secret."""
    return variables.described(default_alias(credential.name), credential)


def used_by(subject: str, *, by: Any) -> list[tuple[CredentialUse, Credential | None]]:
    """List what was delivered to the work of `subject`, which the caller has judged; None for what `by` may not see."""
    uses = list(CredentialUse.objects.filter(subject=subject).order_by("attempt_no", "alias")[:200])
    rows = Credential.objects.visible_to(by, "view").live()
    visible = rows.in_bulk({use.credential_id for use in uses}) if uses else {}
    return [(use, visible.get(use.credential_id)) for use in uses]


def _find(reference: str, *, by: Any, place: str) -> Credential:
    """Return the one that is meant by an id or a name: one's own first, then among all one may use."""
    try:
        rows = list(Credential.objects.visible_to(by, "view").live().filter(pk=UUID(reference)))
    except ValueError:
        named = Credential.objects.live().filter(name=reference)
        rows = list(named.filter(owner_id=by.pk, team=None))
        rows = rows or list(named.visible_to(by, "use")[:2]) or list(named.visible_to(by, "view")[:1])
    if len(rows) != 1:
        said = "Several credentials have this name; use the id." if rows else "There is none that you may see."
        raise Invalid(errors={place: [said]})
    credential: Credential = rows[0]
    policy.require(by, "use", credential)
    if credential.is_expired:
        raise Invalid(errors={place: [f"It expired on {credential.expires_at:%Y-%m-%d %H:%M} UTC."]})
    return credential


def _require_apart(found: Sequence[tuple[Credential, str]], taken: Collection[str]) -> None:
    names = Counter(name for credential, alias in found for name in variables.names_of(alias, credential))
    twice = sorted(name for name, times in names.items() if times > 1 or name in taken)
    if twice:
        raise Invalid(errors={"credentials": [f"The variable {twice[0]} would be set twice; give another `as`."]})
    if sum(credential.kind == "keytab" for credential, _ in found) > 1:
        raise Invalid(errors={"credentials": ["A job can have one keytab: it is one Kerberos principal."]})


def _still_usable(entry: Mapping[str, str], user: Any) -> Credential:
    """Judge anew. What is refused is named as the specification names it: its readers need not know more."""
    name = entry["name"]
    credential: Credential | None = Credential.objects.filter(pk=entry["id"]).select_related("team").first()
    if credential is None or credential.archived_at is not None:
        msg = f"The credential {name} was deleted."
        raise Refused(msg)
    try:
        policy.require(user, "use", credential)
    except DomainError as error:
        msg = f"{user} may no longer use the credential {name}: {error.detail}"
        raise Refused(msg) from error
    if credential.is_expired:
        msg = f"The credential {name} expired on {credential.expires_at:%Y-%m-%d %H:%M} UTC."
        raise Refused(msg)
    return credential


def _open(entry: Mapping[str, str], judged: Credential) -> tuple[Credential, dict[str, bytes]]:
    """Return the credential and its values, both of one moment: a replacement comes before it or after it."""
    present = SecretValue.objects.filter(credential=judged, version=F("credential__version"))
    rows = list(present.select_related("data_key", "credential"))
    if not rows:
        msg = f"The credential {entry['name']} has no value any more."
        raise Refused(msg)
    return rows[0].credential, crypto.open_values(rows)


def _record(credential: Credential, alias: str, user: Any, *, subject: str, attempt: UUID, number: int) -> None:
    facts = {"credential": credential, "version": credential.version, "subject": subject, "attempt_no": number}
    _, is_new = CredentialUse.objects.get_or_create(attempt=attempt, alias=alias, defaults={**facts, "user": user})
    if is_new:
        Credential.objects.filter(pk=credential.pk).update(last_used_at=Now())
        audit.record("use", credential, by=user, version=credential.version, subject=subject, attempt=number)
