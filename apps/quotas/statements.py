"""The two statements of admission. One round trip each, so that the root of the tree is locked as briefly as can be.

LOCKING: `locked` takes the limit rows in the one global order (depth, node, resource) before anything is decided; a
row that had to be waited for is read as its last holder left it (READ COMMITTED). The writes follow from it alone.
"""

RESERVE = """
    WITH asked AS (SELECT key AS resource, value::bigint AS need FROM jsonb_each_text(%(amounts)s::jsonb)),
    locked AS MATERIALIZED (
        SELECT l.id, l.node_id, l.resource, l."limit", l.used, asked.need, n.depth
          FROM quotas_quotalimit l JOIN quotas_quotanode n ON n.id = l.node_id JOIN asked ON asked.resource = l.resource
         WHERE l.node_id = ANY(%(nodes)s)
         ORDER BY n.depth, l.node_id, l.resource FOR NO KEY UPDATE OF l),
    too_small AS (
        SELECT node_id, resource, used, "limit", need FROM locked WHERE used + need > "limit"
         ORDER BY depth, node_id, resource LIMIT 1),
    held AS (
        INSERT INTO quotas_reservation (id, key, node_id, node_ids, amounts)
        SELECT %(id)s, %(key)s, %(node)s, %(nodes)s, %(amounts)s::jsonb
         WHERE (SELECT count(*) FROM locked) >= 0 AND NOT EXISTS (SELECT FROM too_small)
            ON CONFLICT (key) DO NOTHING RETURNING id),
    added AS (
        UPDATE quotas_quotalimit l SET used = l.used + locked.need FROM locked, held WHERE l.id = locked.id)
    SELECT (SELECT id FROM held), t.* FROM (SELECT) AS one LEFT JOIN too_small t ON true
"""

RELEASE = """
    WITH held AS (SELECT node_ids, amounts FROM quotas_reservation WHERE key = %(key)s AND released_at IS NULL),
    locked AS MATERIALIZED (
        SELECT l.id, (held.amounts ->> l.resource)::bigint AS amount
          FROM held JOIN quotas_quotalimit l ON l.node_id = ANY(held.node_ids) AND held.amounts ? l.resource
          JOIN quotas_quotanode n ON n.id = l.node_id
         ORDER BY n.depth, l.node_id, l.resource FOR NO KEY UPDATE OF l),
    freed AS (
        UPDATE quotas_reservation SET released_at = now()
         WHERE key = %(key)s AND released_at IS NULL AND (SELECT count(*) FROM locked) >= 0 RETURNING id),
    taken AS (
        UPDATE quotas_quotalimit l SET used = l.used - locked.amount FROM locked, freed WHERE l.id = locked.id)
    SELECT count(*) FROM freed
"""
