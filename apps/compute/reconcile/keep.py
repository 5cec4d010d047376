"""The slow loops: health of the clusters, sweep of what nobody owns, audit of the books, purge of the old."""

from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.models import IdempotencyRecord
from apps.access.principal import SYSTEM
from apps.accounts.models import LoginFailure, UserSession
from apps.compute import registry, services
from apps.compute.backends.base import Inventory, Unavailable
from apps.compute.choices import ClusterState
from apps.compute.contract import BackendHealth
from apps.compute.models import Attempt, Cluster
from apps.core import failpoints
from apps.core.errors import Invalid, Unready
from apps.quotas import services as quotas
from apps.quotas.models import Reservation
from apps.sharing import services as sharing
from apps.storage import services as storage

logger = structlog.get_logger(__name__)

_KEEP_ANSWERS = timedelta(days=7)
_KEEP_FAILURES = timedelta(days=1)
_KEEP_SHARES = timedelta(days=7)  # after their end, in which nobody has anything of them
_suspects: dict[str, set[str]] = {}  # cluster -> names that one sweep found ownerless


def check_health() -> str:
    """Ask every enabled cluster how it is, and write its answer and capacity down."""
    bad = []
    for cluster in Cluster.objects.filter(is_enabled=True):
        health = _health_of(cluster)
        Cluster.objects.filter(pk=cluster.pk).update(
            state=ClusterState.OK if health.ok else ClusterState.DOWN,
            message=health.message,
            warnings=list(health.warnings),
            capabilities=sorted(health.capabilities),
            capacity=dict(health.capacity),
            checked_at=Now(),
        )
        quotas.set_capacity(services.cluster_node(cluster), health.capacity)
        if not health.ok:
            bad.append(cluster.name)
    return f"down: {', '.join(bad)}" if bad else ""


def _health_of(cluster: Cluster) -> BackendHealth:
    try:
        return registry.connect(cluster.kind, cluster.settings).health()
    except Invalid as error:
        return BackendHealth(ok=False, message=f"its settings are not understood: {error.detail}")


def sweep() -> str:
    """Remove from the backends what no attempt owns, after two sweeps have found it so. A failed listing convicts nobody."""
    removed = 0
    for cluster in Cluster.objects.filter(is_enabled=True):
        try:
            backend = registry.connect(cluster.kind, cluster.settings)
            if isinstance(backend, Inventory):
                removed += _sweep(cluster, backend)
        except (Unavailable, Invalid) as error:
            logger.warning("sweep_skipped", cluster=cluster.name, error=str(error))
    return f"removed {removed}" if removed else ""


def _sweep(cluster: Cluster, backend: Any) -> int:
    names = set(backend.list_names())
    owned = set(Attempt.objects.filter(handle__in=names, removed_at=None).values_list("handle", flat=True))
    before, _suspects[cluster.name] = _suspects.get(cluster.name, set()), names - owned
    convicted = before & _suspects[cluster.name]
    for name in convicted:
        failpoints.hit("sweep.before_delete")
        logger.warning("orphan_removed", cluster=cluster.name, name=name)
        backend.stop(name, grace=timedelta(0))
        backend.remove(name)
    return len(convicted)


def audit_books() -> str:
    """Recompute what is used; give back what an ended attempt still holds. Drift is loud: it is a bug."""
    ended = Attempt.objects.filter(handle=OuterRef("key")).exclude(verdict="")
    stuck = list(Reservation.objects.filter(Exists(ended), released_at=None).values_list("key", flat=True))
    for key in stuck:
        logger.error("reservation_leaked", key=key)
        services.release_leaked(key)
    wrong = quotas.drift()
    for line in wrong:
        logger.error("quota_drift", row=line)
    return "; ".join(wrong)


def count_shares() -> str:
    """Count what runs in fair share, and take back allocations whose time has passed."""
    quotas.count_running()
    expired = quotas.expire_allocations()
    return f"took back {expired}" if expired else ""


def collect_garbage() -> str:
    """Let files expire by their rules, and collect what nobody refers to any more from the store."""
    try:
        done = storage.collect(by=SYSTEM)
    except Unready as error:
        return f"not collected: {error.detail}"
    return str(done) if done.expired or done.marked or done.swept else ""


def purge() -> str:
    """Delete answers kept for repeats, failed logins and sessions that are past their time; end shares long expired."""
    IdempotencyRecord.objects.filter(created_at__lt=Now() - _KEEP_ANSWERS).delete()
    LoginFailure.objects.filter(at__lt=Now() - _KEEP_FAILURES).delete()
    UserSession.objects.run_out().delete()
    ended = sharing.end_expired_shares(timezone.now() - _KEEP_SHARES, by=SYSTEM)
    return f"ended {ended} expired shares" if ended else ""
