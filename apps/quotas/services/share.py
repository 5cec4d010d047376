"""Fair share: what the subtree of each node has used lately, so that who used less goes first.

Use is weighed (`Resource.weight`, hundredths of a CPU) and counted in seconds; it halves with every half-life, as in
Slurm's multifactor priority. Each start pays for some seconds in advance: a burst of starts lowers the rank of its
owner at once, and not when it has run (as in Kueue's admission fair sharing).
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import connection

from apps.core.arrays import array
from apps.quotas.books import Share
from apps.quotas.choices import unit_of
from apps.quotas.models import Resource

# LOCKING: rows in the order of their nodes.
_COUNT = """
    WITH added AS (SELECT * FROM unnest(%(nodes)s::bigint[], %(amounts)s::double precision[]) AS a(node_id, amount))
    INSERT INTO quotas_shareuse AS s (node_id, amount, at)
    SELECT node_id, amount, statement_timestamp() FROM added ORDER BY node_id
        ON CONFLICT (node_id) DO UPDATE SET at = statement_timestamp(),
           amount = excluded.amount + s.amount * power(0.5, extract(epoch FROM statement_timestamp() - s.at) / %(half_life)s::double precision)
"""

_LOOK = """
    SELECT n.id, n.weight, coalesce(s.amount * power(0.5, extract(epoch FROM statement_timestamp() - s.at) / %(half_life)s::double precision), 0)
      FROM quotas_quotanode n LEFT JOIN quotas_shareuse s ON s.node_id = n.id WHERE n.id = ANY(%(nodes)s::bigint[])
"""

# What runs, and counts from `counted_until` on; and what was paid for in advance and not used, which is kept.
_TICK = """
    WITH due AS (
        SELECT id, node_ids, amounts, extract(epoch FROM statement_timestamp() - counted_until) AS seconds FROM quotas_reservation
         WHERE released_at IS NULL AND counted_until < statement_timestamp() ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
    marked AS (UPDATE quotas_reservation r SET counted_until = statement_timestamp() FROM due WHERE r.id = due.id),
    used AS (
        SELECT n.id AS node_id, sum(due.seconds * a.value::double precision * u.rate) AS amount
          FROM due, unnest(due.node_ids) AS n(id), jsonb_each_text(due.amounts) AS a(key, value)
          JOIN unnest(%(names)s::text[], %(rates)s::double precision[]) AS u(name, rate) ON u.name = a.key
         GROUP BY n.id)
    INSERT INTO quotas_shareuse AS s (node_id, amount, at)
    SELECT node_id, amount, statement_timestamp() FROM used ORDER BY node_id
        ON CONFLICT (node_id) DO UPDATE SET at = statement_timestamp(),
           amount = excluded.amount + s.amount * power(0.5, extract(epoch FROM statement_timestamp() - s.at) / %(half_life)s::double precision)
"""


_KNOWN_SECONDS = 5.0
_rates: tuple[float, dict[str, float]] = (float("-inf"), {})


def rates() -> dict[str, float]:
    """Return what one base unit of each resource counts per second; believed for a few seconds."""
    global _rates  # noqa: PLW0603 -- one memory per process
    at, known = _rates
    if time.monotonic() - at > _KNOWN_SECONDS:
        known = {one.name: one.weight / unit_of(one.name) for one in Resource.objects.known() if one.weight}
        _rates = (time.monotonic(), known)
    return known


def weigh(amounts: Mapping[str, int]) -> float:
    """Return what holding `amounts` counts per second."""
    known = rates()
    return sum(amount * known.get(resource, 0.0) for resource, amount in amounts.items())


def entry_facts() -> dict[str, Any]:
    """Return what `statements.HOLD` has to know to let what starts pay for its first seconds."""
    known = rates()
    entry = float(settings.FAIR_SHARE_ENTRY_SECONDS)
    return {"names": list(known), "rates": list(known.values()), "entry": entry, "half_life": _half_life()}


def count_exit(node_ids: Iterable[int], amounts: Mapping[str, int], seconds: float) -> None:
    """Count what had not been counted when it ended; what was paid in advance and not used is not given back."""
    if seconds > 0:
        _count((node_id, weigh(amounts) * seconds) for node_id in node_ids)


def count_running() -> None:
    """Count what runs up to now. Safe to repeat and to interrupt; a row that somebody else has locked comes next time."""
    known = rates()
    with connection.cursor() as cursor:
        given: dict[str, Any] = {"names": list(known), "rates": list(known.values()), "half_life": _half_life()}
        cursor.execute(_TICK, given)


def shares_of(node_ids: Iterable[int]) -> dict[int, Share]:
    """Return the share of each node as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, {"nodes": array(node_ids), "half_life": _half_life()})
        return {node_id: Share(used, weight) for node_id, weight, used in cursor.fetchall()}


def _count(parts: Iterable[tuple[int, float]]) -> None:
    sums: dict[int, float] = {}
    for node_id, amount in parts:
        sums[node_id] = sums.get(node_id, 0.0) + amount
    if any(sums.values()):
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, {"nodes": list(sums), "amounts": list(sums.values()), "half_life": _half_life()})


def _half_life() -> float:
    return settings.FAIR_SHARE_HALF_LIFE.total_seconds()
