"""A project's page: the table of its runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from apps.access import policy
from apps.compute.choices import ACTIVE
from apps.experiments.views.asking import LONGEST_SEARCH, found_keys
from apps.experiments.views.projects import ProjectPage
from apps.tracking.choices import RunStatus
from apps.tracking.models import Project, SavedView
from apps.tracking.table.asked import PAGE_SIZES, Asked, page_number
from apps.tracking.table.columns import ATTRIBUTES, GROUPED, Column
from apps.tracking.table.groups import read_groups
from apps.tracking.table.lines import Found, read_page


class ProjectView(ProjectPage):
    """The run table. Everything it is asked for stands in its address, so that it can be shared and kept as a view."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        project = self.project(pk)
        query = dict(request.GET.lists())
        asked, number = Asked.read(query, project.pk), page_number(query)
        context: dict[str, Any] = {"project": project, "asked": asked, "number": number}
        if asked.group is not None:
            context["grouped"] = read_groups(project, asked, by=self.user, page=number)
            response = render(request, "projects/table.html", context | self._around(project, asked))
        else:
            found = read_page(project, asked, by=self.user, page=number)
            context |= {"found": found, "headings": _headings(asked, found.columns), "is_live": _is_live(found)}
            if request.headers.get("HX-Target") == "rows":
                response = render(request, "projects/_partials/rows.html", context)
            else:
                response = render(request, "projects/table.html", context | self._around(project, asked, found.columns))
        patch_vary_headers(response, ["HX-Target"])
        return response

    def _around(self, project: Project, asked: Asked, columns: Sequence[Column] | None = None) -> dict[str, Any]:
        """Return what stands around the rows: menus, views, the actions of the project."""
        shown = columns if columns is not None else asked.columns or ()
        words = {column.word for column in shown}
        find = self.request.GET.get("find", "")[:LONGEST_SEARCH]
        return {
            "sizes": PAGE_SIZES,
            "shown": shown,
            "other_attributes": [Column("attribute", word) for word in ATTRIBUTES if word not in words],
            "groupings": _groupings(asked, shown),
            "sort": _heading(asked, asked.sort) if asked.sort else None,
            "find": find,
            "found_keys": found_keys(find, project, self.user) if find else None,
            "kept_query": asked.query_string(),
            **self._views(project, asked),
            "decisions": {
                name: policy.decide(policy.in_person(self.user), name, project) for name in ("edit", "share")
            },
        }

    def _views(self, project: Project, asked: Asked) -> dict[str, Any]:
        rows: Any = SavedView.objects.visible_to(self.user, "view").filter(project=project)
        views = list(rows.offered_to(self.user).select_related("owner"))
        chosen = next((view for view in views if str(view.pk) == self.request.GET.get("view")), None)
        is_mine = chosen is not None and (chosen.owner_id == self.user.pk or policy.can(self.user, "edit", chosen))
        return {
            "views": views,
            "view": chosen,
            "can_change_view": is_mine,
            "is_view_changed": chosen is not None and chosen.query != asked.query_string(),
            "typed_name": self.request.GET.get("view_name", "")[:100],
        }


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a column: how the table is sorted by it, and what a click would ask for."""

    column: Column
    direction: str  # "ascending", "descending" or ""
    next_sort: str

    @property
    def arrow(self) -> str:
        return {"ascending": "↑", "descending": "↓"}.get(self.direction, "")


def _headings(asked: Asked, columns: Sequence[Column]) -> list[Heading]:
    return [_heading(asked, column) for column in (Column("attribute", "name"), *columns)]


def _heading(asked: Asked, column: Column) -> Heading:
    if not column.can_order:
        return Heading(column, "", "")
    if asked.sort != column:  # numbers and times are looked at from their best or newest end
        is_down = column.kind == "metric" or column.key in {"started", "ended", "created"}
        return Heading(column, "", f"{'-' if is_down else ''}{column.word}")
    direction = "descending" if asked.descending else "ascending"
    return Heading(column, direction, column.word if asked.descending else f"-{column.word}")


def _groupings(asked: Asked, shown: Sequence[Column]) -> list[Column]:
    columns = [Column("attribute", word) for word in GROUPED]
    columns += [column for column in shown if column.kind in {"param", "tag"}]
    return columns if asked.group is None or asked.group in columns else [*columns, asked.group]


def _is_live(found: Found) -> bool:
    return any(
        line.job_state in ACTIVE if line.job_state else line.run.status == RunStatus.RUNNING for line in found.lines
    )
