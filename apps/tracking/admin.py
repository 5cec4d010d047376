"""Projects, runs and their files, to look at."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, LatestInline, Question, Reasoned, question_filter
from apps.access.admin.display import chip, link, list_url, related, size, time_of
from apps.access.admin.filters import is_null
from apps.access.forms import reason_field
from apps.core.errors import Invalid
from apps.tracking import services
from apps.tracking.choices import RunStatus
from apps.tracking.models import Artifact, MetricSeries, Param, Project, Retention, Run, Tag, Upload

if TYPE_CHECKING:
    RetentionModelForm = forms.ModelForm[Retention]
else:
    RetentionModelForm = forms.ModelForm

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


_RULES = question_filter(
    Retention, [Question("teams", "Of whole teams", lambda rows: rows.filter(team__isnull=False))], is_record=True
)
_UPLOADS = question_filter(
    Upload,
    [
        Question("open", "Not completed", lambda rows: rows.filter(completed_at=None)),
        Question("late", "Past their time", lambda rows: rows.run_out().filter(completed_at=None)),
    ],
)


@admin.register(Upload)
class UploadAdmin(GuardedAdmin):
    """Files that are on their way in parts."""

    list_display = ("path", "run_shown", "who", "bytes", "created", "expires", "completed")
    list_filter = (_UPLOADS,)
    list_select_related = ("run", "created_by")
    search_fields = ("path", "run__name", "created_by__username")
    search_help_text = "Path, name of the run or of who sends it, or a pasted id"
    ordering = ("-id",)
    fields = ("id", "path", "run_shown", "who", "bytes", "part_count", "sha256", "created", "expires", "completed")
    run_shown = related("run")
    who = related("created_by", "sent by")
    created = time_of("created_at", "begun")
    expires = time_of("expires_at", "expires")
    completed = time_of("completed_at", "completed")

    @display(description="size", ordering="size_bytes")
    def bytes(self, upload: Upload) -> str:
        return "" if upload.size_bytes is None else size(upload.size_bytes)


class RetentionForm(RetentionModelForm):
    """A rule, and why."""

    reason = reason_field()

    class Meta:
        model = Retention
        fields = ("project", "team", "days_after_end", "days_after_archive")


@admin.register(Retention)
class RetentionAdmin(GuardedAdmin):
    """How long files are kept. What would go by it now: the preview of a collection."""

    can_add = True
    can_change = True
    policy_change = "manage"
    form = RetentionForm
    list_display = ("whose", "days_after_end", "days_after_archive")
    list_filter = (_RULES,)
    list_select_related = ("project", "team")
    search_fields = ("project__name", "team__name")
    ordering = ("-id",)
    fields = ("project", "team", "days_after_end", "days_after_archive", "reason")
    autocomplete_fields = ("project", "team")
    actions = (
        Reasoned(
            "remove",
            lambda rule, by, reason: services.end_retention(rule.project or rule.team, by=by, reason=reason),
            label="Remove",
            effect="The rule is gone: for a project its team's counts again, for a team nothing expires.",
            done="removed",
        ),
    )

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("project", "team") if obj else ()

    @override
    def save_model(self, request: HttpRequest, obj: Retention, form: Any, change: bool) -> None:
        of = obj.project or obj.team
        if of is None or (obj.project and obj.team):
            raise Invalid(errors={"project": ["A project or a team, one of them."]})
        days: dict[str, Any] = {"days_after_end": obj.days_after_end, "days_after_archive": obj.days_after_archive}
        made = services.set_retention(of, by=request.user, reason=form.cleaned_data["reason"], **days)
        obj.__dict__.update(made.__dict__)

    @display(description="rule of")
    def whose(self, rule: Retention) -> str:
        return f"project {rule.project}" if rule.project else f"team {rule.team}"


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
