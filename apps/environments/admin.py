"""Environments for operators: what there is, what was built where, what failed; deleted, removed and tried again with a reason."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import display
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, LatestInline, Question, Reasoned, question_filter
from apps.access.admin.display import document, link, list_url, related, size, time_of
from apps.access.admin.filters import is_null
from apps.environments import services
from apps.environments.choices import BuildState
from apps.environments.models import Environment, EnvironmentBuild, EnvironmentVersion

_LONG = timedelta(minutes=15)
_ENVIRONMENTS = question_filter(
    Environment,
    [
        Question("gone", "Its owner is disabled", lambda rows: rows.live().filter(owner__is_active=False)),
        Question("public", "Everyone may see it", lambda rows: rows.live().filter(visibility="public")),
    ],
)
_VERSIONS = question_filter(
    EnvironmentVersion,
    [
        Question("newest", "The newest of each", lambda rows: rows.live().newest()),
        Question("never", "Never built", lambda rows: rows.live().filter(builds=None)),
    ],
)
_BUILDS = question_filter(
    EnvironmentBuild,
    [
        Question("failed", "Failed", lambda rows: rows.filter(state=BuildState.FAILED)),
        Question(
            "stuck",
            "Queued or building for more than 15 minutes",
            lambda rows: rows.filter(state__in=["queued", "building"], next_try_at__lt=Now() - _LONG),
        ),
        Question(
            "unused",
            "Standing, and unused for half the time after which it goes",
            lambda rows: rows.filter(
                state=BuildState.READY, used_at__lt=Now() - timedelta(days=settings.ENVIRONMENT_DAYS) / 2
            ),
        ),
    ],
)


@admin.register(Environment)
class EnvironmentAdmin(GuardedAdmin):
    list_display = (
        "name",
        "owner_shown",
        "team_shown",
        "visibility",
        "newest",
        "versions_shown",
        "updated",
        "archived",
    )
    list_filter = (_ENVIRONMENTS, is_null("archived_at", yes="In use", no="Deleted", title="archive"), "visibility")
    list_select_related = ("owner", "team")
    search_fields = ("name", "owner__username", "team__name")
    search_help_text = "Name, person, team or a pasted id"
    ordering = ("-id",)
    fields = (
        "id", "name", "owner_shown", "team_shown", "visibility", "newest", "versions_shown", "description", "created",
        "updated", "archived",
    )  # fmt: skip
    owner_shown = related("owner")
    team_shown = related("team")
    created = time_of("created_at", "created")
    updated = time_of("updated_at", "changed")
    archived = time_of("archived_at", "deleted")
    actions = (
        Reasoned(
            "delete_environments",
            services.archive_environment,
            label="Delete",
            effect="The environments go out of sight; what ran in them can be run again.",
            done="deleted",
            applies=lambda environment: environment.archived_at is None,
        ),
    )

    @override
    def view_on_site(self, environment: Environment) -> str:
        return reverse("environment", args=[environment.pk])

    @display(description="versions")
    def versions_shown(self, environment: Environment) -> SafeString:
        return link(list_url("environments.environmentversion", environment__id__exact=environment.pk), "Show")


class BuildInline(LatestInline):
    model = EnvironmentBuild
    fields = ("cluster", "state", "message", "finished_at", "used_at")
    ordering = ("cluster",)
    verbose_name_plural = "builds"


@admin.register(EnvironmentVersion)
class EnvironmentVersionAdmin(GuardedAdmin):
    """Versions: the database refuses to change them."""

    list_display = ("__str__", "environment_shown", "python", "packages_count", "by", "created")
    list_filter = (_VERSIONS, "python")
    list_select_related = ("environment__team", "created_by")
    search_fields = ("environment__name", "created_by__username", "environment__team__name")
    search_help_text = "Name of the environment, person, team or a pasted id"
    ordering = ("-id",)
    inlines = (BuildInline,)
    fields = (
        "id", "environment_shown", "number", "python", "image", "packages_shown", "r_packages_shown", "variables_shown", "by",
        "created",
    )  # fmt: skip
    environment_shown = related("environment")
    by = related("created_by", "made by")
    created = time_of("created_at", "made")

    @override
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "environment__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="packages")
    def packages_count(self, version: EnvironmentVersion) -> int:
        return len(version.packages)

    @display(description="packages")
    def packages_shown(self, version: EnvironmentVersion) -> SafeString:
        return document(version.packages)

    @display(description="R packages")
    def r_packages_shown(self, version: EnvironmentVersion) -> SafeString:
        return document(version.r_packages)

    @display(description="variables")
    def variables_shown(self, version: EnvironmentVersion) -> SafeString:
        return document(version.variables)


@admin.register(EnvironmentBuild)
class EnvironmentBuildAdmin(GuardedAdmin):
    """What was built where. Removed and tried again here; the lock of a version is never made anew."""

    list_display = ("__str__", "cluster_shown", "state", "message", "bytes", "finished", "used")
    list_filter = (_BUILDS, "state", "cluster")
    list_select_related = ("version__environment__team", "cluster")
    search_fields = ("version__environment__name", "key", "message")
    search_help_text = "Name of the environment, key, message or a pasted id"
    ordering = ("-id",)
    fields = (
        "id", "version_shown", "cluster_shown", "state", "message", "lines", "key", "bytes", "tries", "by", "created", "started",
        "finished", "used", "log_shown",
    )  # fmt: skip
    version_shown = related("version")
    cluster_shown = related("cluster")
    by = related("requested_by", "asked for by")
    created = time_of("created_at", "asked for")
    started = time_of("started_at", "started")
    finished = time_of("finished_at", "ended")
    used = time_of("used_at", "last used")
    actions = (
        Reasoned(
            "build_again",
            services.retry_build,
            label="Build again",
            effect="They are queued and built from their locks, or locked first where that failed.",
            done="queued",
            applies=lambda build: build.state in {BuildState.FAILED, BuildState.REMOVED},
        ),
        Reasoned(
            "remove_builds",
            services.remove_build,
            label="Remove",
            effect="What was built is taken off its cluster, for all versions with the same packages. The next use builds it again.",
            done="removed",
            applies=lambda build: build.state == BuildState.READY,
        ),
    )

    @display(description="size", ordering="size_bytes")
    def bytes(self, build: EnvironmentBuild) -> str:
        return size(build.size_bytes)

    @display(description="log")
    def log_shown(self, build: EnvironmentBuild) -> SafeString:
        return format_html("<pre>{}</pre>", build.log)
