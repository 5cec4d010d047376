"""The columns of the experiment table: which there are, which the URL asks for, what the rows say in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import prefetch_related_objects

from apps.experiments.models import Experiment

COLUMNS = {
    "state": "State",
    "reason": "Reason",
    "project": "Project",
    "owner": "Owner",
    "team": "Team",
    "kind": "Kind",
    "cluster": "Cluster",
    "tags": "Tags",
    "priority": "Priority",
    "attempt": "Attempt",
    "created": "Created",
    "duration": "Duration",
}
STANDARD = ("state", "reason", "project", "owner", "created", "duration")
_MOST = 8


@dataclass(frozen=True, slots=True)
class Columns:
    """Chosen columns in the order of the table, then measured keys."""

    names: Sequence[str]
    metrics: Sequence[str]
    params: Sequence[str]

    @classmethod
    def read(cls, query: Any) -> "Columns":
        wanted = [name for given in query.getlist("cols") for name in given.split(",")]
        names = [name for name in COLUMNS if name in wanted] or list(STANDARD)
        return cls(names, _keys(query.get("metrics", "")), _keys(query.get("params", "")))

    @property
    def chosen(self) -> list[tuple[str, str, bool]]:
        return [(name, label, name in self.names) for name, label in COLUMNS.items()]

    @property
    def headings(self) -> list[tuple[str, str]]:
        return [(name, COLUMNS[name]) for name in self.names]

    @property
    def count(self) -> int:
        return 2 + len(self.names) + len(self.metrics) + len(self.params)

    def lines(self, rows: Sequence[Experiment]) -> list["Line"]:
        """Add what the chosen columns show beyond the rows themselves: one query each, however many rows."""
        runs = [row.run for row in rows]
        wanted = [("tags", "tags" in self.names), ("series", self.metrics), ("params", self.params)]
        if needed := [name for name, is_wanted in wanted if is_wanted]:
            prefetch_related_objects(runs, *needed)
        return [Line(row, self._measured(row), self._given(row)) for row in rows]

    def _measured(self, row: Experiment) -> list[float | None]:
        last = {series.key: series.last_value for series in row.run.series.all()} if self.metrics else {}
        return [last.get(key) for key in self.metrics]

    def _given(self, row: Experiment) -> list[str]:
        given = {param.key: param.value for param in row.run.params.all()} if self.params else {}
        return [given.get(key, "-") for key in self.params]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table, with the values of the measured columns."""

    experiment: Experiment
    measured: list[float | None]
    given: list[str]


def _keys(text: str) -> list[str]:
    keys = [key.strip()[:250] for key in text.replace("\x00", "").split(",")]
    return list(dict.fromkeys(key for key in keys if key))[:_MOST]
