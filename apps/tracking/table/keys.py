"""The params, metrics and tags of a project's runs that one may see: walked over an index from one key to the next, because
a distinct over a million rows takes seconds.
"""

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from apps.tracking.models import MetricSeries, Param, Run, Tag

TABLES = {"param": Param, "metric": MetricSeries, "tag": Tag}
MOST = 50
_FURTHEST = 20_000  # so many keys are looked at

# SECURITY: a key is told only if a run has it that the reader may see.
_WALK = """
WITH RECURSIVE walked (key, number) AS (
    (SELECT key, 1 FROM {table} WHERE project_id = %(project)s ORDER BY key LIMIT 1)
    UNION ALL
    SELECT (SELECT next.key FROM {table} AS next WHERE next.project_id = %(project)s AND next.key > walked.key
            ORDER BY next.key LIMIT 1), number + 1
    FROM walked WHERE walked.key IS NOT NULL AND number < %(furthest)s
)
SELECT key FROM walked WHERE key IS NOT NULL AND strpos(lower(key), lower(%(text)s)) > 0 AND EXISTS (
    SELECT 1 FROM {table} AS held WHERE held.project_id = %(project)s AND held.key = walked.key AND held.run_id IN ({runs})
) LIMIT %(limit)s
"""


def keys(kind: str, *, project: UUID, by: Any, text: str = "", limit: int = MOST) -> list[str]:
    """Return the keys that hold `text`, by name: of a "param", "metric" or "tag", of the runs that `by` may see."""
    runs, values = _readable(Run.objects.visible_to(by, "view").filter(project=project, archived_at=None))
    if runs is None:
        return []
    given = {"project": project, "furthest": _FURTHEST, "text": text, "limit": limit, **values}
    with connection.cursor() as cursor:
        cursor.execute(_WALK.format(table=TABLES[kind]._meta.db_table, runs=runs), given)  # noqa: SLF001 -- documented Django API
        return [row[0] for row in cursor.fetchall()]


def _readable(rows: QuerySet[Run]) -> tuple[str | None, dict[str, Any]]:
    """Return the SQL of the ids of runs and its values, by name; None where nothing can be seen."""
    if rows.query.is_empty():
        return None, {}
    sql, values = rows.order_by().values("pk").query.sql_with_params()
    names = [f"run{number}" for number in range(len(values))]
    return sql % tuple(f"%({name})s" for name in names), dict(zip(names, values, strict=True))
