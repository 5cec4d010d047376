"""The filters of project and run lists, shared by page and API: a mapping of strings in, a narrowed queryset out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.db.models import Q

from apps.core.errors import Invalid
from apps.tracking.choices import RunStatus
from apps.tracking.models import Project, Run, Tag
from apps.tracking.querysets import ProjectQuerySet, RunQuerySet

_LONGEST = 250


@dataclass(frozen=True, slots=True)
class ProjectFilter:
    """What a list is narrowed to; everything given must hold."""

    text: str = ""
    team: str = ""

    @classmethod
    def read(cls, query: Any) -> Self:
        """Read a QueryDict. Raises: Invalid for what is no text."""
        words = _words(query, ("q", "team"))
        return cls(text=words["q"], team=words["team"])

    def apply(self, rows: ProjectQuerySet[Project]) -> ProjectQuerySet[Project]:
        exact = {"name__icontains": self.text, "team__slug": self.team}
        return rows.filter(**{name: value for name, value in exact.items() if value})


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What a list is narrowed to; everything given must hold, several statuses mean any of them."""

    project: str = ""
    text: str = ""
    statuses: Sequence[str] = ()
    tags: Sequence[str] = ()

    @classmethod
    def read(cls, query: Any) -> Self:
        """Read a QueryDict. Raises: Invalid for an unknown status, an ill-formed tag or text."""
        words = _words(query, ("project", "q"))
        statuses = [status for status in query.getlist("status") if status]
        if set(statuses) - set(RunStatus.values):
            raise Invalid(errors={"status": [f"One of {', '.join(RunStatus.values)}."]})
        tags = [tag for tag in query.getlist("tag") if tag]
        if any("=" not in tag or "\x00" in tag for tag in tags):
            raise Invalid(errors={"tag": ["Expected key=value."]})
        return cls(words["project"], words["q"], statuses, tags)

    def apply(self, rows: RunQuerySet[Run]) -> RunQuerySet[Run]:
        exact: dict[str, Any] = {"name__icontains": self.text, "status__in": self.statuses}
        rows = rows.filter(**{name: value for name, value in exact.items() if value})
        if self.project:
            rows = rows.filter(_project(self.project))
        for tag in self.tags:
            key, _, value = tag.partition("=")
            rows = rows.filter(pk__in=Tag.objects.saying(key, value).values("run_id"))
        return rows


def _words(query: Any, names: Sequence[str]) -> dict[str, str]:
    words = {name: query.get(name, "").strip() for name in names}
    problems = {
        name: ["Too long, or not text."]
        for name, value in words.items()
        if "\x00" in value or len(value) > _LONGEST or not _is_text(value)
    }
    if problems:
        raise Invalid(errors=problems)
    return words


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _project(reference: str) -> Q:
    try:
        return Q(project_id=UUID(reference))
    except ValueError:
        return Q(project__name=reference)
