"""Leases: who looks at a workload now. A lease that ran out is anybody's; its holder's late writes are refused."""

from collections.abc import Collection
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from apps.compute.models import Loop, Workload
from apps.core import failpoints

LEASE_SECONDS = 15

_CLAIM = """
    UPDATE compute_workload SET lease_owner = %(owner)s, lease_epoch = lease_epoch + 1,
           lease_until = now() + make_interval(secs => %(seconds)s)
     WHERE id = ANY(ARRAY(SELECT id FROM compute_workload
                   WHERE state <> 'queued' AND next_reconcile_at <= now() + make_interval(secs => %(early)s)
                     AND (lease_until IS NULL OR lease_until < now()) AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))
                   ORDER BY next_reconcile_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING *
"""

_LEASE_LOOP = """
    INSERT INTO compute_loop (name, owner, lease_until, note) VALUES (%(name)s, %(owner)s, now() + make_interval(secs => %(seconds)s), '')
    ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until
     WHERE compute_loop.owner = EXCLUDED.owner OR compute_loop.lease_until IS NULL OR compute_loop.lease_until < now()
    RETURNING 1
"""


def claim_due(owner: str, *, limit: int, ids: Collection[UUID] | None = None) -> list[Workload]:
    """Lease up to `limit` workloads that are due (or, of `ids`, even before they are) and return them."""
    given = {"owner": owner, "seconds": LEASE_SECONDS, "limit": limit, "early": 3600 if ids else 0}
    found = list(Workload.objects.raw(_CLAIM, {**given, "ids": list(ids) if ids else None}))
    if found:
        failpoints.hit("lease.after_acquire")
    return found


def release_lease(workload: Workload) -> None:
    """Let go of a workload, unless somebody else has taken it meanwhile."""
    Workload.objects.filter(pk=workload.pk, lease_epoch=workload.lease_epoch).update(lease_until=None)


def hold_loop(name: str, owner: str, *, seconds: float) -> bool:
    """Take or renew the named loop for `seconds`; false while another worker holds it."""
    with connection.cursor() as cursor:
        cursor.execute(_LEASE_LOOP, {"name": name, "owner": owner, "seconds": seconds})
        return cursor.fetchone() is not None


def note_loop(name: str, note: str = "") -> None:
    """Remember that the loop got through, and what it has to say."""
    Loop.objects.filter(pk=name).update(ran_at=Now(), note=note)
