"""Writes on environments and their versions, and how one is found by what people call it."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from apps.access import policy
from apps.access.choices import Visibility
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, Taken
from apps.core.locks import lock_row
from apps.environments.models import Environment, EnvironmentVersion
from apps.environments.recipes import Contents
from apps.teams.models import Team
from apps.teams.services import require_open

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST_TEXT = 20_000
_MOST_DIGITS = 9


@transaction.atomic
def create_environment(
    name: str,
    contents: Contents,
    *,
    by: Any,
    description: str = "",
    team: Team | None = None,
    visibility: str = "",
) -> Environment:
    """Make an environment with its first version; in a team it is the team's. Audited.

    Raises: NotAllowed, Invalid for a taken or ill-formed name.
    """
    policy.require_active(by, "environment:create")
    require_open(team)
    if team is not None:
        policy.require(by, "submit", team)
    chosen = visibility or (Visibility.TEAM if team else Visibility.PRIVATE)
    environment = Environment(name=name, description=description, owner=by, team=team, visibility=chosen)
    _save(environment)
    audit.record("create", environment, by=by)
    _add_version(environment, contents, by=by)
    environment.refresh_from_db()
    return environment


@transaction.atomic
def create_version(environment: Environment, contents: Contents, *, by: Any) -> EnvironmentVersion:
    """Make the next version; what is there stays as it is. Audited. Raises: NotAllowed, Conflict for a deleted one."""
    policy.require(by, "edit", environment)
    row = lock_row(Environment.objects.filter(pk=environment.pk))
    if row.archived_at is not None:
        msg = "It was deleted."
        raise Conflict(msg)
    return _add_version(row, contents, by=by)


@transaction.atomic
def update_environment(environment: Environment, *, by: Any, **changes: str) -> Environment:
    """Change name, description or visibility; the last needs the right to share. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "edit", environment)
    if "visibility" in changes:
        policy.require(by, "share", environment)
    before = {name: getattr(environment, name) for name in changes}
    for name, value in changes.items():
        setattr(environment, name, value)
    _save(environment)
    Environment.objects.filter(pk=environment.pk).update(updated_at=Now())
    audit.record("update", environment, by=by, before=before, after=changes)
    return environment


@transaction.atomic
def archive_environment(environment: Environment, *, by: Any, reason: str = "") -> None:
    """Take an environment out of sight; work that named a version of it can be run again. Idempotent. Audited.

    Raises: NotAllowed.
    """
    policy.require(by, "delete", environment)
    if Environment.objects.filter(pk=environment.pk, archived_at=None).update(archived_at=Now()):
        audit.record("archive", environment, by=by, reason=reason)


def find_environment(reference: str, *, by: Any, team: Team | None = None) -> Environment:
    """Return the environment that a person means by an id or a name: the team's or his own of that name, else what he sees.

    Raises: Invalid when there is none, or more than one.
    """
    rows: QuerySet[Environment] = Environment.objects.visible_to(by, "view").filter(archived_at=None)
    try:
        found = list(rows.filter(pk=UUID(reference)))
    except ValueError:
        named = rows.filter(name=reference)
        nearest = [named.filter(team=team)] if team is not None else []
        for narrowed in (*nearest, named.filter(owner_id=by.pk, team=None), named):
            if found := list(narrowed[:2]):
                break
    if len(found) != 1:
        said = (
            "There is no such environment, or you may not see it."
            if not found
            else "Several have this name; use the id."
        )
        raise Invalid(errors={"environment": [said]})
    return found[0]


def find_version(reference: str, *, by: Any, team: Team | None = None) -> EnvironmentVersion:
    """Return the version that `name`, `name@3` or `name@latest` means, for who may use it. Raises: Invalid."""
    name, _, number = reference.partition("@")
    environment = find_environment(name, by=by, team=team)
    version = version_numbered(environment, number or "latest")
    if version is None:
        newest = environment.newest
        raise Invalid(
            errors={"environment": [f"{environment.name} has no version {number[:20]}; the newest is {newest}."]}
        )
    return version


def version_numbered(environment: Environment, number: str) -> EnvironmentVersion | None:
    """Return the version of that number, or the newest for "latest"."""
    if number == "latest":
        wanted = environment.newest
    elif number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS:
        wanted = int(number)
    else:
        return None
    found: EnvironmentVersion | None = environment.versions.filter(number=wanted).first()
    if found is not None:
        found.environment = environment
    return found


def make_room_for(rows: QuerySet[Any], heir: Any) -> QuerySet[Any]:
    """Rename personal environments that are about to go to `heir`, where he has one of that name himself; return all."""
    names = Environment.objects.filter(owner=heir, team=None, archived_at=None).values("name")
    for environment in rows.filter(team=None, archived_at=None, name__in=names).select_related("owner"):
        suffix = f".{str(environment.pk)[:8]}"
        Environment.objects.filter(pk=environment.pk).update(name=f"{environment.name[: 100 - len(suffix)]}{suffix}")
    return rows


def _add_version(environment: Environment, contents: Contents, *, by: Any) -> EnvironmentVersion:
    Environment.objects.filter(pk=environment.pk).update(newest=F("newest") + 1, updated_at=Now())
    environment.refresh_from_db(fields=["newest", "updated_at"])
    version = EnvironmentVersion.objects.create(
        environment=environment,
        number=environment.newest,
        image=contents.image,
        python=contents.python,
        packages=list(contents.packages),
        r_packages=list(contents.r_packages),
        variables=dict(contents.variables),
        created_by=by,
    )
    audit.record("create_version", environment, by=by, **_told(version))
    return version


def _told(version: EnvironmentVersion) -> Mapping[str, Any]:
    return {"version": version.number, "python": version.python, "packages": version.packages, "image": version.image}


def _save(environment: Environment) -> None:
    if not _NAME.fullmatch(environment.name):
        raise Invalid(
            errors={"name": ["Letters, digits, dots, - and _, at most 100, beginning with a letter or digit."]}
        )
    if len(environment.description) > _LONGEST_TEXT or "\x00" in environment.description:
        raise Invalid(errors={"description": [f"Text of at most {_LONGEST_TEXT} characters."]})
    try:
        environment.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            environment.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Taken(errors={"name": ["An environment of this name exists."]}) from error
