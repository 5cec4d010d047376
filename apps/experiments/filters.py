"""The filters of experiment lists, shared by page and API: a mapping of strings in, a narrowed queryset out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive

from apps.compute.choices import State
from apps.core.errors import Invalid
from apps.experiments.models import Experiment
from apps.tracking.models import Tag

_LONGEST = 250


@dataclass(frozen=True, slots=True)
class ExperimentFilter:
    """What a list is narrowed to; everything given must hold, several states mean any of them."""

    states: Sequence[str] = ()
    kind: str = ""
    project: str = ""
    team: str = ""
    owner: str = ""
    text: str = ""
    tags: Sequence[str] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    problems: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, query: Any) -> Self:
        """Read a QueryDict. Raises: Invalid for an unknown state, an ill-formed time, tag or text."""
        problems: dict[str, list[str]] = {}
        states = [state for state in query.getlist("state") if state]
        if unknown := sorted(set(states) - set(State.values)):
            problems["state"] = [f"Unknown: {', '.join(unknown)[:100]}. One of {', '.join(State.values)}."]
        words = {name: query.get(name, "").strip() for name in ("kind", "project", "team", "owner", "q")}
        tags = [tag for tag in query.getlist("tag") if tag]
        for name, value in [*words.items(), *(("tag", tag) for tag in tags)]:
            if "\x00" in value or len(value) > _LONGEST or (name == "tag" and "=" not in value):
                problems[name] = ["Expected key=value." if name == "tag" else "Too long, or not text."]
        times: Any = {name: _time(query, name, problems) for name in ("created_after", "created_before")}
        if problems:
            raise Invalid(errors=problems)
        text = words.pop("q")
        return cls(states=states, text=text, tags=tags, **words, **times)

    def apply(self, rows: QuerySet[Experiment]) -> QuerySet[Experiment]:
        exact: Mapping[str, Any] = {
            "workload__state__in": self.states,
            "kind": self.kind,
            "run__team__slug": self.team,
            "run__owner__username": self.owner,
            "run__name__icontains": self.text,
            "run__created_at__gt": self.created_after,
            "run__created_at__lt": self.created_before,
        }
        rows = rows.filter(**{name: value for name, value in exact.items() if value})
        if self.project:
            rows = rows.filter(_project(self.project))
        for tag in self.tags:
            key, _, value = tag.partition("=")
            rows = rows.filter(run__in=Tag.objects.saying(key, value).values("run_id"))
        return rows


def _project(reference: str) -> Q:
    try:
        return Q(run__project_id=UUID(reference))
    except ValueError:
        return Q(run__project__name=reference)


def _time(query: Any, name: str, problems: dict[str, list[str]]) -> datetime | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        moment = parse_datetime(text.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or is_naive(moment):
        problems[name] = ["Expected a time with its zone, such as 2026-01-31T12:00:00Z."]
        return None
    return moment
