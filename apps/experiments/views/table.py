"""A project's page: the table of its runs, what helps to ask it, and what is done to several runs at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode

from apps.access import policy
from apps.access.views import GuardedView
from apps.compute.choices import ACTIVE
from apps.core.errors import DomainError
from apps.experiments import services
from apps.experiments.models import Experiment
from apps.tracking import services as tracking
from apps.tracking.choices import RunStatus
from apps.tracking.models import Project, Run, SavedView
from apps.tracking.table.asked import PAGE_SIZES, Asked, page_number
from apps.tracking.table.columns import ATTRIBUTES, GROUPED, Column
from apps.tracking.table.completion import complete
from apps.tracking.table.groups import read_groups
from apps.tracking.table.keys import keys
from apps.tracking.table.lines import Found, read_page

_MOST_AT_ONCE = 200
_LONGEST_SEARCH = 250
_KINDS = {"metric": "Metrics", "param": "Parameters", "tag": "Tags"}


class ProjectPage(GuardedView):
    """What the pages and answers of one project share."""

    shared_as: ClassVar[str] = "project"
    policy_action: ClassVar[str] = "view"

    def project(self, pk: UUID) -> Any:
        return self.find(Project.objects.live().with_details(), pk=pk)


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
        find = self.request.GET.get("find", "")[:_LONGEST_SEARCH]
        return {
            "sizes": PAGE_SIZES,
            "shown": shown,
            "other_attributes": [Column("attribute", word) for word in ATTRIBUTES if word not in words],
            "groupings": _groupings(asked, shown),
            "sort": _heading(asked, asked.sort) if asked.sort else None,
            "find": find,
            "found_keys": _found_keys(find, project, self.user) if find else None,
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


def _found_keys(text: str, project: Project, user: Any) -> list[tuple[str, list[list[Column]]]]:
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
        find = request.GET.get("find", "")[:_LONGEST_SEARCH]
        context = {"find": find, "found_keys": _found_keys(find, self.project(pk), self.user)}
        return render(request, "projects/_partials/keys.html", context)


class CompleteView(ProjectPage):
    """What could be typed next in the filter."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        found = complete(request.GET.get("text", ""), project=self.project(pk), by=self.user)
        options = [{"text": option.text, "hint": option.hint} for option in found.options]
        return JsonResponse({"start": found.start, "options": options})


def _delete(run: Any, *, by: Any) -> None:
    """Delete a run, with its experiment if it has one: that is where the deletion of a job's run is."""
    experiment = Experiment.objects.visible_to(by, "view").with_details().filter(pk=run.pk).first()
    if experiment is not None:
        services.delete_experiment(experiment, by=by)
    else:
        tracking.archive_run(run, by=by)


_BULK: dict[str, tuple[Callable[..., object], str]] = {
    "delete": (_delete, "deleted"),
    "restore": (tracking.restore_run, "restored"),
}


class RunBulkView(ProjectPage):
    """Compare, delete or restore the chosen runs, each through its service: what is refused is counted and said."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        project = self.project(pk)
        chosen = [found for text in request.POST.getlist("id")[:_MOST_AT_ONCE] if (found := _uuid(text))]
        if request.POST.get("action") == "compare":
            return redirect(f"{reverse('run-compare')}?{urlencode([('id', str(one)) for one in chosen])}")
        rows: Any = Run.objects.visible_to(self.user, "view").filter(project=project, pk__in=chosen)
        self._apply(request, list(rows.with_details().order_by("-pk")))
        return redirect(back_to(request, project))

    def _apply(self, request: HttpRequest, rows: list[Any]) -> None:
        if (request.POST.get("action") or "") not in _BULK or not rows:
            messages.warning(request, "Nothing was chosen.")
            return
        act, done_word = _BULK[request.POST["action"]]
        refused: list[str] = []
        for row in rows:
            try:
                act(row, by=self.user)
            except DomainError as refusal:
                refused.append(f"{row}: {refusal.detail}")
        done = len(rows) - len(refused)
        if done:
            messages.success(request, f"{done} run{'s' if done > 1 else ''} {done_word}.")
        if refused:
            messages.warning(request, f"{len(refused)} left as they were. {' '.join(refused[:3])}")


def back_to(request: HttpRequest, project: Project, **more: str) -> str:
    """Return the table's address as the form has it. SECURITY: re-encoded, so that nothing else can ride along."""
    query = QueryDict(request.POST.get("back", "")[:6000], mutable=True)
    for name, value in more.items():
        query[name] = value
        if not value:
            del query[name]
    return f"{reverse('project', args=[project.pk])}{f'?{query.urlencode()}' if query else ''}"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
