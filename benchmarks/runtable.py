"""The run table of a project with 10,000 runs and 1,000 keys: the first paint in Chromium, and the time in the server.

Alone: `python -m benchmarks.runtable [series per run]`. Usually each run has 100 of the 1,000 metrics, and 20 of 200 params, so
that there are a million series; with 1000 every run has every metric, ten million series, which takes minutes to write.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser

from benchmarks.report import Result
from tests.e2e.browser import open_browser, open_window
from tests.platform import Platform

RUNS = 10_000
KEYS = 1_000
SERIES = 100
BAR = 1000  # ms to the first paint
_TIMES = 7
_PASSWORD = "correct horse battery"
_SEED = """
from django.db import connection
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.tracking import services as tracking
from apps.tracking.models import MetricSeries
owner = User.objects.get(username="table")
project = tracking.create_project("table", by=owner)
given = {"owner": owner.pk, "project": project.pk, "runs": RUNS, "keys": KEYS, "series": SERIES}
indexes, unique = MetricSeries._meta.indexes, MetricSeries._meta.constraints
with connection.cursor() as cursor:
    cursor.execute("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'tracking_metricseries'::regclass AND contype = 'f'")
    keys = cursor.fetchall()
with connection.schema_editor() as editor:  # written row by row, the indexes would take most of the time
    for index in indexes:
        editor.remove_index(MetricSeries, index)
    for constraint in unique:
        editor.remove_constraint(MetricSeries, constraint)
    for name, _ in keys:
        editor.execute(f"ALTER TABLE tracking_metricseries DROP CONSTRAINT {name}")
with connection.cursor() as cursor:
    cursor.execute('''
        INSERT INTO tracking_run (id, owner_id, project_id, visibility, name, status, started_at, created_at, finished_at)
        SELECT gen_random_uuid(), %(owner)s, %(project)s, 'private', 'run ' || n, (ARRAY['finished', 'failed'])[1 + (n %% 9 = 0)::int],
            now() - (%(runs)s - n) * interval '1 minute', now(), now() - (%(runs)s - n) * interval '1 minute' + n %% 3000 * interval '1 second'
        FROM generate_series(1, %(runs)s) AS n''', given)
    cursor.execute('''
        INSERT INTO tracking_metricseries (run_id, project_id, key, count, last_value, last_step, last_time, min_value, max_value)
        SELECT id, project_id, 'group' || key %% 10 || '/metric' || lpad(key::text, 4, '0'), 1, random(), 0, now(), 0, 1
        FROM (SELECT id, project_id, row_number() OVER () AS n FROM tracking_run WHERE project_id = %(project)s) AS runs,
            LATERAL (SELECT (n * %(series)s + s) %% %(keys)s AS key FROM generate_series(1, %(series)s) AS s) AS keys''', given)
    cursor.execute('''
        INSERT INTO tracking_param (run_id, project_id, key, value)
        SELECT id, project_id, 'param' || lpad(((n * 20 + s) %% 200)::text, 3, '0'), (n * s %% 7)::text
        FROM (SELECT id, project_id, row_number() OVER () AS n FROM tracking_run WHERE project_id = %(project)s) AS runs,
            generate_series(1, 20) AS s''', given)
    cursor.execute("INSERT INTO tracking_tag (run_id, project_id, key, value) SELECT id, project_id, 'stage', 'dev' FROM tracking_run"
        " WHERE project_id = %(project)s", given)
with connection.schema_editor() as editor:
    for name, text in keys:
        editor.execute(f"ALTER TABLE tracking_metricseries ADD CONSTRAINT {name} {text}")
    for constraint in unique:
        editor.add_constraint(MetricSeries, constraint)
    for index in indexes:
        editor.add_index(MetricSeries, index)
with connection.cursor() as cursor:
    cursor.execute("VACUUM ANALYZE")
print(project.pk)
"""
_METRIC = "group7/metric0007"
_COLUMNS = "&".join(
    [
        *(f"col=metrics.group{n}/metric000{n}" for n in range(8)),
        *(f"col=params.param00{n}" for n in range(4)),
        "col=status",
        "col=tags",
    ]
)
ASKED = {
    "as it opens": "",
    "14 columns, sorted by a metric, 100 rows": f"{_COLUMNS}&sort=-metrics.{_METRIC}&limit=100",
    "filtered by a metric and a param": f"q={quote(f'metrics.`{_METRIC}` < 0.5 AND params.param001 = ')}'3'&{_COLUMNS}",
    "in groups of a param, 8 metrics": f"group=params.param001&{_COLUMNS}",
}
_PAINT = """() => new Promise((done) => {
    new PerformanceObserver((list) => {
        const first = list.getEntriesByName('first-contentful-paint')[0];
        if (first) done([first.startTime, performance.getEntriesByType('navigation')[0].responseStart]);
    }).observe({type: 'paint', buffered: true});
})"""


def paints(platform: Platform, *, series: int = SERIES) -> list[Result]:
    """Open each table in windows that have cached nothing."""
    platform.make_user("table", password=_PASSWORD)
    sizes = {"RUNS": RUNS, "KEYS": KEYS, "SERIES": series}
    seed = _SEED
    for word, number in sizes.items():
        seed = seed.replace(f": {word}", f": {number}")
    began = time.monotonic()
    project = platform.manage(seed).strip()
    print(f"{RUNS * series:,} series written in {time.monotonic() - began:.0f} s", file=sys.stderr)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        msg = "There is no Chromium. Install one, or name it in CHROMIUM."
        raise RuntimeError(msg)
    with open_browser(chromium) as browser:
        return [_measured(browser, platform, project, name, query, series) for name, query in ASKED.items()]


def _measured(browser: Browser, platform: Platform, project: str, name: str, query: str, series: int) -> Result:
    seen: list[Any] = []
    for _ in range(_TIMES + 1):
        with open_window(browser, platform.url) as window:
            window.log_in("table", _PASSWORD)
            window.go(f"/projects/{project}/?{query}")
            assert window.page.locator("tbody td.name").count() >= 1
            seen.append(window.page.evaluate(_PAINT))
    first, server = (statistics.median(pair[n] for pair in seen[1:]) for n in (0, 1))
    return Result(
        f"run table, {RUNS:,} runs, {KEYS:,} keys, {RUNS * series:,} series: {name}",
        first, "ms to the first paint", f"≤ {BAR} ms", first <= BAR, server, "first byte from the server",
    )  # fmt: skip


def main() -> int:
    series = int(sys.argv[1]) if len(sys.argv) > 1 else SERIES
    with tempfile.TemporaryDirectory(prefix="fathom-table-") as folder:
        Path(folder).chmod(0o755)
        platform = Platform(Path(folder) / "home")
        platform.start()
        try:
            for result in paints(platform, series=series):
                met = "" if result.met else "  NOT MET"
                print(
                    f"{result.value:8.0f} ms first paint, {result.floor:6.0f} ms to the first byte: {result.name}{met}"
                )
        finally:
            platform.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
