"""Attempts, events and loops: what the loops wrote down."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.safestring import SafeString

from apps.access.admin import GuardedAdmin, Question, RecordAdmin, question_filter
from apps.access.admin.display import NOTHING, chip, related, size, time_of
from apps.access.admin.filters import one_of
from apps.compute.choices import State
from apps.compute.models import Attempt, Loop, WorkloadEvent

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
LATE = timedelta(seconds=60)  # a loop renews its lease with every run; this long after its end, nobody runs it
_BAD = (State.FAILED, State.LOST)


def late(loops: Any) -> Any:
    """Keep the loops that nobody runs."""
    return loops.filter(Q(ran_at=None) | Q(lease_until=None) | Q(lease_until__lt=Now() - LATE))


_ATTEMPTS = question_filter(
    Attempt,
    [
        Question(
            "bad", "Failed in the last day", lambda rows: rows.filter(verdict__in=_BAD, finished_at__gt=Now() - _DAY)
        ),
        Question(
            "left",
            "Ended, still on its cluster",
            lambda rows: rows.filter(removed_at=None, finished_at__lt=Now() - _HOUR),
        ),
        Question(
            "unlogged",
            "Ended, log never complete",
            lambda rows: rows.filter(log_ended_at=None, finished_at__lt=Now() - _HOUR),
        ),
    ],
)
_EVENTS = question_filter(
    WorkloadEvent,
    [
        Question("hour", "In the last hour", lambda rows: rows.filter(at__gt=Now() - _HOUR)),
        Question(
            "bad", "Failed or lost in the last day", lambda rows: rows.filter(to_state__in=_BAD, at__gt=Now() - _DAY)
        ),
    ],
)
_LOOPS = question_filter(Loop, [Question("late", "Late", late, "loops late", "bad")], is_record=True)


@admin.register(Attempt)
class AttemptAdmin(GuardedAdmin):
    list_display = (
        "handle", "workload_shown", "no", "verdict_shown", "reason", "exit_code", "cluster_shown", "started", "finished",
        "log_size",
    )  # fmt: skip
    list_filter = (_ATTEMPTS, "verdict", "cluster")
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
    list_filter = (_EVENTS, one_of("to_state", State.choices, title="became"), ("at", admin.DateFieldListFilter))
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
    list_filter = (_LOOPS,)
    ordering = ("name",)
    fields = ("name", "ran", "note", "owner", "held")
    ran = time_of("ran_at", "last run")
    held = time_of("lease_until", "lease ends")
