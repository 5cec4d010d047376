"""The statements of admission: few, so that the root of the tree is locked as briefly as can be.

LOCKING: `LOCK` takes the limit rows in the one global order (node, resource) before anything is decided; a row that had
to be waited for is read as its last holder left it (READ COMMITTED). The order does not depend on where a node hangs, so
moving one disturbs nobody.
"""

LOOK = """
    SELECT l.id, l.node_id, l.resource, l."limit", l.borrow, l.used, n.depth, n.kind, n.name
      FROM quotas_quotalimit l JOIN quotas_quotanode n ON n.id = l.node_id
     WHERE l.node_id = ANY(%(nodes)s::bigint[]) AND l.resource = ANY(%(resources)s::text[])
     ORDER BY l.node_id, l.resource
"""

LOCK = f"{LOOK} FOR NO KEY UPDATE OF l"

# A resource that came into the world after the node: its row is made before anything is locked.
COMPLETE = """
    INSERT INTO quotas_quotalimit (node_id, resource, borrow, used)
    SELECT n.id, r.name, 0, 0 FROM unnest(%(nodes)s::bigint[]) AS n(id), unnest(%(resources)s::text[]) AS r(name)
     ORDER BY n.id, r.name ON CONFLICT (node_id, resource) DO NOTHING
"""

# What was decided, written in one round trip, since the root of the tree is locked meanwhile: the reservations, their sums on
# the limit rows, and what the starts pay in advance in fair share. A key that is there already adds nothing.
# LOCKING: shares in the order of their nodes.
HOLD = """
    WITH held AS (
        INSERT INTO quotas_reservation (id, key, node_id, node_ids, amounts, ends_by, counted_until)
        SELECT a.id, a.key, a.node, ARRAY(SELECT jsonb_array_elements_text(a.nodes)::bigint), a.amounts,
               statement_timestamp() + make_interval(secs => a.seconds), statement_timestamp() + make_interval(secs => %(entry)s::double precision)
          FROM jsonb_to_recordset(%(asked)s::jsonb)
               AS a(id uuid, key text, node bigint, nodes jsonb, amounts jsonb, seconds double precision)
            ON CONFLICT (key) DO NOTHING RETURNING key, node_ids, amounts),
    sums AS MATERIALIZED (
        SELECT n.id AS node_id, a.key AS resource, sum(a.value::bigint)::bigint AS amount
          FROM held, unnest(held.node_ids) AS n(id), jsonb_each_text(held.amounts) AS a GROUP BY 1, 2),
    added AS (
        UPDATE quotas_quotalimit l SET used = l.used + sums.amount FROM sums
         WHERE l.node_id = ANY(%(nodes)s::bigint[]) AND l.node_id = sums.node_id AND l.resource = sums.resource),
    paid AS (
        INSERT INTO quotas_shareuse AS s (node_id, amount, at)
        SELECT sums.node_id, sum(sums.amount * u.rate * %(entry)s::double precision), statement_timestamp()
          FROM sums JOIN unnest(%(names)s::text[], %(rates)s::double precision[]) AS u(name, rate) ON u.name = sums.resource
         WHERE %(entry)s::double precision > 0 GROUP BY 1 ORDER BY 1
            ON CONFLICT (node_id) DO UPDATE SET at = statement_timestamp(),
               amount = excluded.amount + s.amount * power(0.5, extract(epoch FROM statement_timestamp() - s.at) / %(half_life)s::double precision))
    SELECT key FROM held
"""

RELEASE = """
    WITH held AS (SELECT node_ids, amounts FROM quotas_reservation WHERE key = %(key)s::text AND released_at IS NULL),
    locked AS MATERIALIZED (
        SELECT l.id, (held.amounts ->> l.resource)::bigint AS amount
          FROM held JOIN quotas_quotalimit l ON l.node_id = ANY(held.node_ids) AND held.amounts ? l.resource
         ORDER BY l.node_id, l.resource FOR NO KEY UPDATE OF l),
    freed AS (
        UPDATE quotas_reservation SET released_at = statement_timestamp()
         WHERE key = %(key)s::text AND released_at IS NULL AND (SELECT count(*) FROM locked) >= 0
         RETURNING node_ids, amounts, extract(epoch FROM statement_timestamp() - counted_until)::double precision AS uncounted),
    taken AS (
        UPDATE quotas_quotalimit l SET used = l.used - locked.amount,
               ceiling = CASE WHEN l."limit" IS NOT NULL THEN greatest(l."limit" + l.borrow, l.used - locked.amount) END
          FROM locked, freed WHERE l.id = locked.id)
    SELECT node_ids, amounts, uncounted FROM freed
"""
