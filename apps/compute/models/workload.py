from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.compute.choices import ACTIVE, TERMINAL, DesiredState, State
from apps.compute.models.cluster import Cluster
from apps.compute.querysets import WorkloadQuerySet
from apps.core.ids import new_id


class Workload(models.Model):
    """What to run, how much it needs, where it is, what became of it.

    `desired_state` is written by services for people, `state` only through `transition`. What owns a workload
    (an experiment, a notebook session) points to it; a workload does not know its owner.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, null=True, related_name="+")
    label = models.CharField(max_length=200)
    subject = models.CharField(max_length=80, help_text='What its run token is bound to, as "model:id".')
    template = models.JSONField(help_text="The attempt-independent part of its specification.")
    quota_node = models.ForeignKey("quotas.QuotaNode", on_delete=models.PROTECT, related_name="+")
    amounts = models.JSONField()
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="workloads")
    priority_class = models.CharField(max_length=40, blank=True)
    rank = models.SmallIntegerField(default=0, help_text="Among everybody's work: of its priority class.")
    priority = models.SmallIntegerField(default=0, help_text="Among its owner's work.")
    size = models.FloatField(db_default=0.0, help_text="What it may use at most, as fair share counts it.")
    timeout_seconds = models.PositiveIntegerField(null=True)
    grace_seconds = models.PositiveIntegerField(default=10)
    retries = models.PositiveSmallIntegerField(default=0)
    retries_left = models.PositiveSmallIntegerField(default=0)

    desired_state = models.CharField(max_length=4, choices=DesiredState, default=DesiredState.RUN)
    stop_cause = models.CharField(max_length=300, blank=True)
    resumes = models.BooleanField(default=False, help_text="Whether it is queued again once it has stopped: preempted.")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    state_version = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)
    attempt_no = models.PositiveIntegerField(default=0)
    exit_code = models.IntegerField(null=True)

    created_at = models.DateTimeField(db_default=models.functions.Now())
    queued_at = models.DateTimeField(db_default=models.functions.Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    state_changed_at = models.DateTimeField(db_default=models.functions.Now())
    last_seen_at = models.DateTimeField(null=True, help_text="When the backend last said anything certain.")
    missing_since = models.DateTimeField(null=True)

    next_reconcile_at = models.DateTimeField(null=True, db_default=models.functions.Now())
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    objects = WorkloadQuerySet["Workload"].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="workload_state_known"),
            models.CheckConstraint(
                condition=models.Q(finished_at=None) | models.Q(finished_at__gte=models.F("started_at")),
                name="workload_ends_after_start",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["next_reconcile_at"], name="workload_due", condition=models.Q(next_reconcile_at__isnull=False)
            ),
            models.Index(
                fields=["cluster", "state"], name="workload_active", condition=models.Q(state__in=sorted(ACTIVE))
            ),
            models.Index(fields=["state", "-id"], name="workload_by_state"),
            models.Index(
                fields=["quota_node", "-rank", "-priority", "size", "queued_at", "id"],
                name="workload_queue",
                condition=models.Q(state=State.QUEUED),
                include=["desired_state"],  # so that places are counted in the index alone
            ),
            models.Index(
                fields=["cluster"],
                name="workload_held",
                condition=models.Q(state=State.QUEUED, next_reconcile_at=None),
            ),
            models.Index(fields=["queued_at"], name="workload_waiting", condition=models.Q(state=State.QUEUED)),
            models.Index(
                fields=["-state_changed_at"],
                name="workload_ended_badly",
                condition=models.Q(state__in=["failed", "lost"]),
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.label

    @property
    def is_finished(self) -> bool:
        return self.state in TERMINAL


class Attempt(models.Model):
    """One execution of a workload under one name on one backend; at most one is alive."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workload = models.ForeignKey(Workload, on_delete=models.CASCADE, related_name="attempts")
    no = models.PositiveIntegerField()
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="+")
    handle = models.CharField(max_length=63, unique=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())
    submitted_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=10, choices=State, blank=True)
    reason = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)
    exit_code = models.IntegerField(null=True)
    cpu_seconds = models.FloatField(null=True, help_text="CPU time used so far, or in all; none where nobody can tell.")
    memory_bytes = models.BigIntegerField(null=True, help_text="Memory in use at the last look.")
    peak_memory_bytes = models.BigIntegerField(null=True, help_text="The most memory that was seen in use.")
    measured_at = models.DateTimeField(null=True)
    log_bytes = models.BigIntegerField(default=0)
    log_ended_at = models.DateTimeField(null=True, help_text="When the whole log had been stored.")
    removed_at = models.DateTimeField(null=True, help_text="When the backend had forgotten it.")

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["workload", "no"], name="one_attempt_per_number")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["cluster"], name="attempt_on_cluster", condition=models.Q(removed_at=None))
        ]

    @override
    def __str__(self) -> str:
        return self.handle


class WorkloadEvent(models.Model):
    """One state change: from, to, by whom, why. Append-only."""

    id = models.BigAutoField(primary_key=True)
    workload = models.ForeignKey(Workload, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    attempt_no = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(db_default=models.functions.Now())
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["workload", "seq"], name="one_event_per_step")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"
