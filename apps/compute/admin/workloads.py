"""Workloads for operators: what is stuck or waits, why, and what can be done about it."""

import re
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import LatestInline, Panel, Question, Reasoned, ReasonForm, panel, question_filter
from apps.access.admin.display import (
    NOTHING,
    chip,
    document,
    lines,
    link,
    owner_of,
    page_of,
    page_url,
    related,
    time_of,
    when,
)
from apps.access.admin.display import duration as lasting
from apps.compute import priority_classes, services
from apps.compute.admin.pages import QueuePages
from apps.compute.choices import TERMINAL, State
from apps.compute.models import Attempt, PriorityClass, Workload, WorkloadEvent
from apps.compute.why import Why, explain
from apps.quotas.choices import in_units, words
from apps.quotas.models import QuotaNode

_HANDLE = re.compile(r"fth-([0-9a-f]{32})-[0-9]+")
STUCK_AFTER = timedelta(minutes=15)


_DAY = timedelta(days=1)
_QUESTIONS = question_filter(
    Workload,
    [
        Question(
            "stuck",
            "Stuck longer than 15 minutes",
            lambda rows: rows.stuck(STUCK_AFTER),
            "stuck over 15 minutes",
            "bad",
            1,
        ),
        Question("bad", "Finished badly today", lambda rows: rows.ended_badly(_DAY), "finished badly today", "bad", 2),
        Question("quota", "Waiting for quota", lambda rows: rows.waiting_for("QuotaFull"), "wait for quota", "busy"),
        Question(
            "reclaiming",
            "Waiting for what was lent",
            lambda rows: rows.waiting_for("Reclaiming"),
            "wait for what was lent",
            "busy",
        ),
        Question(
            "preempted",
            "Preempted, waiting again",
            lambda rows: rows.waiting_for("Preempted"),
            "preempted, wait again",
            "busy",
        ),
        Question(
            "patient",
            "Has waited more than a day",
            lambda rows: rows.filter(state=State.QUEUED, queued_at__lt=Now() - _DAY),
            "wait more than a day",
            "busy",
        ),
        Question("cluster", "Waiting for a drained cluster", lambda rows: rows.waiting_for("Drained")),
        Question("lost", "Lost in the last day", lambda rows: rows.ended_badly(_DAY).filter(state=State.LOST)),
        Question("long", "Running for more than a day", lambda rows: rows.running_for(_DAY)),
        Question("again", "Active, third attempt or later", lambda rows: rows.active().filter(attempt_no__gte=3)),
    ],
)


class ActiveFilter(admin.SimpleListFilter):
    title = "activity"
    parameter_name = "active"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Active"), ("no", "Ended")]

    @override
    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "yes":
            return queryset.active()
        return queryset.filter(state__in=TERMINAL) if self.value() == "no" else queryset


class AttemptInline(LatestInline):
    model = Attempt
    fields = ("no", "cluster", "verdict_shown", "reason", "exit_code", "started", "finished")
    ordering = ("-no",)
    verbose_name_plural = "latest attempts"

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("cluster")

    @display(description="verdict")
    def verdict_shown(self, attempt: Attempt) -> SafeString:
        return chip(attempt.verdict) if attempt.verdict else NOTHING

    started = time_of("started_at", "started")
    finished = time_of("finished_at", "finished")


class EventInline(LatestInline):
    model = WorkloadEvent
    fields = ("moment", "state", "attempt_no", "actor", "reason", "message")
    ordering = ("-seq",)
    verbose_name_plural = "latest events"
    moment = time_of("at", "when")

    @display(description="became")
    def state(self, event: WorkloadEvent) -> SafeString:
        return chip(event.to_state)


class ClassForm(ReasonForm):
    """Another priority class for work that waits; it gets the rank which that has now."""

    priority_class = forms.ModelChoiceField(
        PriorityClass.objects.none(),
        required=False,
        empty_label="none (rank 0)",
        help_text="With the rank that it has now.",
    )
    field_order = ("priority_class", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["priority_class"]
        field.queryset = PriorityClass.objects.visible_to(self.by, "view")
        field.label_from_instance = lambda row: f"{row.name} (rank {row.rank})"
        names = {row.priority_class for row in self.rows}
        if len(names) == 1:
            field.initial = field.queryset.filter(name=names.pop()).first()

    @override
    def told(self) -> dict[str, Any]:
        """Name the class even when it is the one they have: its rank may be another by now."""
        return {"priority_class": self.cleaned_data.get("priority_class")} if self.is_bound else {}

    @property
    def asks_first(self) -> bool:
        return True


@admin.register(Workload)
class WorkloadAdmin(QueuePages):
    """State is written by reconcile alone: here it is read, and wishes can be recorded."""

    list_display = (
        "label",
        "state_shown",
        "why",
        "for_so_long",
        "whose",
        "cluster_shown",
        "priority_class",
        "priority",
    )
    list_filter = (_QUESTIONS, "state", ActiveFilter, "cluster")
    list_select_related = ("user", "team", "cluster")
    search_fields = ("label", "user__username", "team__name", "=subject")
    search_help_text = "Name, person, team, handle or a pasted id"
    ordering = ("-id",)
    inlines = (AttemptInline, EventInline)
    actions = (
        Reasoned(
            "force_stop",
            services.force_stop,
            label="Force stop",
            effect="The job gets its grace period, then it is killed. Its owner sees your name and the reason.",
            done="asked to stop",
            applies=lambda workload: not workload.is_finished,
        ),
        Reasoned(
            "requeue",
            services.requeue_now,
            label="Look again now",
            effect="Drops the lease of whoever holds it and makes the loops look at it at once. Nothing is restarted.",
            done="will be looked at now",
            applies=lambda workload: not workload.is_finished,
        ),
        Reasoned(
            "set_class",
            priority_classes.set_priority_class,
            label="Change priority class",
            effect="It gets another place in the queue, among everybody's work. Nothing that runs is stopped for it.",
            done="moved in the queue",
            applies=lambda workload: workload.state == State.QUEUED,
            form=ClassForm,
        ),
    )
    fieldsets = (
        (None, {"fields": ("label", "state_shown", "why", "exit_code", "belongs_to", "user_shown", "team_shown")}),
        ("Where and how much", {"fields": (
            "cluster_shown", "amounts_shown", "quota_shown", "class_shown", "priority", "timeout", "retries_shown",
        )}),
        ("When", {"fields": ("created", "queued", "started", "finished", "for_so_long", "seen")}),
        ("For the loops", {"classes": ("collapse",), "fields": (
            "id", "desired_state", "stop_cause", "attempt_no", "state_version", "missing", "next_look", "lease_owner",
            "lease_epoch", "lease_ends",
        )}),
        ("Specification", {"classes": ("collapse",), "fields": ("template_shown",)}),
    )  # fmt: skip

    whose = owner_of("user", "team")
    user_shown = related("user")
    team_shown = related("team")
    cluster_shown = related("cluster")
    quota_shown = related("quota_node", "quota")
    for_so_long = time_of("state_changed_at", "state since")
    created = time_of("created_at", "created")
    queued = time_of("queued_at", "queued")
    started = time_of("started_at", "started")
    finished = time_of("finished_at", "finished")
    seen = time_of("last_seen_at", "last seen")
    missing = time_of("missing_since", "missing since")
    next_look = time_of("next_reconcile_at", "next look")
    lease_ends = time_of("lease_until", "lease ends")

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "team", "cluster", "quota_node")

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by the handle that a cluster knows: the workload's id is in it."""
        handle = _HANDLE.fullmatch(search_term.strip())
        return super().get_search_results(request, queryset, handle[1] if handle else search_term)

    @display(description="state", ordering="state")
    def state_shown(self, workload: Workload) -> SafeString:
        return chip(workload.state)

    @display(description="why")
    def why(self, workload: Workload) -> str | SafeString:
        return workload.message or workload.reason or NOTHING

    @display(description="belongs to")
    def belongs_to(self, workload: Workload) -> str | SafeString:
        """Link to the owner, which this app does not know: `subject` names it as "model:id"."""
        kind, _, pk = workload.subject.partition(":")
        metas = [model._meta for model in self.admin_site._registry]  # noqa: SLF001 -- documented Django API
        label = next((meta.label_lower for meta in metas if meta.model_name == kind), "")
        url = page_url(label, pk) if label else ""
        return link(url, f"{kind} {workload.label}") if url else workload.subject

    @display(description="amounts")
    def amounts_shown(self, workload: Workload) -> str:
        return ", ".join(f"{in_units(name, amount)} {words(name)}" for name, amount in workload.amounts.items())

    @display(description="priority class")
    def class_shown(self, workload: Workload) -> str:
        return f"{workload.priority_class or 'none'}, rank {workload.rank}"

    @display(description="time limit")
    def timeout(self, workload: Workload) -> str:
        limit = "none" if workload.timeout_seconds is None else lasting(workload.timeout_seconds)
        return f"{limit}; grace {workload.grace_seconds} s"

    @display(description="retries")
    def retries_shown(self, workload: Workload) -> str:
        return f"{workload.retries_left} left of {workload.retries}"

    @display(description="specification")
    def template_shown(self, workload: Workload) -> SafeString:
        return document(workload.template)


@panel("compute.workload")
def _why_it_waits(workload: Workload, by: Any) -> Panel | None:
    """Say what is in its way, with all numbers: operators may see them."""
    if workload.state != State.QUEUED:
        return None
    why = explain(workload, by=by)
    shown = [
        ("What it is told", why.sentence),
        *(("Place in the queue", str(place)) for place in [why.position] if place),
        *(("May start by", when(moment)) for moment in [why.starts_at] if moment),
        *_obstacles(why, workload, by),
        *(("What would help", remedy) for remedy in why.remedies),
        *((f"Used lately: {one.node}", _used(one.cpu_hours, one.weight)) for one in why.standing),
    ]
    return Panel("Why it waits", ("What", "How it is"), shown, reverse("admin:compute_workload_queue"))


def _obstacles(why: Why, workload: Workload, by: Any) -> list[tuple[SafeString, SafeString]]:
    """Name each limit in its way, with a link to where it is changed."""
    cluster = services.cluster_node(workload.cluster)
    above = QuotaNode.objects.visible_to(by, "view").filter(pk__in=workload.quota_node.path)
    pages = {str(node): page_of(node) for node in [*above, cluster]}
    return [
        (
            format_html("In its way: {}", pages.get(one.node, one.node)),
            lines([one.sentence, f"It can be changed by {', '.join(one.changed_by)}."]),
        )
        for one in why.obstacles
    ]


def _used(cpu_hours: float, weight: int) -> str:
    return f"{cpu_hours:,.2f} CPU hours, weight {weight}"
