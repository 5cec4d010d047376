"""The files of a run: folders, and the beginning of one file as text or rows, never as markup."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from apps.core.errors import DomainError
from apps.experiments.models import Experiment
from apps.experiments.views.detail import RunPage
from apps.tracking import services as tracking
from apps.tracking.models import Artifact

_ROWS = 200
_CELLS = 50


@dataclass(frozen=True, slots=True)
class Shown:
    """What the preview shows; `kind` is image, csv, json, text or other."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    is_cut: bool = False


class ArtifactsView(RunPage):
    tab: ClassVar[str] = "experiment-artifacts"
    template: ClassVar[str] = "experiments/artifacts.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        query = self.request.GET
        path = query.get("path", "").replace("\x00", "").strip("/")
        folder = tracking.list_folder(experiment.run, path, after=query.get("after", "").replace("\x00", ""))
        return {"folder": folder, "parent": path.rpartition("/")[0], **self._file(experiment)}

    def _file(self, experiment: Experiment) -> dict[str, Any]:
        if not (name := self.request.GET.get("file", "")):
            return {}
        file = tracking.find_artifact(experiment.run, name)
        # SECURITY: what a user made is only linked, on the content origin; here its text is escaped like any other.
        link = tracking.artifact_link(experiment.run, file.path, by=self.user)
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
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
