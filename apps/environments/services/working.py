"""Building: a worker leases one build after another. Right without any hint, and when it is killed at any moment.

What stands under a key was put there whole. A row says "building" only while somebody renews its lease.
"""

import hashlib
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.compute import registry
from apps.compute import services as compute
from apps.compute.backends.base import BuildFailed, EnvironmentBuilder, Unavailable
from apps.compute.contract import Recipe
from apps.core import failpoints
from apps.core.errors import Invalid, Stale
from apps.core.journal import LEASE_SECONDS, later
from apps.core.locks import claim_rows
from apps.environments.choices import BuildState
from apps.environments.models import EnvironmentBuild, EnvironmentLock, EnvironmentVersion
from apps.environments.services.journal import LOST, Journal, mine

_MOST_TRIES = 6
_SAME_KEY_AGAIN_SECONDS = 2


class _KeyTaken(Exception):
    """Another version with the same content is being built, or removed, on the same cluster."""


def build_due() -> str:
    """Build what is due, and finish removals; returns what it has to say."""
    done = 0
    while (build := _claim()) is not None:
        (_remove if build.state == BuildState.REMOVING else _build)(build)
        done += 1
    return f"worked on {done}" if done else ""


@transaction.atomic
def _claim() -> EnvironmentBuild | None:
    """Lease the first that is due. LOCKING: what another worker has locked is his."""
    rows = claim_rows(EnvironmentBuild.objects.due().with_details().order_by("next_try_at", "pk"), limit=1)
    if not rows:
        return None
    build: EnvironmentBuild = rows[0]
    was_cut_off = build.state == BuildState.BUILDING
    build.lease_epoch += 1
    changes: dict[str, Any] = {"lease_epoch": build.lease_epoch, "lease_until": later(LEASE_SECONDS)}
    if build.state != BuildState.REMOVING:  # which has its key from before
        build.state, build.key = BuildState.BUILDING, ""
        build.tries += was_cut_off
        changes |= {
            "state": build.state,
            "key": "",
            "tries": build.tries,
            "started_at": Now(),
            "log": "",
            "size_bytes": 0,
        }
    EnvironmentBuild.objects.filter(pk=build.pk).update(**changes)
    return build


def _build(build: EnvironmentBuild) -> None:
    journal = Journal(build)
    try:
        _require_patience(build)
        size = _make(build, _builder(build), journal)
    except BuildFailed as error:
        journal.say(f"\n{error}\n")
        _end(build, BuildState.FAILED, journal, message=str(error), lines=list(error.lines))
    except _KeyTaken:
        _postpone(
            build, journal, "the same packages are being built for another version", _SAME_KEY_AGAIN_SECONDS, tries=0
        )
    except (Unavailable, Invalid) as error:  # Invalid: the cluster's settings are no longer understood
        journal.say(f"\n{error}\n")
        _postpone(build, journal, str(error), min(300, 5 * 2**build.tries), tries=1)
    except Stale:
        return  # somebody else has it now
    else:
        _end(build, BuildState.READY, journal, size_bytes=size)
    compute.settle_held()


def _require_patience(build: EnvironmentBuild) -> None:
    """Give up what did not come to an end so often. Raises: BuildFailed."""
    if build.tries >= _MOST_TRIES:
        msg = build.message or f"it was cut off {build.tries} times"
        raise BuildFailed(msg)


def _make(build: EnvironmentBuild, builder: EnvironmentBuilder, journal: Journal) -> int:
    """Lock it, unless that was done once, and build what the lock says. Returns its size."""
    recipe = recipe_of(build.version)
    platform = builder.platform_of(recipe)
    lock = _locked(build.version, platform, builder, journal)
    key = key_of(platform, lock.text)
    _take_key(build, key, lock)
    if builder.has_environment(key):
        journal.say("The same packages stand here already.\n")
    size = builder.build(key, recipe, lock.text, journal.tell)
    failpoints.hit("environment.after_build")
    return size or _known_size(build, key)


def recipe_of(version: EnvironmentVersion) -> Recipe:
    return Recipe(version.python, tuple(version.packages), tuple(version.r_packages), version.image)


def key_of(platform: str, lock: str) -> str:
    """Name what a lock builds by its content: the same for all versions with the same packages."""
    return hashlib.sha256(f"{platform}\n{lock}".encode()).hexdigest()


def _locked(
    version: EnvironmentVersion, platform: str, builder: EnvironmentBuilder, journal: Journal
) -> EnvironmentLock:
    """Return the one lock of a version for a platform; of two that are made at once the first counts."""
    known = EnvironmentLock.objects.filter(version=version, platform=platform).first()
    if known is not None:
        return known
    text = builder.lock(recipe_of(version), journal.tell)
    digest = hashlib.sha256(text.encode()).hexdigest()
    made, _ = EnvironmentLock.objects.get_or_create(
        version=version, platform=platform, defaults={"text": text, "sha256": digest}
    )
    return made


def _take_key(build: EnvironmentBuild, key: str, lock: EnvironmentLock) -> None:
    """Write down what is being built. LOCKING: a unique index lets one row at a time work on a key of a cluster."""
    try:
        with transaction.atomic():
            changed = mine(build).update(key=key, lock=lock)
    except IntegrityError as error:
        raise _KeyTaken from error
    if not changed:
        raise Stale(LOST)
    build.key = key


def _remove(build: EnvironmentBuild) -> None:
    try:
        _builder(build).remove_environment(build.key)
    except (Unavailable, Invalid):
        return  # its lease runs out, and it is tried again
    mine(build).update(state=BuildState.REMOVED, lease_until=None, size_bytes=0)


def _builder(build: EnvironmentBuild) -> EnvironmentBuilder:
    return registry.environment_builder(build.cluster.kind, build.cluster.settings)


def _known_size(build: EnvironmentBuild, key: str) -> int:
    others = EnvironmentBuild.objects.filter(cluster=build.cluster, key=key, size_bytes__gt=0)
    return others.values_list("size_bytes", flat=True).first() or 0


@transaction.atomic
def _end(build: EnvironmentBuild, state: str, journal: Journal, **facts: Any) -> None:
    told: dict[str, Any] = {"message": "", "lines": [], "tries": 0, **facts}
    if mine(build).update(state=state, lease_until=None, finished_at=Now(), log=journal.text, **told):
        action = "built" if state == BuildState.READY else "build_failed"
        said = {"version": build.version.number, "cluster": build.cluster.name, "message": told["message"]}
        audit.record(action, build.version.environment, by=SYSTEM, **said)


def _postpone(build: EnvironmentBuild, journal: Journal, message: str, seconds: float, *, tries: int) -> None:
    again: dict[str, Any] = {"state": BuildState.QUEUED, "next_try_at": later(seconds), "lease_until": None}
    mine(build).update(**again, message=message, log=journal.text, tries=F("tries") + tries)
