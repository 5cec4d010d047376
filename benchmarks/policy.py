"""What the judge costs: lists and single objects of somebody in many teams, with many shares, among much that is not his."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Result
from tests.platform import Platform

_SEED = """
from django.db import connection
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.compute.models import Cluster
from apps.teams import services as teams
from apps.tracking.models import Project, Run
from benchmarks import seed
user = User.objects.create(username="judged")
User.objects.bulk_create(User(username=f"filler-{n}") for n in range(1, 2001))
with connection.cursor() as cursor:
    cursor.execute('''
        INSERT INTO auth_group (name) SELECT 'org:judge-' || n FROM generate_series(1, 50) AS n;
        INSERT INTO auth_group (name) SELECT 'team:judge-' || n FROM generate_series(1, 1000) AS n;
        INSERT INTO teams_organization (slug, name, group_id)
            SELECT 'judge-' || n, 'bench', id FROM generate_series(1, 50) AS n JOIN auth_group ON name = 'org:judge-' || n;
        INSERT INTO teams_team (slug, name, organization_id, group_id)
            SELECT 'judge-' || n, 'bench', o.id, g.id FROM generate_series(1, 1000) AS n
              JOIN auth_group g ON g.name = 'team:judge-' || n JOIN teams_organization o ON o.slug = 'judge-' || 1 + n % 50;
        INSERT INTO teams_membership (team_id, user_id, role, source)
            SELECT t.id, u.id, 'member', 'hand' FROM generate_series(1, 2000) AS n
              JOIN accounts_user u ON u.username = 'filler-' || n JOIN teams_team t ON t.slug = 'judge-' || 1 + n % 1000;
    ''')
from apps.teams.models import Team
mine = list(Team.objects.filter(slug__startswith="judge-").order_by("pk")[::50])
assert len(mine) == 20
for team in mine:
    teams.set_member(team, user, role="member", by=SYSTEM)
project = Project.objects.create(owner=user, name="judged")
owners = list(User.objects.filter(username__startswith="filler-"))
seed.experiments(200_000, owners=owners, teams=list(Team.objects.filter(slug__startswith="judge-")), project=project,
                 cluster=Cluster.objects.get(name="local"))
with connection.cursor() as cursor:
    cursor.execute('''
        UPDATE tracking_run SET visibility = CASE WHEN abs(hashtext(id::text)) % 100 < 5 THEN 'private'
            WHEN abs(hashtext(id::text)) % 100 < 8 THEN 'organization' ELSE 'team' END;
        UPDATE tracking_run SET visibility = 'public' WHERE abs(hashtext(id::text)) % 1000 = 999;
        INSERT INTO tracking_runusergrant (user_id, content_object_id, permission_id)
            SELECT u.id, r.id, p.id FROM (SELECT id, row_number() OVER () AS n FROM tracking_run TABLESAMPLE SYSTEM (20)) r
              JOIN accounts_user u ON u.username = CASE WHEN n <= 200 THEN 'judged' ELSE 'filler-' || 1 + n % 2000 END
              JOIN auth_permission p ON p.codename = 'hold_editor'
              JOIN django_content_type c ON c.id = p.content_type_id AND c.app_label = 'tracking' AND c.model = 'run'
              WHERE n <= 20200;
        INSERT INTO tracking_rungroupgrant (group_id, content_object_id, permission_id)
            SELECT t.group_id, r.id, p.id FROM (SELECT id, row_number() OVER () AS n FROM tracking_run TABLESAMPLE SYSTEM (10)) r
              JOIN teams_team t ON t.slug = 'judge-' || 1 + n % 1000
              JOIN auth_permission p ON p.codename = 'hold_viewer'
              JOIN django_content_type c ON c.id = p.content_type_id AND c.app_label = 'tracking' AND c.model = 'run'
              WHERE n <= 10000;
        VACUUM ANALYZE;
    '''.split("VACUUM")[0])
    cursor.execute("VACUUM ANALYZE")
print("seeded")
"""

_MEASURE = """
import json, statistics, time
from contextlib import contextmanager
from django.conf import settings
from django.test import Client
from apps.access import policy
from apps.access.decision import Decision
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.experiments.models import Experiment
settings.ALLOWED_HOSTS = ["*"]
user = User.objects.get(username="judged")
client = Client(HTTP_AUTHORIZATION="Bearer " + accounts.issue_token(user, by=SYSTEM, name="bench")[1])
@contextmanager
def without_policy():
    visible, decide = policy.visible, policy.decide
    policy.visible = lambda rows, _principal, _action: rows
    policy.decide = lambda _principal, _action, _obj: Decision(allowed=True, reason="")
    try:
        yield
    finally:
        policy.visible, policy.decide = visible, decide
def spent(path):
    began = time.perf_counter()
    answer = client.get(path)
    taken = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, (path, answer.content[:300])
    return taken
def both(path, times=61):
    # In turn, so that what else the machine does meets both alike.
    judged, bare = [], []
    for turn in range(times):
        judged.append(spent(path))
        with without_policy():
            bare.append(spent(path))
    return statistics.median(judged[5:]), statistics.median(bare[5:])
seen = Experiment.objects.visible_to(user, "view")
one = seen.order_by("-pk")[25].pk
shared = seen.shared_with(user).order_by("-pk")[0].pk
print(json.dumps({
    "visible": seen.count(),
    "list": both("/api/v2/experiments/"),
    "runs": both("/api/v2/runs/"),
    "shared": both("/api/v2/experiments/?shared=true"),
    "detail": both(f"/api/v2/experiments/{one}/"),
    "detail of a share": both(f"/api/v2/experiments/{shared}/"),
    "page": (lambda found: found)(both(f"/api/v2/runs/{one}/")),
}))
"""
_WORDS = {
    "list": "experiment list, first page",
    "runs": "run list, first page",
    "shared": "experiments shared with one, first page",
    "detail": "one experiment",
    "detail of a share": "one experiment that was shared",
    "page": "one run",
}


def cost(platform: Platform) -> list[Result]:
    """Measure whole requests in the server, with and without the judge in turn: 200,000 objects, 1,000 teams, a person in
    20 of them with 200 shares."""
    platform.manage(_SEED)
    found = json.loads(platform.manage(_MEASURE).splitlines()[-1])
    visible = found.pop("visible")
    return [_line(name, *found[name], visible) for name in _WORDS]


def _line(name: str, judged: float, bare: float, visible: int) -> Result:
    is_met = judged <= 50 and judged <= bare * 1.1
    note = f"sees {visible:,} of 200,000; 1,000 teams, in 20; 200 shares"
    bar = "≤ 50 ms and ≤ 1.1 times the floor"
    return Result(f"policy: {_WORDS[name]}", judged, "ms", bar, is_met, bare, "the same without the policy", note)


def main() -> None:
    """Measure this alone: `python -m benchmarks.policy`."""
    with tempfile.TemporaryDirectory(prefix="fathom-bench-") as folder:
        platform = Platform(Path(folder) / "home")
        platform.start()
        try:
            for row in cost(platform):
                sys.stdout.write(
                    f"{row.name}: {row.value:.1f} ms, without {row.floor:.1f} ms, {row.ratio}; {row.note}\n"
                )
        finally:
            platform.stop()


if __name__ == "__main__":
    main()
