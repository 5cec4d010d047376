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
_OWN = f"""
    SELECT w.quota_node_id, w.rank, w.queued_at < statement_timestamp() - %(patience)s::interval
      FROM compute_workload w WHERE {_WAITING} {{seen}} AND w.id = %(id)s
"""  # noqa: S608 -- as above
_LATE = f"""
    SELECT count(*), count(*) FILTER (WHERE (w.queued_at, w.id) < (SELECT queued_at, id FROM compute_workload WHERE id = %(id)s))
      FROM compute_workload w WHERE {_WAITING} {{seen}} AND w.queued_at < statement_timestamp() - %(patience)s::interval
"""  # noqa: S608 -- as above
_COUNTS = f"""
    SELECT w.quota_node_id, count(*) FILTER (WHERE w.rank > %(rank)s), count(*) FILTER (WHERE w.rank = %(rank)s),
           bool_or(w.priority <> 0)
      FROM compute_workload w
     WHERE {_WAITING} {{seen}} AND w.queued_at >= statement_timestamp() - %(patience)s::interval GROUP BY 1
"""  # noqa: S608 -- as above
_PATHS = "SELECT id, path FROM quotas_quotanode WHERE id = ANY(%(leaves)s)"
_LEVEL = f"""
    WITH level AS (
        SELECT w.id, ({{turn}}, w.quota_node_id, -w.priority, w.queued_at, w.id) AS turn FROM compute_workload w
         WHERE {_WAITING} {{seen}} AND w.quota_node_id = ANY(%(level)s::bigint[]) AND w.rank = %(rank)s
           AND w.queued_at >= statement_timestamp() - %(patience)s::interval)
    SELECT count(*) FROM level WHERE turn < (SELECT turn FROM level WHERE id = %(id)s)
"""  # noqa: S608 -- as above
# Whose work has no priorities of its own takes its turns by time alone, which needs no window.
_TURN_BY_TIME = "w.queued_at"
_TURN = "max(w.queued_at) OVER (PARTITION BY w.quota_node_id ORDER BY w.priority DESC, w.queued_at, w.id)"


def place_of(pk: UUID, seen: Collection[UUID] | None = None) -> int | None:
    """Return the place of one among those that are `seen`; None when it does not wait."""
    narrowed = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts: dict[str, Any] = {"seen": list(seen or ()), "patience": settings.QUEUE_PATIENCE, "id": pk}

    def rows(statement: str, **more: Any) -> list[Any]:
        with connection.cursor() as cursor:
            turn = more.pop("turn", "")
            cursor.execute(statement.format(seen=narrowed, turn=turn), {**facts, **more})
            return list(cursor.fetchall())

    own = rows(_OWN)
    if not own:
        return None
    leaf, rank, is_late = own[0]
    ((late, before),) = rows(_LATE)
    if is_late:  # it has waited too long itself: the oldest of those goes first
        return int(before) + 1
    counts = {node: rest for node, *rest in rows(_COUNTS, rank=rank)}
    given = _places(dict(rows(_PATHS, leaves=list(counts))))
    place = dict(zip(given["leaves"], given["places"], strict=True))
    ahead = late + sum(
        higher + (equal if place[node] < place[leaf] else 0) for node, (higher, equal, _) in counts.items()
    )
    level = [node for node in counts if place[node] == place[leaf]]
    turn = _TURN if any(counts[node][2] for node in level) else _TURN_BY_TIME
    ((beside,),) = rows(_LEVEL, level=level, rank=rank, turn=turn)
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
