"""Registering clusters, seeing how they are, taking them out of use."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, Reasoned, panel, question_filter
from apps.access.admin.display import chip, document, lines, link, list_url, page_of, time_of, warning, when
from apps.access.admin.panels import ROWS
from apps.compute import registry, services
from apps.compute.choices import ClusterState
from apps.compute.forms import ClusterForm, field_name, settings_of
from apps.compute.models import Cluster, Workload
from apps.compute.reconcile import keep
from apps.quotas.choices import in_units, words

SINGLE_TENANT = "Single-tenant: nothing keeps the jobs of one person from the files and processes of another."


def state_of(cluster: Cluster) -> SafeString:
    """Show what the cluster says of itself, and what an operator decided about it."""
    shown = chip(cluster.state, ClusterState(cluster.state).label)
    if not cluster.is_enabled:
        return format_html("{} {}", shown, chip("disabled"))
    return format_html("{} {}", shown, chip("drained")) if cluster.is_drained else shown


def troubled(clusters: QuerySet[Any]) -> QuerySet[Any]:
    """Keep those that need a look: not well, not open, not isolating, or warning of something."""
    return clusters.exclude(
        is_enabled=True, is_drained=False, state=ClusterState.OK, capabilities__contains="isolates_tenants", warnings=[]
    )


_TROUBLES = question_filter(
    Cluster,
    [
        Question("any", "In any trouble", troubled, "clusters need a look", "bad"),
        Question("failing", "Down or not checked", lambda rows: rows.exclude(state=ClusterState.OK)),
        Question("closed", "Drained or disabled", lambda rows: rows.filter(Q(is_drained=True) | Q(is_enabled=False))),
        Question("shared", "Single-tenant", lambda rows: rows.exclude(capabilities__contains="isolates_tenants")),
    ],
    parameter="trouble",
)


@admin.register(Cluster)
class ClusterAdmin(GuardedAdmin):
    can_add = True
    can_change = True
    policy_change = "manage"
    form = ClusterForm
    list_display = ("name", "kind", "state_shown", "message", "isolation_short", "capacity_shown", "active", "checked")
    list_filter = (_TROUBLES, "kind")
    search_fields = ("name", "kind", "message")
    ordering = ("name",)
    checked = time_of("checked_at", "checked")
    readonly_fields = (
        "kind_shown",
        "state_shown",
        "message",
        "warnings_shown",
        "isolation",
        "capacity_shown",
        "checked",
        "settings_shown",
    )
    actions = (
        "check_now",
        Reasoned(
            "drain",
            services.drain_cluster,
            label="Drain",
            effect="Nothing new is placed there. What runs goes on; what waits for it keeps waiting.",
            done="drained",
            applies=lambda cluster: not cluster.is_drained,
        ),
        Reasoned(
            "undrain",
            partial(services.drain_cluster, drained=False),
            label="Take into use again",
            effect="New work is placed there again.",
            done="taken into use again",
            applies=lambda cluster: cluster.is_drained,
        ),
    )

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A join would read every workload that ever ran there; this reads the index of the active ones.
        workloads = Workload.objects.visible_to(request.user, "view").active().filter(cluster=OuterRef("pk"))
        active = Coalesce(Subquery(workloads.order_by().values("cluster").annotate(n=Count("pk")).values("n")), 0)
        rows: QuerySet[Any] = super().get_queryset(request).annotate(active_workloads=active)
        return rows

    @override
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the kind first: the form depends on it."""
        if request.GET.get("kind") not in registry.kinds() and self.has_add_permission(request):
            return self._choose_kind(request)
        return super().add_view(request, form_url, extra_context)

    def _choose_kind(self, request: HttpRequest) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Register a cluster",
            "opts": self.opts,
            "kinds": registry.kinds(),
        }
        return TemplateResponse(request, "admin/compute/cluster/choose_kind.html", context)

    @override
    def get_form(self, request: HttpRequest, obj: Cluster | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return super().get_form(request, obj, change, **{**kwargs, "form": forms.ModelForm})
        names = ["name", "is_enabled", "labels"]
        form: Any = super().get_form(request, obj, change, **{**kwargs, "fields": names})
        return partial_form(form, _kind(request, obj))

    @override
    def get_fieldsets(self, request: HttpRequest, obj: Cluster | None = None) -> Any:
        chosen = [field_name(setting) for setting in settings_of(_kind(request, obj))]
        if obj is not None and not self.has_change_permission(request, obj):
            chosen = ["settings_shown"]
        shown = ["state_shown", "message", "warnings_shown", "isolation", "capacity_shown", "checked"]
        status = [("How it is", {"fields": shown})] if obj else []
        own = ("Cluster", {"fields": ["name", "kind_shown", "is_enabled", "labels"]})
        return [*status, own, ("Settings of its backend", {"fields": chosen})]

    @override
    def save_model(self, request: HttpRequest, obj: Cluster, form: Any, change: bool) -> None:
        services.save_cluster(obj, by=request.user)

    @admin.action(description="Check now")
    def check_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Ask the backends how they are, as the health loop does every few seconds."""
        keep.check_health()
        for cluster in queryset:
            level = messages.SUCCESS if cluster.state == ClusterState.OK else messages.ERROR
            messages.add_message(request, level, f"{cluster}: {cluster.state}. {cluster.message}".strip())

    @display(description="kind")
    def kind_shown(self, cluster: Cluster) -> str:
        return cluster.kind

    @display(description="state", ordering="state")
    def state_shown(self, cluster: Cluster) -> SafeString:
        return state_of(cluster)

    @display(description="isolation")
    def isolation_short(self, cluster: Cluster) -> str | SafeString:
        return "separate" if cluster.isolates_tenants else warning("single-tenant")

    @display(description="isolation")
    def isolation(self, cluster: Cluster) -> str | SafeString:
        return "Jobs of different people are kept apart." if cluster.isolates_tenants else warning(SINGLE_TENANT)

    @display(description="warnings")
    def warnings_shown(self, cluster: Cluster) -> SafeString:
        return lines(warning(text) for text in cluster.warnings)

    @display(description="capacity")
    def capacity_shown(self, cluster: Cluster) -> SafeString:
        return lines(_capacity(cluster.capacity))

    @display(description="settings")
    def settings_shown(self, cluster: Cluster) -> SafeString:
        """Show to who only reads what is set. SECURITY: without what is secret."""
        open_ones = [setting.name for setting in settings_of(cluster.kind) if not setting.secret]
        return document({name: cluster.settings[name] for name in open_ones if name in cluster.settings})

    @display(description="active", ordering="active_workloads")
    def active(self, cluster: Any) -> SafeString:
        url = list_url("compute.workload", cluster__id__exact=cluster.pk, active="yes")
        return link(url, cluster.active_workloads)


@panel("compute.cluster")
def _latest_there(cluster: Cluster, by: Any) -> Panel:
    there = Workload.objects.visible_to(by, "view").filter(cluster=cluster)
    rows = there.select_related("user").order_by("-id")[:ROWS]
    cells = [(page_of(row), chip(row.state), page_of(row.user), when(row.state_changed_at)) for row in rows]
    url = list_url("compute.workload", cluster__id__exact=cluster.pk)
    return Panel("Recent workloads", ("Workload", "State", "Whose", "Since"), cells, url, "Nothing ever ran there.")


def partial_form(form: Any, kind: str) -> Any:
    """Bind the form to a kind of cluster: the admin makes forms without knowing of it."""

    class KindForm(form):  # type: ignore[misc]  # a form class made by Django at run time
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, kind=kind, **kwargs)

    return KindForm


def _kind(request: HttpRequest, obj: Cluster | None) -> str:
    return obj.kind if obj is not None else request.GET.get("kind", "")


def _capacity(capacity: Mapping[str, int]) -> list[str]:
    return [f"{in_units(resource, amount)} {words(resource)}" for resource, amount in capacity.items()]
