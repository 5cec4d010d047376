"""Registered models for operators: what there is, what is protected, every move; deleted, lifted and answered with a reason."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, LatestInline, Question, Reasoned, RecordAdmin, question_filter
from apps.access.admin.display import document, link, list_url, related, size, time_of
from apps.access.admin.filters import is_null
from apps.models import services
from apps.models.choices import RequestState
from apps.models.models import (
    Alias,
    Decision,
    ModelVersion,
    Move,
    MoveRequest,
    Protection,
    RegisteredModel,
    VersionFile,
)

_ARCHIVED = is_null("archived_at", yes="In use", no="Deleted", title="archive")
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_MODELS = question_filter(
    RegisteredModel,
    [
        Question("empty", "Without versions", lambda rows: rows.live().filter(newest=0)),
        Question("gone", "Its owner is disabled", lambda rows: rows.live().filter(owner__is_active=False)),
        Question("public", "Everyone may see it", lambda rows: rows.live().filter(visibility="public")),
    ],
)
_VERSIONS = question_filter(
    ModelVersion,
    [
        Question("day", "In the last day", lambda rows: rows.live().filter(created_at__gt=Now() - _DAY)),
        Question("dangerous", "With dangerous pickles", lambda rows: rows.live().filter(scan__verdict="dangerous")),
        Question("production", "In production", lambda rows: rows.live().filter(stage="Production")),
    ],
)
_REQUESTS = question_filter(
    MoveRequest,
    [
        Question("open", "Open", lambda rows: rows.open()),
        Question("long", "Open for more than 7 days", lambda rows: rows.open().filter(created_at__lt=Now() - _WEEK)),
    ],
)
_RULES = question_filter(
    Protection,
    [
        Question("alone", "Any one person may move", lambda rows: rows.filter(approvals=0, thresholds=[])),
        Question("own", "One may approve his own request", lambda rows: rows.filter(separate_duties=False)),
    ],
)
_MOVES = question_filter(
    Move,
    [
        Question("day", "In the last day", lambda rows: rows.filter(at__gt=Now() - _DAY)),
        Question("removed", "Alias or stage taken away", lambda rows: rows.filter(after="")),
    ],
)


class AliasInline(LatestInline):
    model = Alias
    fields = ("name", "version", "moved_at")
    ordering = ("name",)
    show_change_link = False
    verbose_name_plural = "aliases"


class ProtectionInline(LatestInline):
    model = Protection
    fields = ("target", "name", "approvals", "separate_duties", "thresholds")
    ordering = ("target", "name")
    verbose_name_plural = "rules"


@admin.register(RegisteredModel)
class RegisteredModelAdmin(GuardedAdmin):
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
    list_filter = (_MODELS, _ARCHIVED, "visibility")
    list_select_related = ("owner", "team")
    search_fields = ("name", "owner__username", "team__name")
    search_help_text = "Name, person, team or a pasted id"
    ordering = ("-id",)
    inlines = (AliasInline, ProtectionInline)
    fields = (
        "id", "name", "owner_shown", "team_shown", "visibility", "newest", "versions_shown", "moves_shown", "description",
        "created", "updated", "archived",
    )  # fmt: skip
    owner_shown = related("owner")
    team_shown = related("team")
    created = time_of("created_at", "created")
    updated = time_of("updated_at", "changed")
    archived = time_of("archived_at", "deleted")
    actions = (
        Reasoned(
            "delete_models",
            services.archive_model,
            label="Delete",
            effect="The models and their versions go out of sight; nothing is erased. What is protected has to be freed first.",
            done="deleted",
            applies=lambda model: model.archived_at is None,
        ),
    )

    @override
    def view_on_site(self, model: RegisteredModel) -> str:
        return reverse("registeredmodel", args=[model.pk])

    @display(description="versions")
    def versions_shown(self, model: RegisteredModel) -> SafeString:
        return link(list_url("registry.modelversion", model__id__exact=model.pk), "Show")

    @display(description="moves")
    def moves_shown(self, model: RegisteredModel) -> SafeString:
        return link(list_url("registry.move", model__id__exact=model.pk), "Show")


class FileInline(LatestInline):
    model = VersionFile
    fields = ("path", "size_bytes", "content_type", "sha256")
    ordering = ("path",)
    show_change_link = False


@admin.register(ModelVersion)
class ModelVersionAdmin(GuardedAdmin):
    list_display = ("__str__", "model_shown", "stage", "by", "verdict", "bytes", "created", "archived")
    list_filter = (_VERSIONS, "stage", _ARCHIVED)
    list_select_related = ("model__team", "created_by")
    search_fields = ("model__name", "created_by__username", "model__team__name")
    search_help_text = "Name of the model, person, team or a pasted id"
    ordering = ("-id",)
    inlines = (FileInline,)
    fields = (
        "id", "model_shown", "number", "stage", "by", "run_shown", "run_path", "source", "metrics_shown", "scan_shown",
        "environment", "bytes", "created", "archived",
    )  # fmt: skip
    model_shown = related("model")
    by = related("created_by", "made by")
    run_shown = related("run")
    created = time_of("created_at", "made")
    archived = time_of("archived_at", "deleted")
    actions = (
        Reasoned(
            "delete_versions",
            services.archive_version,
            label="Delete",
            effect="The versions go out of sight with their aliases; nothing is erased, and no number is given again.",
            done="deleted",
            applies=lambda version: version.archived_at is None,
        ),
    )

    @override
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "model__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="pickles")
    def verdict(self, version: ModelVersion) -> str:
        return str(version.scan.get("verdict", "none"))

    @display(description="size", ordering="size_bytes")
    def bytes(self, version: ModelVersion) -> str:
        return size(version.size_bytes)

    @display(description="metrics")
    def metrics_shown(self, version: ModelVersion) -> SafeString:
        return document(version.metrics)

    @display(description="scan")
    def scan_shown(self, version: ModelVersion) -> SafeString:
        return document(version.scan)


@admin.register(Protection)
class ProtectionAdmin(RecordAdmin):
    """What is protected. A rule is lifted here with a reason; it is set on the model's page."""

    list_display = ("__str__", "model_shown", "approvals", "separate_duties", "created")
    list_filter = (_RULES, "target", "separate_duties")
    list_select_related = ("model__team",)
    search_fields = ("name", "model__name", "model__owner__username")
    ordering = ("-id",)
    fields = ("id", "model_shown", "target", "name", "approvals", "separate_duties", "thresholds_shown", "created")
    model_shown = related("model")
    created = time_of("created_at", "set")
    actions = (
        Reasoned(
            "lift_rules",
            services.unprotect,
            label="Lift",
            effect="Who may edit the model moves what was protected.",
            done="lifted",
        ),
    )

    @display(description="metrics")
    def thresholds_shown(self, rule: Protection) -> SafeString:
        return document(rule.thresholds)


class DecisionInline(LatestInline):
    model = Decision
    fields = ("by", "is_approval", "reason", "created_at")
    ordering = ("id",)
    show_change_link = False
    verbose_name_plural = "answers"


def _decision(*, approve: bool) -> Any:
    def work(request: MoveRequest, *, by: Any, reason: str) -> None:
        services.decide_move(request, by=by, approve=approve, reason=reason)

    return work


def _is_open(request: MoveRequest) -> bool:
    return request.state == RequestState.OPEN


@admin.register(MoveRequest)
class MoveRequestAdmin(GuardedAdmin):
    """Answered by those who may edit the model; an operator answers by the same service, as one of them."""

    list_display = ("__str__", "model_shown", "who", "state", "asked", "decided")
    list_filter = (_REQUESTS, "state", "target")
    list_select_related = ("model__owner", "model__team", "version", "requested_by")
    search_fields = ("model__name", "name", "requested_by__username")
    ordering = ("-id",)
    inlines = (DecisionInline,)
    fields = (
        "id",
        "model_shown",
        "version_shown",
        "target",
        "name",
        "removes",
        "who",
        "reason",
        "state",
        "asked",
        "decided",
    )
    model_shown = related("model")
    version_shown = related("version")
    who = related("requested_by", "asked by")
    asked = time_of("created_at", "asked")
    decided = time_of("decided_at", "decided")
    actions = (
        Reasoned(
            "approve_moves",
            _decision(approve=True),
            label="Approve",
            effect="Your approval counts as one; with the one that completes the rule it is moved.",
            done="approved",
            applies=_is_open,
        ),
        Reasoned(
            "refuse_moves",
            _decision(approve=False),
            label="Refuse",
            effect="The request ends; who asked is told no, with the reason.",
            done="refused",
            applies=_is_open,
        ),
    )


@admin.register(Move)
class MoveAdmin(RecordAdmin):
    """The history: the database refuses to change it."""

    list_display = ("__str__", "model_shown", "version_number", "who", "reason", "at_shown")
    list_filter = (_MOVES, "target")
    list_select_related = ("model__team", "version__model", "by")
    search_fields = ("name", "model__name", "by__username")
    ordering = ("-id",)
    fields = (
        "model_shown",
        "version_shown",
        "target",
        "name",
        "before",
        "after",
        "who",
        "reason",
        "request_shown",
        "at_shown",
    )
    model_shown = related("model")
    version_shown = related("version")
    request_shown = related("request")
    who = related("by")
    at_shown = time_of("at", "when")

    @override
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "model__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="version", ordering="version__number")
    def version_number(self, move: Move) -> int:
        return move.version.number
