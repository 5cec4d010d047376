"""Limits, and what holds them, for operators."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import display
from django.db.models import Case, Prefetch, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin
from apps.access.admin.display import NOTHING, lines, meter, related, time_of
from apps.access.admin.filters import is_null
from apps.quotas import services
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.forms import LimitsForm, field_name, label
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation
from apps.quotas.querysets import under_pressure, used_up


class PressureFilter(admin.SimpleListFilter):
    title = "question"
    parameter_name = "pressure"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("90", "Over 90 % of a limit"), ("100", "At or over a limit"), ("none", "Without any limit")]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        limits = QuotaLimit.objects.visible_to(request.user, "view")
        if self.value() == "90":
            return queryset.filter(pk__in=under_pressure(limits).values("node"))
        if self.value() == "100":
            return queryset.filter(pk__in=used_up(limits).values("node"))
        if self.value() == "none":
            return queryset.exclude(pk__in=limits.filter(limit__isnull=False).values("node"))
        return queryset


@admin.register(QuotaNode)
class QuotaNodeAdmin(GuardedAdmin):
    """The quota tree, and its limits. A node comes into being with the first work of its person or team."""

    can_change = True
    policy_change = "manage"
    form = LimitsForm
    list_filter = (PressureFilter, "kind")
    search_fields = ("name", "key")
    search_help_text = "Person, team, organization or cluster"
    ordering = (Case(When(kind=NodeKind.CLUSTER, then=Value(1)), default=Value(0)), "path")
    readonly_fields = ("place", "kind", "held")

    @override
    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        return ("place", "kind", *(_column(resource) for resource in settings.QUOTA_RESOURCES))

    @override
    def get_fieldsets(self, request: HttpRequest, obj: QuotaNode | None = None) -> Any:
        limits = [field_name(resource) for resource in settings.QUOTA_RESOURCES]
        return [
            (None, {"fields": ["place", "kind", "held"]}),
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
    list_filter = (is_null("released_at", yes="Held now", no="Given back", title="question"),)
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
