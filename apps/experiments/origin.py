"""Where a run came from, as the tags of trackers tell it: the run it is nested in, the program, the commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.ids import id_in
from apps.tracking.models import Run, Tag

_PARENT = "mlflow.parentRunId"
_SOURCE = {
    "mlflow.source.name": "Program",
    "mlflow.source.git.commit": "Commit",
    "mlflow.source.git.branch": "Branch",
    "mlflow.source.git.repoURL": "Repository",
    "mlflow.project.entryPoint": "Entry point",
    "mlflow.user": "Started by",
}
_NOTE = "mlflow.note.content"
_MOST_CHILDREN = 100


@dataclass(frozen=True, slots=True)
class Family:
    """`parent` is None where there is none, or none that may be seen. `has_more`: not all children are told."""

    parent: Run | None
    children: Sequence[Run]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Source:
    """`facts` are pairs of a word and what was said; `note` is the description that was given."""

    facts: Sequence[tuple[str, str]]
    note: str


def family_of(run: Run, *, by: Any) -> Family:
    """Return the runs that this one is nested in and that are nested in it. Three queries."""
    visible = Run.objects.visible_to(by, "view").live()
    # An id is written without dashes by MLflow; who sets the tag himself may write it either way.
    named = Tag.objects.filter(key=_PARENT, value__in=[run.pk.hex, str(run.pk)]).values("run_id")
    children = list(visible.filter(pk__in=named).exclude(pk=run.pk).order_by("pk")[: _MOST_CHILDREN + 1])
    above = id_in(Tag.objects.filter(run=run, key=_PARENT).values_list("value", flat=True).first())
    parent = visible.filter(pk=above).first() if above and above != run.pk else None
    return Family(parent, children[:_MOST_CHILDREN], len(children) > _MOST_CHILDREN)


def source_of(run: Run) -> Source:
    """Return what the tracker said about the program. One query."""
    said = dict(Tag.objects.filter(run=run, key__in=[*_SOURCE, _NOTE]).values_list("key", "value"))
    facts = [(word, said[key]) for key, word in _SOURCE.items() if said.get(key)]
    return Source(facts, said.get(_NOTE, ""))
