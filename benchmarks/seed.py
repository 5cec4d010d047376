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
            priority, grace_seconds, retries, retries_left, desired_state, stop_cause, state, state_version, reason,
            message, attempt_no, lease_owner, lease_epoch, started_at, finished_at, next_reconcile_at)
    SELECT id, %(user)s, (%(teams)s::bigint[])[1 + n %% array_length(%(teams)s::bigint[], 1)], 'run ' || n, 'run:' || id,
           '{}', %(node)s, '{}', %(cluster)s, 0, 10, 0, 0, 'run', '',
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


def metric_points(run: Run, key: str, count: int) -> None:
    """Write one series of `count` points: a noisy curve with a spike."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tracking_metricseries (run_id, key, count, last_value, last_step, last_time, min_value,"
            " max_value, first_step, first_time, latest_time)"
            " SELECT %s, %s, %s, 1, %s, ended, 0, 99, 0, now(), ended"
            " FROM (SELECT now() + %s * interval '1 millisecond' AS ended) AS times RETURNING id",
            [run.pk, key, count, count - 1, count - 1],
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
