"""What the tabs of a run show, whether or not a job stands behind it."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.errors import DomainError, NotFound
from apps.experiments import origin, samples
from apps.lineage import services as lineage
from apps.lineage.choices import Relation
from apps.tracking import services as tracking
from apps.tracking.models import Artifact, LoggedModel, Run

MOST = 2000
_HIDDEN = "mlflow."  # tags in which MLflow's client keeps its own books
_ROWS = 200
_CELLS = 50
_FEW = 100
_DIGITS = 8
_TABLES = 12


def records(run: Run, *, by: Any) -> dict[str, Any]:
    """Return what was logged of a run, in words and numbers, and what it came from and became."""
    return {
        "params": run.params.order_by("key")[:MOST],
        "series": run.series.exclude(key__startswith=samples.PREFIX).order_by("key")[:MOST],
        "tags": run.tags.exclude(key__startswith=_HIDDEN).order_by("key")[:MOST],
        "datasets": run.datasets.order_by("name", "digest")[:_FEW],
        "models": LoggedModel.objects.visible_to(by, "view").live().filter(run=run).order_by("-created_at")[:_FEW],
        "relatives": relatives(run, by=by),
        "family": origin.family_of(run, by=by),
        "source": origin.source_of(run),
    }


def relatives(run: Run, *, by: Any) -> list[tuple[lineage.ShownNode | None, str, lineage.ShownNode | None]]:
    """Return the edges of the lineage at a run: source, relation, result; None stands for the run itself."""
    try:
        start = lineage.find("run", run.pk, by=by)
    except NotFound:  # deleted, or a race: the page goes without
        return []
    graph = lineage.walk(start, by=by, depth=1)
    nodes = {**graph.nodes, start.key: None}
    return [(nodes[edge.source], Relation(edge.relation).label, nodes[edge.target]) for edge in graph.edges][:_FEW]


def metrics(run: Run, amounts: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return the charts of a run; `amounts` is what its job asked for."""
    series = list(run.series.order_by("key")[:MOST])
    series.sort(key=lambda row: row.key.startswith(samples.PREFIX))  # what was logged itself comes first
    charts = [(row, samples.title_of(row.key, amounts or {})) for row in series]
    return {"series": series, "charts": charts, "has_events": tracking.has_events(run)}


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture or table as it was at a step; `link` and `small`, and those of the cells, go to the content origin."""

    media: tracking.Media
    step: int
    link: str
    small: str
    table: tracking.Table | None
    rows: Sequence[Sequence[tuple[str, str]]] = ()


def media(run: Run, query: Any, *, by: Any) -> dict[str, Any]:
    """Return the pictures and tables of a run as they were at the step that is asked for; without one, as they became."""
    found = tracking.list_media(run)
    steps = sorted({frame.step for one in found if one.has_steps for frame in one.frames})
    at = _position(query.get("at", ""), len(steps))
    step = steps[at] if steps else None
    tables = [one for one in found if one.kind == "table"][_TABLES:]  # so many are read; the others are linked
    panels = [_panel(run, one, step, by, is_read=one not in tables) for one in found]
    return {"panels": panels, "steps": steps, "at": at, "step": step}


def _position(text: str, count: int) -> int:
    last = max(0, count - 1)
    return min(int(text), last) if text.isascii() and text.isdigit() and len(text) < _DIGITS else last


def _panel(run: Run, one: tracking.Media, step: int | None, by: Any, *, is_read: bool) -> Panel:
    frame = one.at(step)

    # SECURITY: as with any other file, what a user made comes from the content origin.
    def link(path: str) -> str:
        return tracking.artifact_link(run, path, by=by) if path else ""

    if one.kind != "table":
        return Panel(one, frame.step, link(frame.path), link(frame.small), None)
    table = tracking.read_table(run, frame.path) if is_read else tracking.Table(problem="Open it to see it.")
    rows = [[(cell.text, link(cell.picture)) for cell in row] for row in table.rows]
    return Panel(one, frame.step, link(frame.path), "", table, rows)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the preview shows; `kind` is image, csv, json, text or other."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    is_cut: bool = False


def artifacts(run: Run, query: Any, *, by: Any) -> dict[str, Any]:
    """Return a folder of a run's files, and the file in it that is asked for: as text or rows, never as markup."""
    path = query.get("path", "").replace("\x00", "").strip("/")
    folder = tracking.list_folder(run, path, after=query.get("after", "").replace("\x00", ""))
    return {"folder": folder, "parent": path.rpartition("/")[0], **_file(run, query.get("file", ""), by)}


def _file(run: Run, name: str, by: Any) -> dict[str, Any]:
    if not name:
        return {}
    file = tracking.find_artifact(run, name)
    # SECURITY: what a user made is only linked, on the content origin; here its text is escaped like any other.
    link = tracking.artifact_link(run, file.path, by=by)
    return {"file": file, "link": link, "preview": shown(file)}


def shown(file: Artifact) -> Shown:
    try:
        preview = tracking.read_preview(file)
    except DomainError:
        return Shown("lost")
    if preview.kind == "csv":
        return _table(preview.text, is_cut=preview.truncated)
    text = _indented(preview.text) if preview.kind == "json" else preview.text
    return Shown(preview.kind, text, is_cut=preview.truncated)


def _table(text: str, *, is_cut: bool) -> Shown:
    dialect = csv.excel_tab if "\t" in text.partition("\n")[0] else csv.excel
    try:
        rows = tuple(tuple(row[:_CELLS]) for row in csv.reader(io.StringIO(text), dialect))
    except csv.Error:
        return Shown("text", text, is_cut=is_cut)
    return Shown("csv", rows=rows[:_ROWS], is_cut=is_cut or len(rows) > _ROWS)


def _indented(text: str) -> str:
    try:
        indented = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        return indented.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
    except (ValueError, RecursionError):
        return text
