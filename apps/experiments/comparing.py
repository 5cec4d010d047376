"""Runs side by side: what differs between up to 200 of them, and the values along the axes of a chart.

Which keys differ is asked of the database, so that what is read stays small however much the runs have logged.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.db.models.functions import Left

from apps.experiments import samples
from apps.experiments.models import Experiment
from apps.tracking.models import MetricSeries, Param, Run, Tag

MOST = 200
MOST_CHARTS = 100
MOST_AXES = 12
_MOST_CELLS = 6_000  # of one section
_FEWEST_LINES = 20
_OFFERED = 200
_LONGEST = 250
_SHOWN = 160
_NOTHING = "\N{EN DASH}"
_AXES = ("param", "metric")
_HIDDEN = "mlflow."  # tags in which MLflow's client keeps its own books

Values = Mapping[UUID, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One key with what each run says of it, in the order of the runs; None where it says nothing."""

    kind: str
    key: str
    values: Sequence[Any]

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.key}"

    @property
    def texts(self) -> list[str]:
        """Return what a table shows: thousands of cells are written, so each is made ready here."""
        if self.kind == "metric":
            return [_NOTHING if value is None else f"{value:.5g}" for value in self.values]
        return [_NOTHING if value is None else _cut(str(value)) for value in self.values]

    @property
    def differs(self) -> bool:
        return len({str(value) for value in self.values}) > 1


@dataclass(frozen=True, slots=True)
class Section:
    """`has_more`: there are more lines than can be read; a part of the key narrows them."""

    title: str
    lines: Sequence[Line]
    has_more: bool = False


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class Comparison:
    """Questions about runs, which the caller has judged: a few queries each, however many runs."""

    def __init__(self, runs: Sequence[Run], *, text: str = "", show_all: bool = False) -> None:
        self.runs = runs
        self._ids = [run.pk for run in runs]
        self._text = text
        self._show_all = show_all
        self._most = max(_FEWEST_LINES, _MOST_CELLS // max(1, len(runs)))

    def sections(self) -> list[Section]:
        found = [
            Section("Setup", [line for line in self._setup() if self._show_all or line.differs]),
            self._section("Parameters", "param"),
            self._section("Metrics, last value", "metric"),
            self._section("Tags", "tag"),
        ]
        return [section for section in found if section.lines]

    def axes(self, names: Iterable[str]) -> list[Line]:
        """Return the named params and metrics ("param.lr", "metric.loss") with their values; what is no name is left out."""
        parts = [name.partition(".") for name in dict.fromkeys(names)]
        wanted = [(kind, key) for kind, _, key in parts if kind in _AXES and key][:MOST_AXES]
        found = {kind: self._values(kind, [key for word, key in wanted if word == kind]) for kind in _AXES}
        return [self._line(kind, key, found[kind].get(key, {})) for kind, key in wanted]

    def offered(self) -> list[str]:
        """Return the names of what can be an axis: the params and metrics that differ."""
        return [f"{kind}.{key}" for kind in _AXES for key in self._keys(kind, only_differing=True)[:_OFFERED]]

    def curves(self) -> tuple[list[str], bool]:
        """Return the metrics to be drawn, and whether there are more."""
        rows = MetricSeries.objects.filter(run__in=self._ids, key__icontains=self._text)
        keys = list(rows.order_by("key").values_list("key", flat=True).distinct()[: MOST_CHARTS + 1])
        shown = sorted(keys[:MOST_CHARTS], key=lambda key: key.startswith(samples.PREFIX))
        return shown, len(keys) > MOST_CHARTS

    def _section(self, title: str, kind: str) -> Section:
        keys = self._keys(kind, only_differing=not self._show_all)
        shown = keys[: self._most]
        values = self._values(kind, shown)
        lines = [self._line(kind, key, values.get(key, {})) for key in shown]
        return Section(title, lines, has_more=len(keys) > self._most)

    def _line(self, kind: str, key: str, values: Values) -> Line:
        return Line(kind, key, [values.get(pk) for pk in self._ids])

    def _rows(self, kind: str) -> QuerySet[Any]:
        rows: QuerySet[Any] = _KINDS[kind].rows().filter(run__in=self._ids)
        return rows

    def _keys(self, kind: str, *, only_differing: bool) -> list[str]:
        rows = self._rows(kind)
        if self._text:
            rows = rows.filter(key__icontains=self._text)
        if not self._show_all:
            rows = rows.exclude(key__startswith=_KINDS[kind].aside)
        value = _KINDS[kind].value
        found = rows.values("key").annotate(said=Count("pk"), low=Min(value), high=Max(value)).order_by("key")
        if only_differing:
            found = found.filter(Q(said__lt=len(self._ids)) | ~Q(low=F("high")))
        return list(found.values_list("key", flat=True)[: max(self._most, _OFFERED) + 1])

    def _values(self, kind: str, keys: Sequence[str]) -> dict[str, dict[UUID, Any]]:
        if not keys:
            return {}
        value = _KINDS[kind].value
        column = F(value) if kind == "metric" else Left(value, _LONGEST)
        found: dict[str, dict[UUID, Any]] = {}
        for key, run, said in self._rows(kind).filter(key__in=keys).values_list("key", "run_id", column):
            found.setdefault(key, {})[run] = said
        return found

    def _setup(self) -> list[Line]:
        rows = [(run, getattr(run, "experiment", None)) for run in self.runs]
        ours = [Line("setup", key, [read(run) for run, _ in rows]) for key, read in _RUN.items()]
        if not any(job for _, job in rows):
            return ours
        return [*ours, *(Line("setup", key, [job and read(job) for _, job in rows]) for key, read in _JOB.items())]


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where the values of one kind are; keys that begin with `aside` are shown with everything only."""

    rows: Callable[[], QuerySet[Any]]
    value: str
    aside: str


_KINDS = {
    "param": _Kind(lambda: Param.objects.all(), "value", _HIDDEN),
    "metric": _Kind(lambda: MetricSeries.objects.filter(count__gt=0), "last_value", samples.PREFIX),
    "tag": _Kind(lambda: Tag.objects.all(), "value", _HIDDEN),
}

_RUN: dict[str, Callable[[Run], Any]] = {
    "project": lambda run: run.project.name,
    "owner": lambda run: run.owner.username,
}

_JOB: dict[str, Callable[[Experiment], Any]] = {
    "command": lambda row: (
        row.workload.template["command"][-1] if row.kind == "shell" else " ".join(row.workload.template["command"])
    ),
    "kind": lambda row: row.kind,
    "code": lambda row: row.spec.get("code", {}).get("upload", "-")[:19],
    "cpu": lambda row: row.spec.get("resources", {}).get("cpu", 1),
    "memory": lambda row: row.spec.get("resources", {}).get("memory", "1Gi"),
    "gpu": lambda row: row.spec.get("resources", {}).get("gpu", 0),
    "environment": lambda row: ", ".join(f"{key}={value}" for key, value in row.spec.get("env", {}).items()) or "-",
    "cluster": lambda row: row.workload.cluster.name,
}
