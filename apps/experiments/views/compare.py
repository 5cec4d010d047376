"""Several experiments side by side: what differs, and their curves over each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.access.views import GuardedView
from apps.experiments.models import Experiment

MOST = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One key with its value in each experiment; an absent value is a dash."""

    key: str
    values: list[Any]

    @property
    def differs(self) -> bool:
        return len({str(value) for value in self.values}) > 1


class CompareView(GuardedView):
    """The chosen experiments are in the URL, so that it can be shared; what the reader may not see is left out."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        chosen = list(dict.fromkeys(found for text in request.GET.getlist("id") if (found := _uuid(text))))
        rows = Experiment.objects.visible_to(self.user, "view").live().with_details().filter(pk__in=chosen[:MOST])
        place = {pk: number for number, pk in enumerate(chosen)}
        experiments = sorted(rows.prefetch_related("run__params", "run__series"), key=lambda row: place[row.pk])
        show_all = request.GET.get("all") == "1"
        sections = [
            ("Setup", _setup(experiments)),
            ("Parameters", _params(experiments)),
            ("Metrics, last value", _metrics(experiments)),
        ]
        context = {
            "experiments": experiments,
            "sections": [(title, [line for line in lines if show_all or line.differs]) for title, lines in sections],
            "keys": sorted({series.key for row in experiments for series in row.run.series.all()}),
            "show_all": show_all,
            "left_out": len(chosen) - len(experiments),
            "most": MOST,
        }
        return render(request, "runs/compare.html", context)


class OldCompareView(GuardedView):
    """Where the page was; addresses of it were shared."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect(f"{reverse('run-compare')}?{request.GET.urlencode()}")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


_SETUP: dict[str, Callable[[Experiment], Any]] = {
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
    "project": lambda row: row.run.project.name,
    "owner": lambda row: row.run.owner.username,
}


def _setup(rows: Sequence[Experiment]) -> list[Line]:
    return [Line(key, [read(row) for row in rows]) for key, read in _SETUP.items()]


def _params(rows: Sequence[Experiment]) -> list[Line]:
    return _table([{param.key: param.value for param in row.run.params.all()} for row in rows])


def _metrics(rows: Sequence[Experiment]) -> list[Line]:
    return _table(
        [{series.key: f"{series.last_value:.6g}" for series in row.run.series.all() if series.count} for row in rows]
    )


def _table(given: Sequence[dict[str, str]]) -> list[Line]:
    keys = sorted({key for values in given for key in values})
    return [Line(key, [values.get(key, "-") for values in given]) for key in keys]
