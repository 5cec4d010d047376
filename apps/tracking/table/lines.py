"""The rows of a run table with what its columns show: a constant number of queries, however many rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.tracking.models import MetricSeries, Param, Project, Run, Tag
from apps.tracking.searching import alone, ordered_ids
from apps.tracking.table import keys
from apps.tracking.table.asked import Asked
from apps.tracking.table.columns import STANDARD, Column

_OFFERED = 4  # params, and as many metrics, that a table shows which nobody has arranged
_COUNTED = 1000
_TAGS_SHOWN = 4
_NUMBERS = {"metric": "last_value", "min": "min_value", "max": "max_value"}


@dataclass(frozen=True, slots=True)
class Line:
    """One run; `cells` are its values, column by column."""

    run: Any
    cells: Sequence[tuple[Column, Any]]

    @property
    def job_state(self) -> str | None:
        """The state of the job behind it, None without one."""
        state: str | None = self.run.job_state
        return state


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a table. `total` is the number of runs, None when there are more than are counted."""

    columns: Sequence[Column]
    lines: Sequence[Line]
    page: int
    has_more: bool
    total: int | None
    first: int

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1


def runs_asked(project: Project, asked: Asked, *, by: Any) -> QuerySet[Run]:
    """Return the runs that `by` may see and the filter keeps, without an order."""
    rows: QuerySet[Run] = Run.objects.visible_to(by, "view").filter(
        project=project, archived_at__isnull=not asked.is_deleted
    )
    return rows.filter(asked.condition) if asked.condition else rows


def read_page(project: Project, asked: Asked, *, by: Any, page: int = 1) -> Found:
    """Return one page of a project's table. The caller has judged that the project may be viewed."""
    rows = runs_asked(project, asked, by=by)
    start = (page - 1) * asked.size
    with alone():
        found = ordered_ids(rows, asked.order, [project.pk], start, start + asked.size + 1)
        has_more = len(found) > asked.size
        total = start + len(found) if not has_more and (found or page == 1) else _count(rows)
    shown = found[: asked.size]
    columns = asked.columns if asked.columns is not None else usual_columns(project, by=by)
    return Found(columns, _lines(shown, columns), page, has_more, total, start + 1)


def usual_columns(project: Project, *, by: Any) -> list[Column]:
    """Return the columns of a table that nobody has arranged: attributes, and the first params and metrics by name."""
    columns = [Column("attribute", word) for word in STANDARD]
    for kind in ("param", "metric"):
        columns += [Column(kind, key) for key in keys.keys(kind, project=project.pk, by=by, limit=_OFFERED)]
    return columns


def _count(rows: QuerySet[Run]) -> int | None:
    counted = rows.order_by().values("pk")[: _COUNTED + 1].count()
    return counted if counted <= _COUNTED else None


def _lines(shown: Sequence[UUID], columns: Sequence[Column]) -> list[Line]:
    rows: Any = Run.objects.filter(pk__in=shown)
    runs = {run.pk: run for run in rows.with_details().with_job_state()}
    values = _values(shown, columns)
    return [
        Line(runs[pk], [(column, _cell(runs[pk], column, values)) for column in columns]) for pk in shown if pk in runs
    ]


def _cell(run: Run, column: Column, values: dict[Any, Any]) -> Any:
    return values.get((column.key, run.pk), []) if column == _TAGS else values.get((column, run.pk))


_TAGS = Column("attribute", "tags")


def _values(runs: Sequence[UUID], columns: Sequence[Column]) -> dict[Any, Any]:
    """Return the values of the chosen params, tags and metrics, by column and run: one query per table."""
    found: dict[Any, Any] = {}
    for kind, model in (("param", Param), ("tag", Tag)):
        named = [column.key for column in columns if column.kind == kind]
        if named:
            rows = model._default_manager.filter(run__in=runs, key__in=named).values_list("run_id", "key", "value")  # noqa: SLF001 -- two models, one meaning
            found |= {(Column(kind, key), run): value for run, key, value in rows}
    if measured := [column for column in columns if column.is_measured]:
        series = MetricSeries.objects.filter(run__in=runs, key__in={column.key for column in measured}, count__gt=0)
        for run, key, *numbers in series.values_list("run_id", "key", *_NUMBERS.values()):
            found |= {(Column(kind, key), run): number for kind, number in zip(_NUMBERS, numbers, strict=True)}
    if _TAGS in columns:
        for run, key, value in _first_tags(runs):
            found.setdefault(("tags", run), []).append(f"{key}={value}"[:100])
    return found


def _first_tags(runs: Sequence[UUID]) -> Any:
    """Return a few tags of each run; those of the MLflow client about itself are not among them."""
    rows = Tag.objects.filter(run__in=runs).exclude(key__startswith="mlflow.")
    return rows.first_of_each(_TAGS_SHOWN).values_list("run_id", "key", "value")
