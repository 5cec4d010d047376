"""The places in the queue, for people: in which order what waits would have its turn, if nothing changed meanwhile.

The same order as of `apps.compute.queue`, in SQL: the oldest that is overdue, the priority class, fair share, and then as
the first of each owner's work are merged, by what it would make of his use, then by time.

SECURITY: `seen` names what the reader may see. Places are counted among that; neither the number nor the use of others
changes them.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.compute.queue import standing
from apps.core.arrays import array
from apps.quotas import services as quotas

_WAITING = "w.state = 'queued' AND w.desired_state = 'run'"
_LEAVES = f"""
    SELECT n.id, n.path FROM quotas_quotanode n
     WHERE n.id IN (SELECT w.quota_node_id FROM compute_workload w WHERE {_WAITING} {{seen}})
"""  # noqa: S608 -- our own pieces; every value is a parameter
# Of each cluster the one that has waited longest, if that is too long: the others of them have their ordinary turn.
_OLDEST = f"""
    SELECT DISTINCT ON (w.cluster_id) w.id, w.queued_at FROM compute_workload w
     WHERE {_WAITING} {{seen}} AND w.queued_at < statement_timestamp() - %(patience)s::interval
     ORDER BY w.cluster_id, w.queued_at, w.id
"""  # noqa: S608 -- as above
# `turn`: an owner's work keeps its order, and the owners take turns by what the next one would make of their use, then by its time.
_NEXT = "ARRAY[p.used + w.size, extract(epoch FROM w.queued_at)::double precision]"
_ORDER = f"""
    WITH oldest AS ({_OLDEST}),
    waiting AS (
        SELECT w.id, w.quota_node_id, w.rank, w.priority, w.size, w.queued_at, oldest.id IS NOT NULL AS overdue
          FROM compute_workload w LEFT JOIN oldest USING (id) WHERE {_WAITING} {{seen}}),
    placed AS (
        SELECT w.*, p.place, max({_NEXT}) OVER (PARTITION BY w.quota_node_id, w.overdue, w.rank
                                                ORDER BY w.priority DESC, w.size, w.queued_at, w.id) AS turn
          FROM waiting w JOIN unnest(%(leaves)s::bigint[], %(places)s::int[], %(used)s::double precision[]) AS p(leaf, place, used)
                         ON p.leaf = w.quota_node_id),
    numbered AS (
        SELECT id, row_number() OVER (
                   ORDER BY overdue DESC, CASE WHEN overdue THEN queued_at END, CASE WHEN overdue THEN id END,
                            rank DESC, place, turn, quota_node_id, priority DESC, size, queued_at, id) AS place
          FROM placed)
    SELECT id, place FROM numbered ORDER BY place OFFSET %(offset)s LIMIT %(limit)s
"""  # noqa: S608 -- as above


def in_order(
    seen: Collection[UUID] | None = None, *, offset: int = 0, limit: int | None = None
) -> list[tuple[UUID, int]]:
    """Return what waits with its place, from 1 on, in the order of the queue. `seen`: of these only; None: all."""
    return _read(seen, offset=offset, limit=limit)


# One place is counted, not looked up in the whole order, which takes ten times as long with fifty thousand waiting.
_OWN = f"SELECT w.quota_node_id, w.rank FROM compute_workload w WHERE {_WAITING} {{seen}} AND w.id = %(id)s"  # noqa: S608 -- as above
_LATE = f"SELECT id FROM ({_OLDEST}) AS oldest ORDER BY queued_at, id"  # noqa: S608 -- as above
_ORDER_IN_LEAF = "PARTITION BY w.quota_node_id ORDER BY w.priority DESC, w.size, w.queued_at, w.id"
_AMONG_OWN = f"""
    SELECT turn, number FROM (
        SELECT w.id, max(ARRAY[w.size, extract(epoch FROM w.queued_at)::double precision]) OVER ({_ORDER_IN_LEAF}) AS turn,
               row_number() OVER ({_ORDER_IN_LEAF}) AS number
          FROM compute_workload w WHERE {_WAITING} {{seen}} AND w.quota_node_id = %(leaf)s AND w.rank = %(rank)s
           AND NOT w.id = ANY(%(late)s::uuid[])) AS own
     WHERE id = %(id)s
"""  # noqa: S608 -- as above
# Before it goes what is of a higher class, and all of the leaves that stand before its own; of those behind it nothing else
# is looked at. Of a leaf that is level with it goes before it what stands before the first that has its turn later: within
# one priority those are the smaller and older, so they are counted without being put in order; of lower priorities none,
# once one of a priority has to wait.
_OTHERS = f"""
    SELECT coalesce(sum(CASE WHEN rank > %(rank)s OR beside < 0 THEN waiting WHEN beside > 0 OR is_stopped THEN 0 ELSE earlier END), 0)
      FROM (SELECT rank, beside, waiting, earlier,
                   bool_or(earlier < waiting) OVER (PARTITION BY leaf, rank ORDER BY priority DESC
                                                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_stopped
              FROM unnest(%(leaves)s::bigint[], %(used)s::double precision[], %(beside)s::int[]) AS p(leaf, used, beside)
             CROSS JOIN LATERAL (
                SELECT w.rank, w.priority, count(*) AS waiting,
                       count(*) FILTER (WHERE (p.used + w.size, w.queued_at, p.leaf)
                                              < (%(size)s, to_timestamp(%(at)s), %(leaf)s)) AS earlier
                  FROM compute_workload w
                 WHERE {_WAITING} {{seen}} AND w.quota_node_id = p.leaf
                   AND w.rank >= CASE WHEN p.beside > 0 THEN %(rank)s + 1 ELSE %(rank)s END
                   AND NOT w.id = ANY(%(late)s::uuid[])
                 GROUP BY w.rank, w.priority ORDER BY w.rank DESC, w.priority DESC) AS counted) AS others
"""  # noqa: S608 -- as above


def place_of(pk: UUID, seen: Collection[UUID] | None = None) -> int | None:
    """Return the place of one among those that are `seen`; None when it does not wait, or not any more meanwhile."""
    narrowed = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts: dict[str, Any] = {"seen": list(seen or ()), "patience": settings.QUEUE_PATIENCE, "id": pk}

    def rows(statement: str) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(seen=narrowed), facts)
            return list(cursor.fetchall())

    own = rows(_OWN)
    if not own:
        return None
    ((leaf, facts["rank"]),) = own
    facts["leaf"] = leaf
    late = facts["late"] = [found for (found,) in rows(_LATE)]
    if pk in late:
        return late.index(pk) + 1
    place, used = _places(dict(rows(_LEAVES)))
    among_own = rows(_AMONG_OWN)
    if leaf not in place or not among_own:
        return None
    (((size, facts["at"]), number),) = among_own
    beside = [place[node] - place[leaf] if node != leaf else 1 for node in place]
    facts |= {"size": used[leaf] + size, "leaves": array(place), "used": array(used.values()), "beside": array(beside)}
    ((others,),) = rows(_OTHERS)
    return len(late) + int(others) + int(number)


def _read(seen: Collection[UUID] | None, **given: Any) -> list[tuple[UUID, int]]:
    narrowed = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts = {"seen": list(seen or ()), "patience": settings.QUEUE_PATIENCE, **given}
    with connection.cursor() as cursor:
        cursor.execute(_LEAVES.format(seen=narrowed), facts)
        places, used = _places(dict(cursor.fetchall()))
        facts |= {"leaves": array(places), "places": array(places.values()), "used": array(used.values())}
        cursor.execute(_ORDER.format(seen=narrowed), facts)
        return [(pk, int(place)) for pk, place in cursor.fetchall()]


def _places(paths: dict[int, list[int]]) -> tuple[dict[int, int], dict[int, float]]:
    """Rank the leaves by what was used lately above them, and say what was used at each; the same step is the same place."""
    shares = quotas.shares_of({node for path in paths.values() for node in path})
    scores = {leaf: standing(path, shares) for leaf, path in paths.items()}
    ranks = {score: place for place, score in enumerate(sorted(set(scores.values())))}
    used = {leaf: shares[leaf].score if leaf in shares else 0.0 for leaf in scores}
    return {leaf: ranks[score] for leaf, score in scores.items()}, used
