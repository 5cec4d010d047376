"""Large data, written by SQL: what the portal meets after a year of use."""

from django.db import connection

from apps.accounts.models import User
from apps.compute.models import Cluster
from apps.quotas import services as quotas
from apps.teams.models import Team
from apps.tracking.models import Project, Run

_SEED = """
WITH made AS (
    SELECT uuid_generate.id, n FROM (
        SELECT n, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 86400000 + n), 12, '0') || '7'
                   || substr(md5(n::text || %(salt)s), 1, 3) || '8' || substr(md5(%(salt)s || n::text), 1, 15))::uuid AS id
          FROM generate_series(1, %(count)s) AS n) AS uuid_generate),
runs AS (
    INSERT INTO tracking_run (id, owner_id, team_id, visibility, created_at, project_id, name, status)
    SELECT id, (%(owners)s::bigint[])[1 + n %% array_length(%(owners)s::bigint[], 1)],
           (%(teams)s::bigint[])[1 + n %% array_length(%(teams)s::bigint[], 1)], 'team', now(), %(project)s,
           'run ' || n, 'finished' FROM made),
workloads AS (
    INSERT INTO compute_workload (id, user_id, team_id, label, subject, template, quota_node_id, amounts, cluster_id,
            priority_class, rank, priority, grace_seconds, retries, retries_left, desired_state, stop_cause, resumes, state, state_version, reason,
            message, attempt_no, lease_owner, lease_epoch, started_at, finished_at, next_reconcile_at)
    SELECT id, %(user)s, (%(teams)s::bigint[])[1 + n %% array_length(%(teams)s::bigint[], 1)], 'run ' || n, 'run:' || id,
           '{}', %(node)s, '{}', %(cluster)s, '', 0, 0, 10, 0, 0, 'run', '', false,
           (ARRAY['succeeded', 'failed', 'stopped'])[1 + n %% 3], 2, '', '', 1, '', 0, now(), now(), NULL FROM made)
INSERT INTO experiments_experiment (run_id, workload_id, kind, spec) SELECT id, id, 'shell', '{"command": "true"}' FROM made
"""


def experiments(count: int, *, owners: list[User], teams: list[Team], project: Project, cluster: Cluster) -> None:
    """Write `count` ended experiments, spread evenly over owners and teams, and refresh the planner's statistics."""
    node = quotas.platform_node()
    given = {
        "count": count,
        "salt": str(Run.objects.count()),
        "owners": [user.pk for user in owners],
        "teams": [team.pk for team in teams],
        "project": project.pk,
        "user": owners[0].pk,
        "node": node.pk,
        "cluster": cluster.pk,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(_SEED, given)
        cursor.execute("ANALYZE")


_RECORDS = [
    """INSERT INTO accounts_user (username, password, email, first_name, last_name, is_active, date_joined, platform_role, identity_source,
           external_id)
       SELECT 'person' || n, '!', '', '', '', n %% 50 > 0, now(), '', 'local', '' FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO audit_auditevent (actor_id, actor_label, origin, action, object_type, object_id, object_label, reason, data, at, request_id)
       SELECT %(user)s, 'rows0', (ARRAY['api', 'portal', 'admin', 'system'])[1 + n %% 4], (ARRAY['submit', 'stop', 'create', 'update'])[1 + n %% 4],
              'tracking.run', n::text, 'run ' || n, '', '{}', now() - n * interval '1 second', '' FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO compute_attempt (id, workload_id, no, cluster_id, handle, verdict, reason, message, log_bytes, started_at, finished_at)
       SELECT gen_random_uuid(), id, 1, cluster_id, 'fth-' || id, state, '', '', 100, now(), now() FROM compute_workload LIMIT %(count)s
           ON CONFLICT DO NOTHING""",
    """INSERT INTO compute_workloadevent (workload_id, seq, attempt_no, from_state, to_state, actor, reason, message)
       SELECT id, 1000, 1, 'running', state, 'reconcile', '', '' FROM compute_workload LIMIT %(count)s""",
    """INSERT INTO accounts_apitoken (id, user_id, name, kind, digest, prefix, scopes, bound_to, addresses, outlives_user, last_used_at,
           expires_at)
       SELECT gen_random_uuid(), (SELECT id FROM accounts_user WHERE username = 'person' || 1 + n %% least(100, %(count)s)), 'token ' || n, 'pat', 'digest ' || n, 'fth_pat_', '["all"]', '', '[]', false,
              now() - n * interval '1 minute', CASE WHEN n %% 3 > 0 THEN now() + n * interval '1 minute' END FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO accounts_loginfailure (username, ip, at, reason)
       SELECT 'name' || n %% 997, '192.0.2.1', now() - n * interval '1 second', 'password' FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO tracking_artifact (id, run_id, path, sha256, size_bytes, content_type)
       SELECT gen_random_uuid(), id, 'model.pt', 'ab', 2048, '' FROM tracking_run LIMIT %(count)s""",
    """INSERT INTO quotas_reservation (id, key, node_id, node_ids, amounts, released_at)
       SELECT gen_random_uuid(), 'rows ' || n, (SELECT min(id) FROM quotas_quotanode), '{}', '{}', now() FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO quotas_quotanode (kind, key, name, parent_id, depth, path, weight)
       SELECT 'user', 'user:rows' || n, 'rows' || n, (SELECT min(id) FROM quotas_quotanode), 1, '{}', 1 FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO quotas_shareuse (node_id, amount) SELECT id, id * 1000 FROM quotas_quotanode ON CONFLICT DO NOTHING""",
    """INSERT INTO quotas_allocationrequest (id, node_id, resource, amount, before, reason, asked_by_id, state, note)
       SELECT gen_random_uuid(), id, 'cpu', 2000, 1000, 'deadline', %(user)s, CASE WHEN id %% 10 = 0 THEN 'open' ELSE 'refused' END, ''
         FROM quotas_quotanode LIMIT %(count)s""",
]


def records(count: int) -> None:
    """Write `count` rows of what the platform keeps about itself, beside experiments that are there already."""
    given = {"count": count, "user": User.objects.order_by("pk").values_list("pk", flat=True)[0]}
    with connection.cursor() as cursor:
        for statement in _RECORDS:
            cursor.execute(statement, given)
        cursor.execute("ANALYZE")


def metric_points(run: Run, key: str, count: int) -> None:
    """Write one series of `count` points: a noisy curve with a spike."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tracking_metricseries (run_id, project_id, key, count, last_value, last_step, last_time, min_value,"
            " max_value, first_step, first_time, latest_time)"
            " SELECT %s, %s, %s, %s, 1, %s, ended, 0, 99, 0, now(), ended"
            " FROM (SELECT now() + %s * interval '1 millisecond' AS ended) AS times RETURNING id",
            [run.pk, run.project_id, key, count, count - 1, count - 1],
        )
        row = cursor.fetchone()
        assert row is not None
        cursor.execute(
            "INSERT INTO tracking_metricpoint (series_id, ordinal, step, time, value) SELECT %s, n, n,"
            " now() + n * interval '1 millisecond', CASE WHEN n = %s THEN 99 ELSE 1 / (1 + n / 1000.0) END"
            " FROM generate_series(0, %s) AS n",
            [row[0], count // 2, count - 1],
        )
        cursor.execute("ANALYZE tracking_metricpoint")
