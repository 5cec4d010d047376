"""The project that a charge was for."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from apps.tracking.models import Run

_AT_ONCE = 2000


def projects_of(by: Any, subjects: Collection[str]) -> Mapping[str, tuple[str, str]]:
    """Return the id and name of the project of each run among `subjects` ("run:<id>") that `by` may see."""
    runs = {key: subject for subject in subjects if (key := _run(subject)) is not None}
    found = {}
    keys = list(runs)
    for start in range(0, len(keys), _AT_ONCE):
        rows = Run.objects.visible_to(by, "view").filter(pk__in=keys[start : start + _AT_ONCE])
        for pk, project, name in rows.values_list("pk", "project_id", "project__name"):
            found[runs[pk]] = (str(project), name)
    return found


def _run(subject: str) -> UUID | None:
    kind, _, key = subject.partition(":")
    try:
        return UUID(key) if kind == "run" else None
    except ValueError:
        return None
