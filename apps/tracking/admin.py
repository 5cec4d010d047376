"""Projects, runs and their files, to look at."""

from datetime import timedelta

from django.contrib import admin
from django.contrib.admin import display
from django.db.models.functions import Now
from django.utils.safestring import SafeString

from apps.access.admin import GuardedAdmin, LatestInline, Question, question_filter
from apps.access.admin.display import chip, link, list_url, related, size, time_of
from apps.access.admin.filters import is_null
from apps.tracking.choices import RunStatus
from apps.tracking.models import Artifact, MetricSeries, Param, Project, Run, Tag

_ARCHIVED = is_null("archived_at", yes="In use", no="Archived", title="archive")

_DAY = timedelta(days=1)
_LARGE = 1024**3
_PROJECTS = question_filter(
    Project,
    [
        Question("empty", "Without runs", lambda rows: rows.live().filter(runs=None)),
        Question("gone", "Its owner is disabled", lambda rows: rows.live().filter(owner__is_active=False)),
        Question("private", "In no team", lambda rows: rows.live().filter(team=None)),
    ],
)
_RUNS = question_filter(
    Run,
    [
        Question(
            "open",
            "Open for more than a day",
            lambda rows: rows.live().filter(status=RunStatus.RUNNING, created_at__lt=Now() - _DAY),
        ),
        Question("gone", "Its owner is disabled", lambda rows: rows.live().filter(owner__is_active=False)),
        Question("public", "Everyone may see it", lambda rows: rows.live().filter(visibility="public")),
    ],
)
_ARTIFACTS = question_filter(
    Artifact,
    [
        Question("day", "In the last day", lambda rows: rows.filter(created_at__gt=Now() - _DAY)),
        Question("large", "Larger than 1 GiB", lambda rows: rows.filter(size_bytes__gt=_LARGE)),
    ],
)


@admin.register(Project)
class ProjectAdmin(GuardedAdmin):
    list_display = ("name", "owner_shown", "team_shown", "visibility", "runs_shown", "created", "archived")
    list_filter = (_PROJECTS, _ARCHIVED, "visibility")
    list_select_related = ("owner", "team")
    search_fields = ("name", "owner__username", "team__name")
    search_help_text = "Name, person, team or a pasted id"
    ordering = ("-id",)
    fields = (
        "id", "name", "description", "owner_shown", "team_shown", "visibility", "runs_shown", "created", "archived",
    )  # fmt: skip
    owner_shown = related("owner")
    team_shown = related("team")
    created = time_of("created_at", "created")
    archived = time_of("archived_at", "archived")

    @display(description="runs")
    def runs_shown(self, project: Project) -> SafeString:
        return link(list_url("tracking.run", project__id__exact=project.pk), "Show")


class ParamInline(LatestInline):
    model = Param
    fields = ("key", "value")
    ordering = ("key",)
    show_change_link = False
    verbose_name_plural = "parameters"


class TagInline(LatestInline):
    model = Tag
    fields = ("key", "value")
    ordering = ("key",)
    show_change_link = False


class SeriesInline(LatestInline):
    model = MetricSeries
    fields = ("key", "last_value", "last_step", "min_value", "max_value", "count")
    ordering = ("key",)
    show_change_link = False
    verbose_name_plural = "metrics"


class ArtifactInline(LatestInline):
    model = Artifact
    fields = ("path", "bytes", "content_type", "sha256")
    ordering = ("path",)

    @display(description="size")
    def bytes(self, artifact: Artifact) -> str:
        return size(artifact.size_bytes)


@admin.register(Run)
class RunAdmin(GuardedAdmin):
    list_display = (
        "name",
        "status_shown",
        "project_shown",
        "owner_shown",
        "team_shown",
        "visibility",
        "created",
        "finished",
    )
    list_filter = (_RUNS, "status", _ARCHIVED, "visibility")
    list_select_related = ("project", "owner", "team")
    search_fields = ("name", "project__name", "owner__username", "team__name")
    search_help_text = "Name, project, person, team or a pasted id"
    ordering = ("-id",)
    inlines = (ParamInline, SeriesInline, TagInline, ArtifactInline)
    fields = (
        "id", "name", "status_shown", "project_shown", "owner_shown", "team_shown", "visibility", "created", "finished",
        "archived",
    )  # fmt: skip
    project_shown = related("project")
    owner_shown = related("owner")
    team_shown = related("team")
    created = time_of("created_at", "created")
    finished = time_of("finished_at", "finished")
    archived = time_of("archived_at", "archived")

    @display(description="status", ordering="status")
    def status_shown(self, run: Run) -> SafeString:
        return chip(run.status)


@admin.register(Artifact)
class ArtifactAdmin(GuardedAdmin):
    list_display = ("path", "run_shown", "owner_shown", "bytes", "content_type", "created")
    list_filter = (_ARTIFACTS,)
    list_select_related = ("run__owner",)
    search_fields = ("path", "run__name", "=sha256")
    search_help_text = "Path, name of the run, hash or a pasted id"
    ordering = ("-id",)
    fields = ("id", "path", "run_shown", "owner_shown", "bytes", "content_type", "sha256", "created")
    run_shown = related("run")
    owner_shown = related("run.owner")
    created = time_of("created_at", "created")

    @display(description="size", ordering="size_bytes")
    def bytes(self, artifact: Artifact) -> str:
        return size(artifact.size_bytes)
