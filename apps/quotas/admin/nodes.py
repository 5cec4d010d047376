"""The quota tree: limits, what may be borrowed, weights, groups, moves."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Case, F, Prefetch, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, Reasoned, ReasonForm, panel, question_filter
from apps.access.admin.autocompletes import CheckedAutocomplete
from apps.access.admin.display import NOTHING, lines, list_url, meter, page_of
from apps.access.admin.guarded import may_operate
from apps.quotas import limits_file, services
from apps.quotas.choices import HOLDERS, Known, NodeKind, in_units, words
from apps.quotas.forms import LimitsFileForm, LimitsForm, borrow_name, field_name, label
from apps.quotas.models import QuotaLimit, QuotaNode, Resource
from apps.quotas.querysets import nodes_under_pressure, nodes_used_up

_PRESSURE = question_filter(
    QuotaNode,
    [
        Question("90", "Over 90 % of a limit", nodes_under_pressure, "over 90 % of quota", "busy"),
        Question("100", "At or over a limit", nodes_used_up),
        Question("none", "Without any limit", lambda rows: rows.exclude(limits__limit__isnull=False)),
    ],
    parameter="pressure",
)


class GroupForm(ReasonForm):
    """What the new place is called."""

    name = forms.CharField(max_length=80, widget=forms.TextInput(attrs={"size": 40, "autocomplete": "off"}))
    field_order = ("name", "reason")


class MoveForm(ReasonForm):
    """Where the place is to hang."""

    parent = forms.ModelChoiceField(
        QuotaNode.objects.none(),
        label="Below",
        help_text="The platform, an organization, a team or a group.",
    )
    field_order = ("parent", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = QuotaNode._meta.get_field("parent")  # noqa: SLF001 -- documented Django API
        chosen: Any = self.fields["parent"]
        chosen.queryset = QuotaNode.objects.visible_to(self.by, "view")
        chosen.widget = CheckedAutocomplete(field, self.page.admin_site, choices=chosen.choices)


def _create_group(node: QuotaNode, *, by: Any, reason: str, name: str) -> QuotaNode:
    return services.create_group(name, node, by=by, reason=reason)


def _over(node: QuotaNode, _result: None) -> str:
    """Write where a node hangs, and which limits above it are exceeded there."""
    above = QuotaLimit.objects.filter(node_id__in=node.path[:-1], used__gt=F("limit") + F("borrow"))
    rows = above.select_related("node").order_by("node__depth", "resource")
    over = [
        f"{row.node} holds {in_units(row.resource, row.used)} of {in_units(row.resource, row.most or 0)} {words(row.resource)}"
        for row in rows
    ]
    said = (
        f"over the limit there: {', '.join(over)}; nothing new starts below it until that has ended"
        if over
        else "nothing is over a limit there"
    )
    return f"hangs below {node.parent}; {said}"


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
    readonly_fields = ("name", "kind", "held", "below")
    actions = (
        Reasoned(
            "create_group",
            _create_group,
            label="Put a group below",
            effect="A place of your own in the tree: a department, a grant. It has no limit until you give it one; move others below it.",
            done="has a group more",
            applies=lambda node: node.kind in HOLDERS,
            form=GroupForm,
            tell=lambda node, made: f"group {made.name} below {node}",
        ),
        Reasoned(
            "move",
            services.move_node,
            label="Move",
            effect="It hangs elsewhere, with all below it. What it holds counts there from now on. Nothing that runs is stopped.",
            done="moved",
            applies=lambda node: node.parent_id is not None,
            form=MoveForm,
            tell=_over,
        ),
    )

    @override
    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        return ("place", "kind", *(_column(one) for one in Resource.objects.known()))

    @override
    def get_fieldsets(self, request: HttpRequest, obj: QuotaNode | None = None) -> Any:
        limits = [(field_name(resource), borrow_name(resource)) for resource in Resource.objects.names()]
        shown = ["name", "kind", "below", "held"]
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": [*shown, "weight"]})]
        return [
            (None, {"fields": shown}),
            ("Limits", {"fields": [*limits, "weight", "reason"], "description": _HOW}),
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
        limits, weight = form.changed_limits(), form.changed_weight()
        by, reason = request.user, form.cleaned_data["reason"]
        if limits:
            changes = [(obj, resource, limit, borrow) for resource, (limit, borrow) in limits.items()]
            services.set_limits(changes, by=by, reason=reason)
        if weight is not None:
            services.set_weight(obj, weight, by=by, reason=reason)
        if not limits and weight is None:
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
        changes = [(change.node, change.resource, change.after, change.borrow) for change in draft.news]
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
        return lines(_bar(row) for row in node.limits.all() if _says_something(row))

    @display(description="hangs below")
    def below(self, node: QuotaNode) -> SafeString:
        return page_of(node.parent)


_HOW = (
    "How much the work below this place may hold at once, and how much more it may borrow of what its siblings leave unused,"
    " until they want it back. Write 8, 0.5 or 32Gi; leave empty for no limit."
)


def _says_something(row: QuotaLimit) -> bool:
    return bool(row.used or row.limit is not None)


def _bar(row: QuotaLimit) -> SafeString:
    limit = "" if row.limit is None else f" of {in_units(row.resource, row.limit)}"
    return meter(row.used, row.limit, f"{in_units(row.resource, row.used)}{limit} {words(row.resource)}{_lent(row)}")


def _lent(row: QuotaLimit) -> str:
    """Say what is borrowed, and what may be."""
    if not (row.borrow or row.borrowed):
        return ""
    return f", {in_units(row.resource, row.borrowed)} of {in_units(row.resource, row.borrow)} borrowed"


def _column(one: Known) -> Any:
    resource = one.name

    @display(description=label(one, with_unit=True))
    def column(node: QuotaNode) -> SafeString:
        row = next((row for row in node.limits.all() if row.resource == resource), None)
        if row is None or (row.limit is None and not row.used):
            return NOTHING
        limit = "no limit" if row.limit is None else in_units(resource, row.limit)
        lent = f" (+{in_units(resource, row.borrow)})" if row.borrow and row.limit is not None else ""
        return meter(row.used, row.limit, f"{in_units(resource, row.used)} / {limit}{lent}")

    column.__name__ = f"column_{resource}"
    return column


def _usage(by: Any, keys: list[str], empty: str) -> Panel:
    limits = QuotaLimit.objects.visible_to(by, "view").order_by("resource")
    nodes = QuotaNode.objects.visible_to(by, "view").filter(key__in=keys).order_by("path")
    rows = [
        (page_of(node, node.name), lines(_bar(row) for row in node.limits.all() if _says_something(row)))
        for node in nodes.prefetch_related(Prefetch("limits", limits))[:_SHOWN]
    ]
    return Panel("Quota", ("Where", "Holds now"), rows, list_url("quotas.quotanode"), empty)


@panel("quotas.quotanode")
def _children(node: QuotaNode, by: Any) -> Panel:
    limits = QuotaLimit.objects.visible_to(by, "view").order_by("resource")
    rows = QuotaNode.objects.visible_to(by, "view").filter(parent=node).order_by("kind", "name")
    cells = [
        (
            page_of(row, row.name),
            row.get_kind_display(),
            row.weight,
            lines(_bar(limit) for limit in row.limits.all() if _says_something(limit)),
        )
        for row in rows.prefetch_related(Prefetch("limits", limits))[:_SHOWN]
    ]
    url = list_url("quotas.quotanode", parent__id__exact=node.pk)
    return Panel("Below it", ("Who", "Kind", "Weight", "Holds now"), cells, url, "Nothing hangs below it.")


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
