"""The statements of holding and charging: a few round trips for a whole batch.

LOCKING: whoever changes money locks the rows of the holds first (by id; a new one is nobody else's), then the periods by
id, in READ COMMITTED, and decides by what the locked rows say. Limit rows come before both, the workload's row after.
"""

# What an admission needs to know, in one cheap look: prices in force, budgets on the paths, holds that exist already.
LOOK = """
    SELECT statement_timestamp(),
           (SELECT jsonb_agg(jsonb_build_array(p.cluster_id, p.resource, p.micros_per_hour, p.id))
              FROM (SELECT DISTINCT ON (cluster_id, resource) id, cluster_id, resource, micros_per_hour
                      FROM budgets_price WHERE cluster_id = ANY(%(clusters)s) AND effective_from <= statement_timestamp()
                     ORDER BY cluster_id, resource, effective_from DESC, version DESC) p),
           (SELECT jsonb_agg(jsonb_build_array(b.id, b.node_id, b.cadence, b.policy, b.amount_micros) ORDER BY b.id)
              FROM budgets_budget b WHERE b.node_id = ANY(%(nodes)s) AND b.ended_at IS NULL)
"""

# The periods of a batch, locked by id: those named, and those in force of the named budgets. A budget between two dates
# stays in force after its end: nothing is left of it. `now` is the time of the look, so that no month can begin in between.
LOCK = """
    SELECT p.id, p.budget_id, b.node_id, n.kind, n.name, b.policy, p.starts_at, p.ends_at, p.amount_micros, p.held_micros,
           p.spent_micros, p.lapsed_micros, given.now >= p.ends_at AS is_over, b.ended_at IS NOT NULL AS is_ended
      FROM budgets_period p JOIN budgets_budget b ON b.id = p.budget_id JOIN quotas_quotanode n ON n.id = b.node_id,
           (SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now) given
     WHERE p.id = ANY(%(periods)s) OR (p.budget_id = ANY(%(budgets)s) AND p.starts_at <= given.now
           AND (p.ends_at > given.now OR b.cadence = 'fixed'))
     ORDER BY p.id FOR NO KEY UPDATE OF p
"""
PEEK = LOCK.replace("FOR NO KEY UPDATE OF p", "")

OPEN = """
    INSERT INTO budgets_period (budget_id, starts_at, ends_at, amount_micros, ceiling_micros)
    SELECT * FROM jsonb_to_recordset(%(periods)s::jsonb)
        AS x (budget_id bigint, starts_at timestamptz, ends_at timestamptz, amount_micros bigint, ceiling_micros bigint)
     ORDER BY budget_id ON CONFLICT (budget_id, starts_at) DO NOTHING RETURNING id, amount_micros
"""

# Everything that a batch changes, in one round trip. The order of rows does not matter any more: all are locked or new.
WRITE = """
    WITH made AS (
        INSERT INTO budgets_hold (id, key, node_id, node_ids, cluster_id, subject, amounts, prices, rate_micros_per_hour,
                                  worst_ms, seq)
        SELECT id, key, node_id, (SELECT array_agg(v::bigint) FROM jsonb_array_elements_text(node_ids) v), cluster_id,
               subject, amounts, prices, rate_micros_per_hour, worst_ms, seq
          FROM jsonb_to_recordset(%(made)s::jsonb) AS x (id uuid, key text, node_id bigint, node_ids jsonb, cluster_id uuid,
               subject text, amounts jsonb, prices jsonb, rate_micros_per_hour bigint, worst_ms bigint, seq int)),
    moved AS (
        UPDATE budgets_hold h SET seq = x.seq, billable_ms = x.billable_ms, posted_micros = x.posted_micros,
               absorbed_micros = x.absorbed_micros, closed_at = CASE WHEN x.is_closed THEN now() END,
               cpu_ms = greatest(h.cpu_ms, x.cpu_ms)
          FROM jsonb_to_recordset(%(moved)s::jsonb) AS x (id uuid, seq int, billable_ms bigint, posted_micros bigint,
               absorbed_micros bigint, is_closed boolean, cpu_ms bigint) WHERE h.id = x.id),
    parts AS (
        INSERT INTO budgets_holdpart (hold_id, period_id, held_micros, spent_micros)
        SELECT * FROM jsonb_to_recordset(%(parts)s::jsonb)
            AS x (hold_id uuid, period_id bigint, held_micros bigint, spent_micros bigint)
            ON CONFLICT (hold_id, period_id)
            DO UPDATE SET held_micros = EXCLUDED.held_micros, spent_micros = EXCLUDED.spent_micros),
    periods AS (
        UPDATE budgets_period p SET held_micros = x.held_micros, spent_micros = x.spent_micros, lapsed_micros = x.lapsed_micros
          FROM jsonb_to_recordset(%(periods)s::jsonb)
            AS x (id bigint, held_micros bigint, spent_micros bigint, lapsed_micros bigint) WHERE p.id = x.id),
    postings AS (
        INSERT INTO budgets_ledgertx (id, kind, idem, hold_id, billable_ms, reverses_id, by, reason)
        SELECT * FROM jsonb_to_recordset(%(postings)s::jsonb) AS x (id uuid, kind text, idem text, hold_id uuid,
               billable_ms bigint, reverses_id uuid, by text, reason text))
    INSERT INTO budgets_ledgerentry (tx_id, account, amount_micros, period_id, node_id, cluster_id)
    SELECT * FROM jsonb_to_recordset(%(entries)s::jsonb)
        AS x (tx_id uuid, account text, amount_micros bigint, period_id bigint, node_id bigint, cluster_id uuid)
"""

DRIFT = """
    WITH looked AS (
        SELECT id, amount_micros, held_micros, spent_micros, lapsed_micros FROM budgets_period
         WHERE ends_at > statement_timestamp() OR held_micros > 0 OR lapsed_micros < amount_micros - spent_micros),
    posted AS (
        SELECT e.period_id,
               coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'held'), 0) AS held,
               coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'spent'), 0) AS spent,
               coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'lapsed'), 0) AS lapsed,
               -coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'funding'), 0) AS amount
          FROM budgets_ledgerentry e WHERE e.period_id IN (SELECT id FROM looked) GROUP BY 1),
    parts AS (
        SELECT period_id, sum(held_micros) AS held FROM budgets_holdpart
         WHERE period_id IN (SELECT id FROM looked) AND held_micros > 0 GROUP BY 1)
    SELECT l.id, l.amount_micros, coalesce(p.amount, 0), l.held_micros, coalesce(p.held, 0), coalesce(h.held, 0),
           l.spent_micros, coalesce(p.spent, 0), l.lapsed_micros, coalesce(p.lapsed, 0)
      FROM looked l LEFT JOIN posted p ON p.period_id = l.id LEFT JOIN parts h ON h.period_id = l.id
     WHERE (l.amount_micros, l.held_micros, l.held_micros, l.spent_micros, l.lapsed_micros)
           IS DISTINCT FROM (coalesce(p.amount, 0), coalesce(p.held, 0), coalesce(h.held, 0), coalesce(p.spent, 0),
                             coalesce(p.lapsed, 0))
     ORDER BY l.id
"""
