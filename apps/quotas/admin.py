"""Limits, and what holds them, for operators."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Prefetch, QuerySet, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, panel, question_filter
from apps.access.admin.display import NOTHING, lines, list_url, meter, page_of, related, time_of
from apps.access.admin.filters import is_null
from apps.access.admin.guarded import may_operate
from apps.quotas import limits_file, services
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.forms import LimitsFileForm, LimitsForm, field_name, label
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation, Resource
from apps.quotas.querysets import nodes_under_pressure, nodes_used_up

_DAY = timedelta(days=1)
_PRESSURE = question_filter(
    QuotaNode,
    [
        Question("90", "Over 90 % of a limit", nodes_under_pressure, "over 90 % of quota", "busy"),
        Question("100", "At or over a limit", nodes_used_up),
        Question("none", "Without any limit", lambda rows: rows.exclude(limits__limit__isnull=False)),
    ],
    parameter="pressure",
)
_HELD = question_filter(
    Reservation,
    [
        Question("now", "Held now", lambda rows: rows.filter(released_at=None)),
        Question(
            "long", "Held for more than a day", lambda rows: rows.filter(released_at=None, held_at__lt=Now() - _DAY)
        ),
    ],
)


@admin.register(QuotaNode)
class QuotaNodeAdmin(GuardedAdmin):
    """The quota tree, and its limits. A node comes into being with the first work of its person or team."""

    can_change = True
    policy_change = "manage"
    form = LimitsForm
    list_filter = (_PRESSURE, "kind")
    search_fields = ("name", "key")
    search_help_text = "Person, team, organization or cluster"
    ordering = (Case(When(kind=NodeKind.CLUSTER, then=Value(1)), default=Value(0)), "path")
    readonly_fields = ("name", "kind", "held")

    @override
    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        return ("place", "kind", *(_column(resource) for resource in Resource.objects.names()))

    @override
    def get_fieldsets(self, request: HttpRequest, obj: QuotaNode | None = None) -> Any:
        limits = [field_name(resource) for resource in Resource.objects.names()]
        shown = (None, {"fields": ["name", "kind", "held"]})
        if not self.has_change_permission(request, obj):
            return [shown]
        return [
            shown,
            ("Limits", {"fields": [*limits, "reason"], "description": _HOW}),
        ]

    @override
    def get_form(self, request: HttpRequest, obj: QuotaNode | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **{**kwargs, "fields": []})  # the form adds its own

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        limits = QuotaLimit.objects.visible_to(request.user, "view").order_by("resource")
        return super().get_queryset(request).select_related("parent").prefetch_related(Prefetch("limits", limits))

    @override
    def save_model(self, request: HttpRequest, obj: QuotaNode, form: LimitsForm, change: bool) -> None:
        changed = form.changed_limits()
        for resource, limit in changed.items():
            services.set_limit(obj, resource, limit, by=request.user, reason=form.cleaned_data["reason"])
        if not changed:
            messages.info(request, "No limit was changed.")

    @override
    def get_urls(self) -> list[Any]:
        view: Any = self.admin_site.admin_view(self.import_view)
        view.model_admin = self
        return [path("import/", view, name="quotas_quotanode_import"), *super().get_urls()]

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Take a file of limits: shown with what it would do, then done with a reason, all or nothing."""
        if not may_operate(request):
            raise PermissionDenied
        if request.GET.get("_template") == "csv":
            return self._limits_now(request)
        form = LimitsFileForm(request.POST, request.FILES) if request.method == "POST" else LimitsFileForm()
        draft = None
        if form.is_bound and (form.is_valid() or form.cleaned_data.get("text")):
            text = form.cleaned_data["text"]
            draft = limits_file.read(text, self._places(request, text))
            if "_confirmed" in request.POST and form.is_valid() and not draft.errors:
                return self._import(request, draft, form.cleaned_data["reason"])
            if not draft.errors:
                reason = form if "_confirmed" in request.POST else None
                form = reason or LimitsFileForm(initial={"text": text})
        context = {**self.admin_site.each_context(request), "title": "Import limits", "form": form, "draft": draft}
        return TemplateResponse(request, "admin/quotas/quotanode/import.html", context)

    def _import(self, request: HttpRequest, draft: limits_file.Draft, reason: str) -> HttpResponse:
        changes = [(change.node, change.resource, change.after) for change in draft.news]
        done = services.set_limits(changes, by=request.user, reason=reason)
        messages.success(request, f"{done} limits set.")
        return redirect("admin:quotas_quotanode_changelist")

    def _places(self, request: HttpRequest, text: str) -> dict[str, QuotaNode]:
        rows = self.get_queryset(request).filter(key__in=limits_file.keys_in(text))
        return {node.key: node for node in rows}

    def _limits_now(self, request: HttpRequest) -> HttpResponse:
        rows = self.get_queryset(request).exclude(kind=NodeKind.CLUSTER).order_by("path")
        response = HttpResponse(limits_file.write(rows), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="limits.csv"'
        return response

    @display(description="whose", ordering="path")
    def place(self, node: QuotaNode) -> SafeString:
        return format_html('<span class="tree" data-depth="{}">{}</span>', node.depth, node.name)

    @display(description="holds now")
    def held(self, node: QuotaNode) -> SafeString:
        return lines(_bar(row) for row in node.limits.all())


_HOW = "How much the work below this place may hold at once. Write 8, 0.5 or 32Gi; leave empty for no limit."


def _bar(row: QuotaLimit) -> SafeString:
    limit = "" if row.limit is None else f" of {in_units(row.resource, row.limit)}"
    return meter(row.used, row.limit, f"{in_units(row.resource, row.used)}{limit} {words(row.resource)}")


def _column(resource: str) -> Any:
    @display(description=label(resource, with_unit=True))
    def column(node: QuotaNode) -> SafeString:
        row = next((row for row in node.limits.all() if row.resource == resource), None)
        if row is None or (row.limit is None and not row.used):
            return NOTHING
        limit = "no limit" if row.limit is None else in_units(resource, row.limit)
        return meter(row.used, row.limit, f"{in_units(resource, row.used)} / {limit}")

    column.__name__ = f"column_{resource}"
    return column


@admin.register(Reservation)
class ReservationAdmin(GuardedAdmin):
    """What each attempt holds: written by admission and release alone."""

    list_display = ("key", "holder", "amounts_shown", "held", "released")
    list_filter = (_HELD, is_null("released_at", yes="Held now", no="Given back", title="state"))
    list_select_related = ("node",)
    search_fields = ("=key", "node__name")
    search_help_text = "Attempt's handle, or whose quota"
    ordering = ("-id",)
    fields = ("key", "holder", "amounts_shown", "held", "released")
    holder = related("node", "whose quota")
    held = time_of("held_at", "since")
    released = time_of("released_at", "given back")

    @display(description="amounts")
    def amounts_shown(self, row: Reservation) -> str:
        return ", ".join(f"{in_units(resource, amount)} {words(resource)}" for resource, amount in row.amounts.items())


def _usage(by: Any, keys: list[str], empty: str) -> Panel:
    limits = QuotaLimit.objects.visible_to(by, "view").order_by("resource")
    nodes = QuotaNode.objects.visible_to(by, "view").filter(key__in=keys).order_by("path")
    rows = [
        (page_of(node, node.name), lines(_bar(row) for row in node.limits.all() if row.used or row.limit is not None))
        for node in nodes.prefetch_related(Prefetch("limits", limits))[:_SHOWN]
    ]
    return Panel("Quota", ("Where", "Holds now"), rows, list_url("quotas.quotanode"), empty)


_SHOWN = 12
_UNUSED = "Has held nothing yet."


@panel("accounts.user")
def _usage_of_person(user: Any, by: Any) -> Panel:
    teams = [f"team:{pk}/user:{user.pk}" for pk in user.memberships.values_list("team_id", flat=True)]
    return _usage(by, [f"user:{user.pk}", *teams], _UNUSED)


@panel("teams.team")
def _usage_of_team(team: Any, by: Any) -> Panel:
    members = [f"team:{team.pk}/user:{pk}" for pk in team.memberships.values_list("user_id", flat=True)]
    return _usage(by, [f"team:{team.pk}", *members], _UNUSED)


@panel("teams.organization")
def _usage_of_organization(organization: Any, by: Any) -> Panel:
    teams = [f"team:{pk}" for pk in organization.teams.values_list("pk", flat=True)]
    return _usage(by, [f"org:{organization.pk}", *teams], _UNUSED)
