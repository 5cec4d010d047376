"""Attempts, events and loops: what the loops wrote down."""

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString

from apps.access.admin import GuardedAdmin, RecordAdmin
from apps.access.admin.display import NOTHING, chip, related, size, time_of
from apps.access.admin.filters import one_of
from apps.compute.choices import State
from apps.compute.models import Attempt, Loop, WorkloadEvent


@admin.register(Attempt)
class AttemptAdmin(GuardedAdmin):
    list_display = (
        "handle", "workload_shown", "no", "verdict_shown", "reason", "exit_code", "cluster_shown", "started", "finished",
        "log_size",
    )  # fmt: skip
    list_filter = ("verdict", "cluster")
    list_select_related = ("workload", "cluster")
    search_fields = ("=handle", "workload__label")
    search_help_text = "Handle, name of the workload or a pasted id"
    ordering = ("-id",)
    fields = (
        "handle", "workload_shown", "no", "verdict_shown", "reason", "message", "exit_code", "cluster_shown", "created",
        "submitted", "started", "finished", "log_size", "log_ended", "removed",
    )  # fmt: skip
    workload_shown = related("workload")
    cluster_shown = related("cluster")
    created = time_of("created_at", "created")
    submitted = time_of("submitted_at", "submitted")
    started = time_of("started_at", "started")
    finished = time_of("finished_at", "finished")
    log_ended = time_of("log_ended_at", "log complete")
    removed = time_of("removed_at", "removed from the cluster")

    @display(description="verdict", ordering="verdict")
    def verdict_shown(self, attempt: Attempt) -> SafeString:
        return chip(attempt.verdict) if attempt.verdict else NOTHING

    @display(description="log", ordering="log_bytes")
    def log_size(self, attempt: Attempt) -> str:
        return size(attempt.log_bytes)


@admin.register(WorkloadEvent)
class WorkloadEventAdmin(GuardedAdmin):
    list_display = ("moment", "workload_shown", "before", "after", "attempt_no", "actor", "reason", "message")
    list_filter = (one_of("to_state", State.choices, title="became"), ("at", admin.DateFieldListFilter))
    list_select_related = ("workload",)
    search_fields = ("workload__label", "actor", "=reason")
    search_help_text = "Name of the workload, actor or reason"
    ordering = ("-id",)
    fields = ("moment", "workload_shown", "seq", "before", "after", "attempt_no", "actor", "reason", "message")
    moment = time_of("at", "when")
    workload_shown = related("workload")

    @display(description="from")
    def before(self, event: WorkloadEvent) -> SafeString:
        return chip(event.from_state) if event.from_state else NOTHING

    @display(description="to")
    def after(self, event: WorkloadEvent) -> SafeString:
        return chip(event.to_state)


@admin.register(Loop)
class LoopAdmin(RecordAdmin):
    list_display = ("name", "ran", "note", "owner", "held")
    ordering = ("name",)
    fields = ("name", "ran", "note", "owner", "held")
    ran = time_of("ran_at", "last run")
    held = time_of("lease_until", "lease ends")
