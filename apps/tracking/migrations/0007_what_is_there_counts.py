"""The files that are there already: their blobs get rows, and they count in the quota of the run's owner.

One whose owner never ran anything has no place in the quota tree yet; his files count from their replacement on.
"""

from typing import ClassVar

from django.db import migrations

_BLOBS = """
    INSERT INTO storage_blob (sha256, size_bytes) SELECT sha256, max(size_bytes) FROM tracking_artifact GROUP BY 1
        ON CONFLICT (sha256) DO NOTHING
"""
_PLACES = """
    UPDATE tracking_artifact a SET quota_node_id = n.id FROM tracking_run r JOIN quotas_quotanode n
        ON n.key = CASE WHEN r.team_id IS NULL THEN 'user:' || r.owner_id ELSE 'team:' || r.team_id || '/user:' || r.owner_id END
     WHERE a.run_id = r.id
"""
_LINES = """
    INSERT INTO quotas_quotalimit (node_id, resource, borrow, used)
    SELECT DISTINCT above.id, 'artifacts', 0, 0 FROM tracking_artifact a JOIN quotas_quotanode n ON n.id = a.quota_node_id,
           unnest(n.path) AS above(id) ON CONFLICT (node_id, resource) DO NOTHING
"""
_KEPT = """
    INSERT INTO quotas_reservation (id, key, node_id, node_ids, amounts, counted_until)
    SELECT gen_random_uuid(), left('kept:' || n.key, 100), n.id, n.path, jsonb_build_object('artifacts', sum(a.size_bytes)::bigint),
           '9999-01-01'
      FROM tracking_artifact a JOIN quotas_quotanode n ON n.id = a.quota_node_id GROUP BY n.id
"""
_USED = """
    UPDATE quotas_quotalimit l SET used = l.used + kept.amount
      FROM (SELECT above.id, sum((r.amounts ->> 'artifacts')::bigint)::bigint AS amount
              FROM quotas_reservation r, unnest(r.node_ids) AS above(id) WHERE r.key LIKE 'kept:%' GROUP BY 1) AS kept
     WHERE l.node_id = kept.id AND l.resource = 'artifacts'
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("tracking", "0006_uploads_quota_and_retention"),
        ("storage", "0001_blobs_and_collections"),
    ]

    operations: ClassVar = [
        migrations.RunSQL(statement, migrations.RunSQL.noop) for statement in (_BLOBS, _PLACES, _LINES, _KEPT, _USED)
    ]
