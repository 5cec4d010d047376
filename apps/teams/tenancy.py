"""What the audit asks about organizations."""

import re
from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from apps.audit.organizations import Directory
from apps.teams.models import Organization, Team

_KEY = re.compile(r"(org|team):(\d+)(?:/.*)?")  # of a place in the quota tree


def directory() -> Directory:
    return Directory(of_team=_of_team, of_object=_of_object, find=_find, names=_names)


def _of_team(team: int) -> int | None:
    return Team.objects.filter(pk=team).values_list("organization_id", flat=True).first()


def _of_object(obj: Model) -> int | None:
    if isinstance(obj, Organization):
        return int(obj.pk)
    if (organization := getattr(obj, "organization_id", None)) is not None:
        return int(organization)
    key: Any = getattr(obj, "key", None)
    named = _KEY.fullmatch(key) if isinstance(key, str) else None
    if named is None:
        return None
    return int(named[2]) if named[1] == "org" else _of_team(int(named[2]))


def _find(slug: str) -> int | None:
    return Organization.objects.filter(slug=slug).values_list("pk", flat=True).first()


def _names() -> Mapping[int, str]:
    return dict(Organization.objects.values_list("pk", "slug"))
