"""What helps to ask a run table: keys that can be columns, and what could be typed next in the filter."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from apps.experiments.views.projects import ProjectPage
from apps.tracking.models import Project
from apps.tracking.table.columns import Column
from apps.tracking.table.completion import complete
from apps.tracking.table.keys import keys

LONGEST_SEARCH = 250
_KINDS = {"metric": "Metrics", "param": "Parameters", "tag": "Tags"}


def found_keys(text: str, project: Project, user: Any) -> list[tuple[str, list[list[Column]]]]:
    """Return the keys that hold a text, by kind; a metric has its last, lowest and highest value."""
    if "\x00" in text:
        return []
    sections = []
    for kind, title in _KINDS.items():
        found = keys(kind, project=project.pk, by=user, text=text)
        forms = (kind, "min", "max") if kind == "metric" else (kind,)
        sections.append((title, [[Column(form, key) for form in forms] for key in found]))
    return [(title, rows) for title, rows in sections if rows]


class KeysView(ProjectPage):
    """The keys that can be columns: a project may have thousands, so they are looked for here, a few at a time."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        find = request.GET.get("find", "")[:LONGEST_SEARCH]
        context = {"find": find, "found_keys": found_keys(find, self.project(pk), self.user)}
        return render(request, "projects/_partials/keys.html", context)


class CompleteView(ProjectPage):
    """What could be typed next in the filter."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        found = complete(request.GET.get("text", ""), project=self.project(pk), by=self.user)
        options = [{"text": option.text, "hint": option.hint} for option in found.options]
        return JsonResponse({"start": found.start, "options": options})
