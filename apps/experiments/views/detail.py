"""The run page: one header, five tabs."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.access import policy
from apps.access.views import GuardedView
from apps.compute.choices import ACTIVE, TERMINAL, DesiredState, State
from apps.core import blobs
from apps.experiments import logs, snippets
from apps.experiments.models import Experiment

_TAIL_BYTES = 64 << 10
_PREVIEW_BYTES = 64 << 10
_ROWS = 200
_MOST = 2000
_TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Act:
    """One button: allowed, or disabled with the reason."""

    name: str
    label: str
    icon: str
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return not self.reason


def acts_on(experiment: Experiment, user: Any) -> dict[str, Act]:
    """Return the actions with what forbids each: first the state, then the policy."""
    workload = experiment.workload
    state = workload.state
    by_state = {
        "stop": "" if state in ACTIVE else f"It has already {state}.",
        "retry": "" if state in TERMINAL - {State.SUCCEEDED} else f"It is {state}; there is nothing to retry.",
        "clone": "",
        "delete": "" if state in TERMINAL else f"It is {state}. Stop it first.",
    }
    if state in ACTIVE and workload.desired_state == DesiredState.STOP:
        by_state["stop"] = "It was asked to stop already."
    words = {"stop": "Stop", "retry": "Retry", "clone": "Clone", "delete": "Delete"}
    icons = {"delete": "trash"}
    found = {}
    for name, label in words.items():
        decision = policy.decide(user, name, experiment)
        reason = "" if decision.allowed else decision.reason
        found[name] = Act(name, label, icons.get(name, name), reason or by_state[name])
    return found


class RunPage(GuardedView):
    """What the tabs share."""

    policy_action: ClassVar[str] = "view"
    tab: ClassVar[str] = "experiment"
    template: ClassVar[str]

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        experiment: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        context = {
            "experiment": experiment,
            "workload": experiment.workload,
            "run": experiment.run,
            "acts": acts_on(experiment, self.user),
            "is_active": experiment.workload.state in ACTIVE,
            "tab": self.tab,
        }
        return render(request, self.template, context | self.context(experiment))

    def context(self, experiment: Experiment) -> dict[str, Any]:
        raise NotImplementedError


class OverviewView(RunPage):
    template: ClassVar[str] = "experiments/overview.html"

    def context(self, experiment: Experiment) -> dict[str, Any]:
        return {
            "params": experiment.run.params.order_by("key")[:_MOST],
            "series": experiment.run.series.order_by("key")[:_MOST],
            "tags": experiment.run.tags.order_by("key")[:_MOST],
            "yaml": snippets.as_yaml(experiment.spec),
            "cli": snippets.as_cli(experiment.spec),
            "python": snippets.as_python(experiment.spec),
            "command": _command(experiment.spec),
        }


def _command(spec: dict[str, Any]) -> str:
    command = spec.get("command", "")
    return command if isinstance(command, str) else " ".join(command)


class MetricsView(RunPage):
    tab: ClassVar[str] = "experiment-metrics"
    template: ClassVar[str] = "experiments/metrics.html"

    def context(self, experiment: Experiment) -> dict[str, Any]:
        return {"series": list(experiment.run.series.order_by("key")[:_MOST])}


class LogsView(RunPage):
    policy_action: ClassVar[str] = "logs"
    tab: ClassVar[str] = "experiment-logs"
    template: ClassVar[str] = "experiments/logs.html"

    def context(self, experiment: Experiment) -> dict[str, Any]:
        asked = self.request.GET.get("attempt", "")
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 8 else None  # noqa: PLR2004 -- digits
        attempt = logs.attempt_of(experiment, number)
        piece = logs.read_text(attempt, offset=-_TAIL_BYTES, limit=_TAIL_BYTES)
        return {"piece": piece, "attempt": attempt, "attempts": list(experiment.workload.attempts.order_by("no")[:_MOST])}


class EventsView(RunPage):
    tab: ClassVar[str] = "experiment-events"
    template: ClassVar[str] = "experiments/events.html"

    def context(self, experiment: Experiment) -> dict[str, Any]:
        return {"events": experiment.workload.events.order_by("-seq")[:_MOST]}


class StatusView(GuardedView):
    """The part of the header that changes; with it the buttons, when the state is no longer the one shown."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        experiment: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        workload = experiment.workload
        shown = request.GET.get("shown", "")
        context = {"experiment": experiment, "workload": workload, "run": experiment.run, "is_active": workload.state in ACTIVE}
        if shown != f"{workload.state}-{workload.desired_state}":
            context |= {"acts": acts_on(experiment, self.user), "news": True}
        return render(request, "experiments/_partials/status.html", context)


class ArtifactsView(RunPage):
    tab: ClassVar[str] = "experiment-artifacts"
    template: ClassVar[str] = "experiments/artifacts.html"

    def context(self, experiment: Experiment) -> dict[str, Any]:
        folder = self.request.GET.get("path", "").replace("\x00", "").strip("/")
        chosen = self.request.GET.get("file", "").replace("\x00", "")
        prefix = f"{folder}/" if folder else ""
        rows = list(experiment.run.artifacts.filter(path__startswith=prefix).order_by("path")[:_MOST])
        file = next((row for row in rows if row.path == chosen), None)
        return {
            "folder": folder,
            "parent": folder.rpartition("/")[0],
            "entries": _entries(rows, prefix),
            "file": file,
            "preview": preview_of(file) if file else None,
            "link": _link(experiment, file.path) if file else "",
        }


def _link(experiment: Experiment, path: str) -> str:
    """Return the address that leads on to the content origin: nothing a user made is answered from this one."""
    return f"/api/v2/runs/{experiment.pk}/artifacts/{path}"


@dataclass(frozen=True, slots=True)
class FileEntry:
    name: str
    path: str
    is_folder: bool
    size_bytes: int


def _entries(rows: Iterable[Any], prefix: str) -> list[FileEntry]:
    folders: dict[str, int] = {}
    files: list[FileEntry] = []
    for row in rows:
        name, _, rest = row.path.removeprefix(prefix).partition("/")
        if rest:
            folders[name] = folders.get(name, 0) + row.size_bytes
        else:
            files.append(FileEntry(name, row.path, is_folder=False, size_bytes=row.size_bytes))
    above = [FileEntry(name, f"{prefix}{name}", is_folder=True, size_bytes=size) for name, size in folders.items()]
    return [*above, *files]


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a file, as text or as rows; never as markup."""

    kind: str  # "image" | "table" | "text" | "none"
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    cut: bool = False


def preview_of(artifact: Any) -> Preview:
    content_type = artifact.content_type.partition(";")[0].strip().lower()
    if content_type in _IMAGES:
        return Preview("image")
    try:
        with blobs.path_of(artifact.sha256).open("rb") as file:
            data = file.read(_PREVIEW_BYTES + 1)
    except (OSError, ValueError):
        return Preview("none")
    if b"\x00" in data:
        return Preview("none")
    cut = len(data) > _PREVIEW_BYTES
    text = logs.whole_characters(data[:_PREVIEW_BYTES], final=not cut).decode(errors="replace")
    if (separator := _TABLES.get(content_type)) is not None:
        return _table(text, separator, cut=cut)
    return Preview("text", _indented(text) if content_type.endswith("json") and not cut else text, cut=cut)


def _table(text: str, separator: str, *, cut: bool) -> Preview:
    try:
        rows = [tuple(row[:50]) for row in csv.reader(io.StringIO(text), delimiter=separator)]
    except csv.Error:
        return Preview("text", text, cut=cut)
    return Preview("table", rows=tuple(rows[:_ROWS]), cut=cut or len(rows) > _ROWS)


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
