"""Writes on clusters and workloads, on behalf of people. What becomes of a workload is written by reconcile."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from apps.access import policy
from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.budgets import services as budgets
from apps.compute import held, placement, registry
from apps.compute.choices import ON_BACKEND, TERMINAL, DesiredState, OpenTo, State
from apps.compute.lifecycle import transition
from apps.compute.models import Cluster, PriorityClass, Workload, WorkloadEvent
from apps.core import failpoints, wakeup
from apps.core.errors import Conflict, Invalid, NeverFits
from apps.core.inserts import insert
from apps.core.locks import lock_row
from apps.quotas import services as quotas
from apps.quotas.choices import EXPERIMENTS, GPU, NodeKind
from apps.quotas.models import QuotaNode

END_MARGIN_SECONDS = 30  # from a time limit to the confirmed end, beside the grace


@dataclass(frozen=True, slots=True)
class WorkloadRequest:
    """What an owner (an experiment, …) asks compute to run."""

    label: str
    subject: str  # what the run token is bound to: "run:<id>"
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    token_scopes: tuple[str, ...] = ()
    code: Mapping[str, Any] | None = None  # {"sha256", "format", "size_bytes"}
    cpu_milli: int = 1000
    memory_bytes: int = 1 << 30
    gpu_milli: int = 0
    disk_bytes: int = 0
    timeout_seconds: int | None = None
    grace_seconds: int = 10
    retries: int = 0
    priority: int = 0
    priority_class: str = ""
    gpu_model: str = ""
    other: Mapping[str, int] = field(default_factory=dict)  # what else is limited, by name
    cluster: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  # what `handlers.Environments` reads; none: {}
    source: Mapping[str, str] = field(
        default_factory=dict
    )  # code to be fetched, as `handlers.Sources` reads it; none: {}
    credentials: Sequence[Mapping[str, str]] = ()  # as apps.credentials.services.require_usable returns them

    @property
    def amounts(self) -> dict[str, int]:
        needs = {"cpu": self.cpu_milli, "memory": self.memory_bytes, "gpu": self.gpu_milli, "disk": self.disk_bytes}
        if self.gpu_model:
            needs[f"{GPU}:{self.gpu_model}"] = self.gpu_milli
        needs |= self.other
        return {resource: amount for resource, amount in needs.items() if amount} | {EXPERIMENTS: 1}


def request_workload(request: WorkloadRequest, *, user: Any, team: Any, node: QuotaNode) -> Workload:
    """Queue a workload, in its owner's transaction. Effects: its row and first event; compute is woken after the commit.

    The caller has judged that `user` may submit. Raises: NeverFits, Invalid when no cluster matches.
    """
    cluster = placement.choose(request.cluster)
    quotas.require_known(request.amounts)
    quotas.require_possible(node, _node_key(cluster), request.amounts)
    _require_affordable(request, node, cluster)
    chosen = priority_class(request.priority_class, user=user, team=team)
    template = {
        "command": list(request.command),
        "env": dict(request.env),
        "code": request.code,
        "token_scopes": list(request.token_scopes),
        "credentials": [dict(entry) for entry in request.credentials],
        "environment": dict(request.environment),
        "source": dict(request.source),
        "resources": [request.cpu_milli, request.memory_bytes, request.gpu_milli, request.disk_bytes],
    }
    workload = Workload(
        user=user,
        team=team,
        label=request.label,
        subject=request.subject,
        template=template,
        quota_node=node,
        amounts=request.amounts,
        cluster=cluster,
        priority=request.priority,
        priority_class=request.priority_class,
        rank=chosen.rank if chosen else 0,
        size=_size(request),
        timeout_seconds=request.timeout_seconds,
        grace_seconds=request.grace_seconds,
        retries=request.retries,
        retries_left=request.retries,
        **held.hold(template, cluster),
    )
    insert(workload, WorkloadEvent(workload=workload, seq=0, to_state=State.QUEUED, actor=str(user)))
    wakeup.poke("compute")
    return workload


def worst_seconds(timeout: int | None, grace: int) -> int | None:
    """Return how long work holds what it has, at most; None: nobody knows."""
    return None if timeout is None else timeout + grace + END_MARGIN_SECONDS


def _size(request: WorkloadRequest) -> float:
    """Return what it may use at most; of work without a time limit, what it is taken to use."""
    worst = worst_seconds(request.timeout_seconds, request.grace_seconds)
    return quotas.weigh(request.amounts) * (settings.QUEUE_ASSUMED_RUN.total_seconds() if worst is None else worst)


def _require_affordable(request: WorkloadRequest, node: QuotaNode, cluster: Cluster) -> None:
    """Refuse what costs more, at worst, than a budget on its path has in a whole period. Raises: NeverFits."""
    worst = worst_seconds(request.timeout_seconds, request.grace_seconds)
    short = budgets.estimate(node.path, cluster.pk, request.amounts, worst).short
    if short is not None and short.is_final:
        msg = f"{short.message[:1].upper()}{short.message[1:]}."
        raise NeverFits(msg, resource="money", need=short.need_micros)


def usable_classes(user: Any, teams: Collection[Any]) -> QuerySet[PriorityClass]:
    """Return the priority classes that `user` may give to work in one of `teams`, by their ids."""
    roles = memberships_of(user).roles
    maintains = any(roles.get(team, Role.NONE) >= Role.MANAGER for team in teams)
    open_to = {OpenTo.EVERYONE, *([OpenTo.MAINTAINERS] if maintains else []), *(OpenTo if user.is_superuser else [])}
    return PriorityClass.objects.filter(open_to__in=open_to)


def priority_class(name: str, *, user: Any, team: Any) -> PriorityClass | None:
    """Return the class of that name which `user` may give to work in `team`, None for no name. Raises: Invalid."""
    if not name:
        return None
    usable = usable_classes(user, [team.pk] if team else [])
    found: PriorityClass | None = usable.filter(name=name).first()
    if found is None:
        names = ", ".join(usable.values_list("name", flat=True)) or "none"
        raise Invalid(errors={"priority_class": [f"You may not use that. For you there are: {names}."]})
    return found


@transaction.atomic
def request_stop(workload: Workload, *, by: Any, reason: str = "") -> bool:
    """Ask for the end of a workload; reconcile does it. The owner's service has judged that `by` may.

    Returns whether this is news: false when it was asked before, or the workload is stopped already.
    Raises: Conflict when it ended otherwise.
    """
    row = lock_row(Workload.objects.filter(pk=workload.pk))
    is_asked = row.desired_state == DesiredState.STOP and not row.resumes
    if row.state == State.STOPPED or (is_asked and not row.is_finished):
        return False
    if row.is_finished:
        msg = f"It has already {row.state}."
        raise Conflict(msg, state=row.state)
    cause = f"stopped by {by}" + (f": {reason}" if reason else "")
    Workload.objects.filter(pk=row.pk).update(
        desired_state=DesiredState.STOP, stop_cause=cause[:300], resumes=False, next_reconcile_at=Now()
    )
    failpoints.hit("cancel.after_desired")
    wakeup.poke("compute")
    return True


@transaction.atomic
def preempt(workload: Workload, *, cause: str) -> bool:
    """Stop what runs, as for a person, to queue it again when it has ended: the platform needs what it holds.

    It gets the signal and the grace of any stop, to save what it has. Returns false when it has ended, or is being stopped.
    """
    row = lock_row(Workload.objects.filter(pk=workload.pk))
    if row.state not in ON_BACKEND or row.desired_state == DesiredState.STOP:
        return False
    facts = {"desired_state": DesiredState.STOP, "stop_cause": cause[:300], "resumes": True}
    Workload.objects.filter(pk=row.pk).update(**facts, next_reconcile_at=Now())
    audit.record("preempt", row, by=SYSTEM, reason=cause)
    wakeup.poke("compute")
    return True


@transaction.atomic
def request_retry(workload: Workload, *, by: Any) -> None:
    """Queue a new attempt of a workload that failed, was stopped or lost. The owner's service has judged that `by` may.

    Raises: Conflict while it runs, or when it succeeded.
    """
    row = lock_row(Workload.objects.filter(pk=workload.pk))
    if row.state not in TERMINAL - {State.SUCCEEDED}:
        msg = f"It is {row.state}; only what failed, was stopped or lost can be retried."
        raise Conflict(msg, state=row.state)
    transition(
        row,
        State.QUEUED,
        actor=by,
        desired_state=DesiredState.RUN,
        stop_cause="",
        queued_at=Now(),
        started_at=None,
        finished_at=None,
        exit_code=None,
        missing_since=None,
        retries_left=F("retries"),
        **{"reason": "Retried", **held.hold(row.template, row.cluster)},
    )
    wakeup.poke("compute")


@transaction.atomic
def requeue_now(workload: Workload, *, by: Any, reason: str) -> None:
    """Make the loops look at a workload at once, dropping a stuck lease. Operators only. Audited. Raises: NotAllowed."""
    policy.require(by, "operate", workload)
    Workload.objects.filter(pk=workload.pk).exclude(state__in=TERMINAL).update(
        next_reconcile_at=Now(), lease_until=None, lease_epoch=F("lease_epoch") + 1
    )
    audit.record("requeue", workload, by=by, reason=reason)
    wakeup.poke("compute")


@transaction.atomic
def force_stop(workload: Workload, *, by: Any, reason: str) -> None:
    """Stop somebody's workload as an operator. Audited. Raises: NotAllowed, Conflict when it has ended."""
    policy.require(by, "operate", workload)
    request_stop(workload, by=by, reason=reason)
    audit.record("force_stop", workload, by=by, reason=reason)


@transaction.atomic
def save_cluster(cluster: Cluster, *, by: Any) -> Cluster:
    """Register or change a cluster after its backend has accepted the settings. Audited. Raises: NotAllowed, Invalid."""
    is_new = cluster._state.adding  # noqa: SLF001 -- documented Django API
    if by is not SYSTEM and not by.is_superuser:
        policy.require(by, "manage", cluster)
    registry.parse_settings(cluster.kind, cluster.settings)
    if not isinstance(cluster.labels, dict):
        raise Invalid(errors={"labels": ["A JSON object."]})
    cluster.save()
    cluster_node(cluster)
    audit.record("create" if is_new else "update", cluster, by=by, kind=cluster.kind)
    wakeup.poke("compute")
    return cluster


@transaction.atomic
def drain_cluster(cluster: Cluster, *, by: Any, reason: str, drained: bool = True) -> None:
    """Take no new work there (or again). What runs goes on. Audited. Raises: NotAllowed."""
    policy.require(by, "manage", cluster)
    Cluster.objects.filter(pk=cluster.pk).update(is_drained=drained)
    audit.record("drain" if drained else "undrain", cluster, by=by, reason=reason)
    wakeup.poke("compute")


def require_environments(cluster: Cluster) -> None:
    """Let pass a cluster that builds environments. Raises: Invalid."""
    held.require_environments(cluster)


def settle_held() -> str:
    """Let go what has its code and its environment now, and end what cannot have them; returns what there is to say."""
    return held.settle()


def cluster_node(cluster: Cluster) -> QuotaNode:
    """Return the quota node that stands for the cluster's capacity."""
    return quotas.ensure_node(NodeKind.CLUSTER, _node_key(cluster), name=cluster.name, limits={})


def _node_key(cluster: Cluster) -> str:
    return f"cluster:{cluster.pk}"


def ensure_local_cluster() -> Cluster:
    """Return the cluster of this machine, registering it on the first start. Its settings name our interpreter."""
    known = Cluster.objects.filter(name="local").first()
    if known is not None:
        return known
    home = Path(settings.FATHOM_HOME)
    chosen = {
        "jobs_root": str(settings.JOBS_ROOT),
        "interpreter": sys.executable,
        "hidden_paths": [str(home)],
    }
    return save_cluster(Cluster(name="local", kind="local", settings=chosen), by=SYSTEM)


@transaction.atomic
def release_leaked(key: str) -> None:
    """Give back what an ended attempt still holds: the audit loop's repair."""
    quotas.release(key)
