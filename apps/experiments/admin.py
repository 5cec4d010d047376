"""Experiments and uploaded code, to look at. What is stuck is unstuck at its workload."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, panel, question_filter
from apps.access.admin.display import NOTHING, chip, document, list_url, owner_of, page_of, related, size, time_of, when
from apps.access.admin.filters import is_null, one_of
from apps.access.admin.panels import ROWS
from apps.compute.choices import State
from apps.experiments.models import CodeUpload, Experiment
from apps.experiments.services import CODE_FORMATS
from apps.experiments.spec import schema

_DELETED = is_null("archived_at", yes="In use", no="Deleted", title="archive")
_KINDS = one_of("kind", [(kind, kind) for kind in schema()["properties"]["kind"]["enum"]])
_FORMATS = one_of("format", [(name, name) for name in CODE_FORMATS.values()])


_DAY = timedelta(days=1)
_LARGE = 100 * 1024**2
_QUESTIONS = question_filter(
    Experiment,
    [
        Question(
            "bad",
            "Failed in the last day",
            lambda rows: rows.filter(
                workload__state__in=[State.FAILED, State.LOST], workload__state_changed_at__gt=Now() - _DAY
            ),
        ),
        Question(
            "quota",
            "Waiting for quota",
            lambda rows: rows.filter(workload__state=State.QUEUED, workload__reason="QuotaFull"),
        ),
        Question(
            "retried",
            "Tried more than once",
            lambda rows: rows.filter(workload__attempt_no__gt=1),
        ),
    ],
)
_UPLOADS = question_filter(
    CodeUpload,
    [
        Question("day", "In the last day", lambda rows: rows.filter(created_at__gt=Now() - _DAY)),
        Question("large", "Larger than 100 MiB", lambda rows: rows.filter(size_bytes__gt=_LARGE)),
    ],
)


@admin.register(Experiment)
class ExperimentAdmin(GuardedAdmin):
    list_display = ("name", "state", "why", "created", "kind", "project_shown", "whose")
    list_filter = (_QUESTIONS, "workload__state", _KINDS, _DELETED, "workload__cluster")
    search_fields = ("run__name", "run__owner__username", "run__team__name", "run__project__name")
    search_help_text = "Name, person, team, project or a pasted id"
    ordering = ("-run",)
    fields = (
        "run_shown", "state", "why", "kind", "project_shown", "owner_shown", "team_shown", "workload_shown",
        "cluster_shown", "cloned_shown", "created", "deleted", "spec_shown",
    )  # fmt: skip
    run_shown = related("run")
    project_shown = related("run.project", "project")
    whose = owner_of("run.owner", "run.team")
    owner_shown = related("run.owner")
    team_shown = related("run.team")
    workload_shown = related("workload")
    cluster_shown = related("workload.cluster")
    cloned_shown = related("cloned_from", "cloned from")
    deleted = time_of("archived_at", "deleted")

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        detailed: QuerySet[Any] = rows.with_details().select_related("cloned_from__run")
        return detailed

    @override
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in {"run__owner", "run__team"} or super().lookup_allowed(lookup, value, request)

    @override
    def view_on_site(self, experiment: Experiment) -> str:
        return reverse("experiment", args=[experiment.pk])

    @display(description="name", ordering="run__name")
    def name(self, experiment: Experiment) -> str:
        return experiment.run.name

    @display(description="state", ordering="workload__state")
    def state(self, experiment: Experiment) -> SafeString:
        return chip(experiment.workload.state)

    @display(description="why")
    def why(self, experiment: Experiment) -> str | SafeString:
        return experiment.workload.message or experiment.workload.reason or NOTHING

    @display(description="created", ordering="run")
    def created(self, experiment: Experiment) -> SafeString:
        return time_of("created_at", "created")(self, experiment.run)

    @display(description="specification")
    def spec_shown(self, experiment: Experiment) -> SafeString:
        return document(experiment.spec)


@admin.register(CodeUpload)
class CodeUploadAdmin(GuardedAdmin):
    list_display = ("short_hash", "owner_shown", "format", "bytes", "created")
    list_filter = (_UPLOADS, _FORMATS)
    list_select_related = ("owner",)
    search_fields = ("=sha256", "owner__username")
    search_help_text = "Hash, person or a pasted id"
    ordering = ("-id",)
    fields = ("id", "sha256", "owner_shown", "format", "bytes", "created")
    owner_shown = related("owner")
    created = time_of("created_at", "created")

    @display(description="hash", ordering="sha256")
    def short_hash(self, upload: CodeUpload) -> str:
        return upload.sha256[:16]

    @display(description="size", ordering="size_bytes")
    def bytes(self, upload: CodeUpload) -> str:
        return size(upload.size_bytes)


def _recent(rows: Any, url: str) -> Panel:
    cells = [
        (page_of(row), chip(row.workload.state), page_of(row.run.project), when(row.run.created_at))
        for row in rows.with_details().order_by("-pk")[:ROWS]
    ]
    return Panel(
        "Recent experiments", ("Experiment", "State", "Project", "Created"), cells, url, "Never submitted any."
    )


@panel("accounts.user")
def _recent_of_person(user: Any, by: Any) -> Panel:
    rows = Experiment.objects.visible_to(by, "view").filter(run__owner=user)
    return _recent(rows, list_url("experiments.experiment", run__owner=user.pk))


@panel("teams.team")
def _recent_of_team(team: Any, by: Any) -> Panel:
    rows = Experiment.objects.visible_to(by, "view").filter(run__team=team)
    return _recent(rows, list_url("experiments.experiment", run__team=team.pk))
