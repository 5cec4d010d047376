"""Asking for builds, and taking them away again. The building itself is `working`'s."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.access import policy
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.compute import placement
from apps.compute import services as compute
from apps.compute.choices import ACTIVE
from apps.compute.handlers import Prepared
from apps.compute.models import Cluster, Workload
from apps.core.errors import Conflict
from apps.core.locks import lock_rows
from apps.environments.choices import BuildState
from apps.environments.models import EnvironmentBuild, EnvironmentVersion

_TOUCH_AGAIN = timedelta(minutes=1)
_MOST_AT_ONCE = 100


class Provider:
    """What compute asks: `apps/compute/handlers.py:Environments`. `wanted` is what `reference` returned."""

    def prepare(self, wanted: Mapping[str, str], cluster: Cluster, *, anew: bool = False) -> Prepared:
        build = _asked_for(wanted["version"], cluster, anew=anew)
        name = wanted["name"]
        if build.state == BuildState.READY:
            unseen = Q(used_at=None) | Q(used_at__lt=Now() - _TOUCH_AGAIN)
            EnvironmentBuild.objects.filter(unseen, pk=build.pk).update(used_at=Now())
            return Prepared(key=build.key)
        if build.state == BuildState.FAILED:
            said = f"its environment {name} could not be built: {build.message}"
            return Prepared(said=said, has_failed=True)
        return Prepared(said=f"waiting: its environment {name} is being built{_so_far(build)}")

    def forget(self, wanted: Mapping[str, str], cluster: Cluster) -> None:
        rows = EnvironmentBuild.objects.filter(version__pk=wanted["version"], cluster=cluster, state=BuildState.READY)
        rows.update(state=BuildState.REMOVED)


def reference(version: EnvironmentVersion) -> dict[str, str]:
    """Return what a workload keeps of its environment."""
    return {"version": str(version.pk), "name": str(version)}


@transaction.atomic
def request_build(version: EnvironmentVersion, *, by: Any, cluster: str = "") -> EnvironmentBuild:
    """Have a version built, on the cluster of that name or where work would go; one that failed is tried again. Audited.

    Returns at once. Raises: NotAllowed, Invalid for an unknown cluster.
    """
    policy.require(by, "build", version)
    chosen = placement.choose({"name": cluster} if cluster else {})
    compute.require_environments(chosen)
    build = _asked_for(version.pk, chosen, anew=True, by=by)
    audit.record("build", version.environment, by=by, version=version.number, cluster=chosen.name)
    return build


@transaction.atomic
def retry_build(build: EnvironmentBuild, *, by: Any, reason: str) -> None:
    """Try a build again that failed or was removed. Audited. Raises: NotAllowed, Conflict for one that stands."""
    policy.require(by, "build", build.version)
    rows = EnvironmentBuild.objects.filter(pk=build.pk, state__in=[BuildState.FAILED, BuildState.REMOVED])
    if not _queue(rows):
        msg = "It stands, or is being built."
        raise Conflict(msg)
    audit.record("build", build.version.environment, by=by, reason=reason, version=build.version.number)


@transaction.atomic
def remove_build(build: EnvironmentBuild, *, by: Any, reason: str = "") -> None:
    """Take what was built off its cluster; the lock stays, and it is built again when it is needed. Audited.

    It goes for all versions with the same content. Raises: NotAllowed, Conflict while work uses it, or when it does not stand.
    """
    if by is not SYSTEM:
        policy.require(by, "remove", build)
    # LOCKING: all of one key, by their ids; work that begins meanwhile finds it gone, and has it built again.
    rows = lock_rows(
        EnvironmentBuild.objects.filter(cluster=build.cluster_id, key=build.key, state=BuildState.READY).exclude(key="")
    )
    if build.pk not in {row.pk for row in rows}:
        msg = "It does not stand."
        raise Conflict(msg)
    if _is_in_use(rows):
        msg = "Work that runs or waits uses it."
        raise Conflict(msg)
    EnvironmentBuild.objects.filter(pk__in=[row.pk for row in rows]).update(state=BuildState.REMOVED)
    EnvironmentBuild.objects.filter(pk=build.pk).update(state=BuildState.REMOVING, lease_until=None)
    audit.record("remove_build", build.version.environment, by=by, reason=reason, version=build.version.number)


def remove_unused() -> str:
    """Remove what no work has begun in for so many days; returns what it has to say."""
    before = Now() - timedelta(days=settings.ENVIRONMENT_DAYS)
    unused = Q(used_at__lt=before) | Q(used_at=None, finished_at__lt=before)
    rows = EnvironmentBuild.objects.filter(unused, state=BuildState.READY).select_related("version__environment")
    removed = 0
    for build in rows.order_by("pk")[:_MOST_AT_ONCE]:
        with transaction.atomic():
            try:
                remove_build(build, by=SYSTEM, reason=f"Not used for {settings.ENVIRONMENT_DAYS} days.")
            except Conflict:
                continue  # in use after all, or somebody else has removed it
            removed += 1
    return f"removed {removed}" if removed else ""


def _is_in_use(rows: list[EnvironmentBuild]) -> bool:
    versions = [str(row.version_id) for row in rows]
    working: QuerySet[Workload] = Workload.objects.filter(cluster=rows[0].cluster_id, state__in=sorted(ACTIVE))
    return working.filter(template__environment__version__in=versions).exists()


def _asked_for(version: Any, cluster: Cluster, *, anew: bool, by: Any = None) -> EnvironmentBuild:
    """Return the build of a version on a cluster, which from now on is on its way, unless it has failed."""
    defaults = {"requested_by": by}
    build, _ = EnvironmentBuild.objects.get_or_create(version_id=version, cluster=cluster, defaults=defaults)
    again = [BuildState.REMOVED, *([BuildState.FAILED] if anew else [])]
    if build.state in again and _queue(EnvironmentBuild.objects.filter(pk=build.pk, state__in=again)):
        build.refresh_from_db()
    found: EnvironmentBuild = build
    return found


def _queue(rows: QuerySet[EnvironmentBuild]) -> bool:
    fresh: dict[str, Any] = {"state": BuildState.QUEUED, "message": "", "lines": [], "tries": 0, "next_try_at": Now()}
    return bool(rows.update(**fresh))


def _so_far(build: EnvironmentBuild) -> str:
    return f" ({build.message})" if build.message else ""
