"""Lineage as a graph and as a table of the same."""

from typing import ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.access.views import GuardedView
from apps.lineage import services
from apps.lineage.choices import Direction, Relation
from apps.lineage.drawing import draw

_DEPTHS = (1, 2, 3, 5, 10)


class LineageView(GuardedView):
    """Where something came from and what became of it. Each node is judged for who looks."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
        start = services.find(kind, pk, by=self.user)
        asked = request.GET
        depth = next((deep for deep in _DEPTHS if str(deep) == asked.get("depth")), 3)
        direction = asked.get("direction", "")
        chosen = direction if direction in Direction.values else Direction.BOTH.value
        graph = services.walk(start, by=self.user, direction=chosen, depth=depth)
        lines = [
            (graph.nodes[edge.source], Relation(edge.relation).label, graph.nodes[edge.target]) for edge in graph.edges
        ]
        context = {
            "start": start,
            "graph": graph,
            "drawing": draw(graph),
            "lines": lines,
            "depth": depth,
            "depths": _DEPTHS,
            "direction": chosen,
            "directions": Direction.choices,
        }
        return render(request, "lineage/graph.html", context)
