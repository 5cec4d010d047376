"""The operators' admin over 100,000 rows of everything: the front page, every list, every question of every list.

Alone: `python -m benchmarks.admin`.
"""

import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.report import Result, median_of
from tests.platform import Platform

BAR = 300  # ms, in the server
ROWS = 100_000
_TIMES = 5
_SEED = """
from datetime import timedelta
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.admin import site
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from benchmarks import seed
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.acting import keep_elevation
from apps.accounts.sessions import SessionStore
from apps.compute.models import Cluster
from apps.teams import services as teams
from apps.tracking import services as tracking
import config.urls
organization = teams.create_organization(slug="rows", name="Rows", by=SYSTEM)
made = [teams.create_team(organization, slug=f"rows-{n}", name=f"Rows {n}", by=SYSTEM) for n in range(10)]
people = [accounts.create_user(f"rows{n}", by=SYSTEM) for n in range(10)]
operator = accounts.create_user("rows-operator", by=SYSTEM, is_admin=True)
project = tracking.create_project("rows", by=people[0])
seed.experiments(ROWS, owners=people, teams=made, project=project, cluster=Cluster.objects.get(name="local"))
seed.records(ROWS)
session = SessionStore()
session[SESSION_KEY] = str(operator.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = operator.get_session_auth_hash()
session.save()
keep_elevation(session, timezone.now() + timedelta(hours=2))
print("session", session.session_key)
for model, page in site._registry.items():
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    print("list", url)
    for offered in page.list_filter:
        if getattr(offered, "parameter_name", "") in {"question", "trouble", "pressure"}:
            for key, _ in offered.lookups(offered, None, page):
                print("question", f"{url}?{offered.parameter_name}={key}")
"""


def lists(platform: Platform) -> list[Result]:
    """Measure whole requests, after one that is not counted."""
    lines = [line.split() for line in platform.manage(_SEED.replace("ROWS", str(ROWS))).splitlines()]
    session = next(line[1] for line in lines if line[:1] == ["session"])
    found: dict[str, dict[str, float]] = {"list": {}, "question": {}}
    front = _milliseconds(platform, session, "/admin/")
    for kind, *rest in lines:
        if kind in found:
            found[kind][rest[0]] = _milliseconds(platform, session, rest[0])
    for url, value in sorted({**found["list"], **found["question"]}.items(), key=lambda pair: -pair[1])[:15]:
        print(f"{value:8.1f} ms  {url}", file=sys.stderr)
    results = [_result("front page", "", front)]
    for kind, words in (("list", "slowest of {} lists"), ("question", "slowest of {} questions of lists")):
        url, value = max(found[kind].items(), key=lambda pair: pair[1])
        results.append(_result(words.format(len(found[kind])), url, value))
    return results


def _result(what: str, url: str, value: float) -> Result:
    name = f"admin over {ROWS:,} rows a table: {what}"
    return Result(name, value, "ms", f"≤ {BAR} ms", value <= BAR, note=f"{url or '/admin/'}, whole request")


def _milliseconds(platform: Platform, session: str, path: str) -> float:
    request = urllib.request.Request(platform.url + path, headers={"Cookie": f"fathom_session={session}"})

    def once() -> float:
        began = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            assert answer.url == platform.url + path, answer.url
            answer.read()
        return (time.perf_counter() - began) * 1000

    return median_of(once, _TIMES)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="fathom-bench-") as folder:
        platform = Platform(Path(folder) / "home")
        platform.start()
        try:
            for row in lists(platform):
                print(f"{row.name}: {row.value:.1f} {row.unit} ({row.bar}; {row.note})")
        finally:
            platform.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
