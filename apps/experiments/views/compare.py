"""Runs side by side: what differs, their curves over each other, scatter and parallel coordinates."""

import json
from collections.abc import Sequence
from math import isnan
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.access.views import GuardedView
from apps.core.ids import id_in
from apps.experiments.comparing import MOST, MOST_AXES, Comparison, Line
from apps.tracking import services as tracking
from apps.tracking.models import Run

VIEWS = {"": "Differences and curves", "scatter": "Scatter", "parallel": "Parallel coordinates"}
_READABLE_COLUMNS = 8  # more runs are rows
_LONGEST = 300
_PARAMS, _METRICS = 4, 2  # along so many axes parallel coordinates begin


class CompareView(GuardedView):
    """Everything that is chosen is in the URL, so that it can be shared; what the reader may not see is left out."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        query = request.GET
        chosen = list(dict.fromkeys(found for text in _words(query, "id") if (found := id_in(text))))
        runs = _sorted(self._runs(chosen[:MOST]), _text(query, "sort"))
        comparison = Comparison(runs, text=_text(query, "q"), show_all=query.get("all") == "1")
        view = query.get("view", "") if query.get("view") in VIEWS else ""
        context = {
            "runs": runs,
            "ids": ",".join(run.pk.hex for run in runs),
            "named": _named(runs),
            "show_all": query.get("all") == "1",
            "view": view,
            "views": VIEWS.items(),
            "text": _text(query, "q"),
            "sort": _text(query, "sort"),
            "left_out": len(chosen) - len(runs),
            "most": MOST,
        }
        if len(runs) > 1:
            context |= _VIEWS[view](comparison, query)
        return render(request, "runs/compare.html", context)

    def _runs(self, chosen: Sequence[UUID]) -> list[Run]:
        visible: Any = Run.objects.visible_to(self.user, "view").live().with_details()
        rows = visible.select_related("experiment__workload__cluster").filter(pk__in=chosen)
        place = {pk: number for number, pk in enumerate(chosen)}
        return sorted(rows, key=lambda run: place[run.pk])


def _sorted(runs: list[Run], by: str) -> list[Run]:
    """Put runs in the order of a param or metric, of "-…" the other way round; those without it come last."""
    found = Comparison(runs).axes([by.removeprefix("-")]) if by else []
    if not found:
        return runs
    axis = found[0]
    numbers = [_number(value) for value in axis.values]
    is_numeric = all(
        number is not None for number, value in zip(numbers, axis.values, strict=True) if value is not None
    )
    values: Sequence[Any] = numbers if is_numeric else axis.values
    known = [(value, place) for place, value in enumerate(values) if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=by.startswith("-"))
    unknown = [place for place, value in enumerate(values) if value is None]
    return [runs[place] for place in [*(place for _, place in known), *unknown]]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if isnan(number) else number


def _differences(comparison: Comparison, query: QueryDict) -> dict[str, Any]:
    runs = comparison.runs
    asked = query.get("layout", "")
    layout = asked if asked in {"rows", "columns"} else "rows" if len(runs) > _READABLE_COLUMNS else "columns"
    sections = comparison.sections()
    keys, has_more = comparison.curves()
    lines = [line for section in sections for line in section.lines]
    return {
        "layout": layout,
        "sections": sections,
        "lines": lines,
        "by_run": _rows(runs, lines) if layout == "rows" else (),
        "keys": keys,
        "has_more_keys": has_more,
    }


def _scatter(comparison: Comparison, query: QueryDict) -> dict[str, Any]:
    offered = comparison.offered()
    chosen = [_text(query, name) or default for name, default in zip("xy", _two(offered), strict=True)]
    return _points(comparison, chosen, offered) | dict(zip(("x", "y"), chosen, strict=True))


def _parallel(comparison: Comparison, query: QueryDict) -> dict[str, Any]:
    offered = comparison.offered()
    chosen = [text[:_LONGEST] for text in query.getlist("axes") if text and "\x00" not in text][:MOST_AXES]
    return _points(comparison, chosen or _some(offered), offered)


_VIEWS = {"": _differences, "scatter": _scatter, "parallel": _parallel}


def _points(comparison: Comparison, chosen: Sequence[str], offered: Sequence[str]) -> dict[str, Any]:
    """Return the values along the chosen axes, as the table beside the chart and as what the script draws."""
    axes = comparison.axes(chosen)
    names = [axis.name for axis in axes]
    return {
        "axes": axes,
        "by_run": _rows(comparison.runs, axes),
        "data": json.dumps([_drawn(axis) for axis in axes]),
        "offered": [(name, name in names) for name in dict.fromkeys([*offered, *names])],
        "most_axes": MOST_AXES,
    }


def _drawn(axis: Line) -> dict[str, Any]:
    values = [tracking.wire(value) for value in axis.values] if axis.kind == "metric" else list(axis.values)
    return {"key": axis.key, "values": values}


def _named(runs: Sequence[Run]) -> str:
    return json.dumps([{"id": str(run.pk), "name": run.name, "url": reverse("run", args=[run.pk])} for run in runs])


def _rows(runs: Sequence[Run], lines: Sequence[Line]) -> list[tuple[Run, list[tuple[str, str]]]]:
    """Turn the lines by a quarter: each run with the kind and text of its cells."""
    columns = [(line.kind, line.texts) for line in lines]
    return [(run, [(kind, texts[number]) for kind, texts in columns]) for number, run in enumerate(runs)]


def _two(offered: Sequence[str]) -> tuple[str, str]:
    """Choose what a scatter begins with: the first param and the first metric that differ."""
    params = [name for name in offered if name.startswith("param.")]
    metrics = [name for name in offered if name.startswith("metric.")]
    return next(iter([*params, *metrics]), ""), next(iter([*metrics, *params]), "")


def _some(offered: Sequence[str]) -> list[str]:
    params = [name for name in offered if name.startswith("param.")][:_PARAMS]
    return [*params, *[name for name in offered if name.startswith("metric.")][:_METRICS]]


class OldCompareView(GuardedView):
    """Where the page was; addresses of it were shared."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect(f"{reverse('run-compare')}?{request.GET.urlencode()}")


def _words(query: QueryDict, name: str) -> list[str]:
    """Return what is given once or often, also several in one, separated by commas: an address stays short that way."""
    return [word for text in query.getlist(name) for word in text.split(",")]


def _text(query: QueryDict, name: str) -> str:
    return query.get(name, "").replace("\x00", "").strip()[:_LONGEST]
