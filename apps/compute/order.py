"""The places in the queue, for people: in which order what waits would have its turn, if nothing changed meanwhile.

The same order as of `apps.compute.queue`, in SQL: what is overdue, the priority class, fair share, and then as
the first of each owner's work are merged, by time.

SECURITY: `seen` names what the reader may see. Places are counted among that; neither the number nor the use of others
changes them.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.compute.queue import standing
from apps.quotas import services as quotas

_WAITING = "w.state = 'queued' AND w.desired_state = 'run'"
_LEAVES = f"""
    SELECT n.id, n.path FROM quotas_quotanode n
     WHERE n.id IN (SELECT w.quota_node_id FROM compute_workload w WHERE {_WAITING} {{seen}})
"""  # noqa: S608 -- our own pieces; every value is a parameter
# `turn`: an owner's work keeps its order, and the owners take turns by the time of the one that is next.
_ORDER = f"""
    WITH waiting AS (
        SELECT w.id, w.quota_node_id, w.rank, w.priority, w.queued_at,
               w.queued_at < statement_timestamp() - %(patience)s::interval AS overdue
          FROM compute_workload w WHERE {_WAITING} {{seen}}),
    placed AS (
        SELECT w.*, coalesce(p.place, 0) AS place,
               max(w.queued_at) OVER (PARTITION BY w.quota_node_id, w.overdue, w.rank
                                      ORDER BY w.priority DESC, w.queued_at, w.id) AS turn
          FROM waiting w LEFT JOIN unnest(%(leaves)s::bigint[], %(places)s::int[]) AS p(leaf, place)
                         ON p.leaf = w.quota_node_id),
    numbered AS (
        SELECT id, row_number() OVER (
                   ORDER BY overdue DESC, CASE WHEN overdue THEN queued_at END, CASE WHEN overdue THEN id END,
                            rank DESC, place, turn, quota_node_id, priority DESC, queued_at, id) AS place
          FROM placed)
    SELECT id, place FROM numbered ORDER BY place OFFSET %(offset)s LIMIT %(limit)s
"""  # noqa: S608 -- as above


def in_order(
    seen: Collection[UUID] | None = None, *, offset: int = 0, limit: int | None = None
) -> list[tuple[UUID, int]]:
    """Return what waits with its place, from 1 on, in the order of the queue. `seen`: of these only; None: all."""
    return _read(seen, offset=offset, limit=limit)


# One place is counted, not looked up in the whole order, which takes five times as long with fifty thousand waiting.
_COUNTS = f"""
    SELECT w.quota_node_id, n.path, count(*) FILTER (WHERE w.queued_at < own.late),
           count(*) FILTER (WHERE w.queued_at < own.late AND (w.queued_at, w.id) < (own.queued_at, own.id)),
           count(*) FILTER (WHERE w.queued_at >= own.late AND w.rank > own.rank),
           count(*) FILTER (WHERE w.queued_at >= own.late AND w.rank = own.rank), own.queued_at < own.late
      FROM (SELECT id, queued_at, rank, statement_timestamp() - %(patience)s::interval AS late
              FROM compute_workload w WHERE id = %(id)s AND {_WAITING} {{seen}}) own,
           compute_workload w JOIN quotas_quotanode n ON n.id = w.quota_node_id
     WHERE {_WAITING} {{seen}} GROUP BY 1, 2, 7
"""  # noqa: S608 -- as above
_LEVEL = f"""
    WITH level AS (
        SELECT w.id, (max(w.queued_at) OVER (PARTITION BY w.quota_node_id ORDER BY w.priority DESC, w.queued_at, w.id),
                      w.quota_node_id, -w.priority, w.queued_at, w.id) AS turn
          FROM compute_workload w
         WHERE {_WAITING} {{seen}} AND w.quota_node_id = ANY(%(level)s::bigint[]) AND w.rank = %(rank)s
           AND w.queued_at >= statement_timestamp() - %(patience)s::interval)
    SELECT count(*) FROM level WHERE turn < (SELECT turn FROM level WHERE id = %(id)s)
"""  # noqa: S608 -- as above


def place_of(pk: UUID, seen: Collection[UUID] | None = None) -> int | None:
    """Return the place of one among those that are `seen`; None when it does not wait."""
    narrowed = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts: dict[str, Any] = {"seen": list(seen or ()), "patience": settings.QUEUE_PATIENCE, "id": pk}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS.format(seen=narrowed), facts)
        rows = cursor.fetchall()
        if not rows:
            return None
        late, before = sum(row[2] for row in rows), sum(row[3] for row in rows)
        if rows[0][-1]:  # it has waited too long itself: the oldest of those goes first
            return int(before) + 1
        cursor.execute("SELECT quota_node_id, rank FROM compute_workload WHERE id = %s", [pk])
        own, rank = cursor.fetchone()
        given = _places({leaf: path for leaf, path, *_ in rows})
        place = dict(zip(given["leaves"], given["places"], strict=True))
        ahead = late + sum(row[4] + (row[5] if place[row[0]] < place[own] else 0) for row in rows)
        level = [leaf for leaf in place if place[leaf] == place[own]]
        cursor.execute(_LEVEL.format(seen=narrowed), {**facts, "level": level, "rank": rank})
        (beside,) = cursor.fetchone()
    return int(ahead) + int(beside) + 1


def _read(seen: Collection[UUID] | None, **given: Any) -> list[tuple[UUID, int]]:
    narrowed = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts = {"seen": list(seen or ()), "patience": settings.QUEUE_PATIENCE, **given}
    with connection.cursor() as cursor:
        cursor.execute(_LEAVES.format(seen=narrowed), facts)
        facts |= _places(dict(cursor.fetchall()))
        cursor.execute(_ORDER.format(seen=narrowed), facts)
        return [(pk, int(place)) for pk, place in cursor.fetchall()]


def _places(paths: dict[int, list[int]]) -> dict[str, list[int]]:
    """Rank the leaves by what was used lately on their paths; the same use is the same place."""
    shares = quotas.shares_of({node for path in paths.values() for node in path})
    scores = {leaf: standing(path, shares) for leaf, path in paths.items()}
    ranks = {score: place for place, score in enumerate(sorted(set(scores.values())))}
    return {"leaves": list(scores), "places": [ranks[score] for score in scores.values()]}
