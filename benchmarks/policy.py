"""What the judge costs: lists and single objects of somebody in many teams, with many shares, among much that is not his."""

import json

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
with connection.cursor() as cursor:
    cursor.execute('''
        INSERT INTO accounts_user (username, password, first_name, last_name, email, is_active, date_joined, platform_role)
            SELECT 'filler-' || n, '', '', '', '', true, now(), '' FROM generate_series(1, 2000) AS n;
        INSERT INTO auth_group (name) SELECT 'org:bench-' || n FROM generate_series(1, 50) AS n;
        INSERT INTO auth_group (name) SELECT 'team:bench-' || n FROM generate_series(1, 1000) AS n;
        INSERT INTO teams_organization (slug, name, group_id)
            SELECT 'bench-' || n, 'bench', id FROM generate_series(1, 50) AS n JOIN auth_group ON name = 'org:bench-' || n;
        INSERT INTO teams_team (slug, name, organization_id, group_id)
            SELECT 'bench-' || n, 'bench', o.id, g.id FROM generate_series(1, 1000) AS n
              JOIN auth_group g ON g.name = 'team:bench-' || n JOIN teams_organization o ON o.slug = 'bench-' || 1 + n % 50;
        INSERT INTO teams_membership (team_id, user_id, role)
            SELECT t.id, u.id, 'member' FROM generate_series(1, 2000) AS n
              JOIN accounts_user u ON u.username = 'filler-' || n JOIN teams_team t ON t.slug = 'bench-' || 1 + n % 1000;
    ''')
from apps.teams.models import Team
mine = list(Team.objects.filter(slug__startswith="bench-").order_by("pk")[::50])
assert len(mine) == 20
for team in mine:
    teams.set_member(team, user, role="member", by=SYSTEM)
project = Project.objects.create(owner=user, name="judged")
owners = list(User.objects.filter(username__startswith="filler-"))
seed.experiments(200_000, owners=owners, teams=list(Team.objects.filter(slug__startswith="bench-")), project=project,
                 cluster=Cluster.objects.get(name="local"))
with connection.cursor() as cursor:
    cursor.execute('''
        UPDATE tracking_run SET visibility = CASE WHEN hashtext(id::text) % 100 < 5 THEN 'private'
            WHEN hashtext(id::text) % 100 < 8 THEN 'organization' ELSE 'team' END;
        UPDATE tracking_run SET visibility = 'public' WHERE hashtext(id::text) % 1000 = 999;
        INSERT INTO tracking_runusergrant (user_id, content_object_id, permission_id)
            SELECT u.id, r.id, p.id FROM (SELECT id, row_number() OVER () AS n FROM tracking_run TABLESAMPLE SYSTEM (20)) r
              JOIN accounts_user u ON u.username = CASE WHEN n <= 200 THEN 'judged' ELSE 'filler-' || 1 + n % 2000 END
              JOIN auth_permission p ON p.codename = 'hold_editor'
              JOIN django_content_type c ON c.id = p.content_type_id AND c.app_label = 'tracking' AND c.model = 'run'
              WHERE n <= 20200;
        INSERT INTO tracking_rungroupgrant (group_id, content_object_id, permission_id)
            SELECT t.group_id, r.id, p.id FROM (SELECT id, row_number() OVER () AS n FROM tracking_run TABLESAMPLE SYSTEM (10)) r
              JOIN teams_team t ON t.slug = 'bench-' || 1 + n % 1000
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
from apps.access import policy
from apps.accounts.models import User
from apps.experiments.models import Experiment
from apps.tracking.models import Run
from django.db import connection
def fresh():
    return User.objects.get(username="judged")
def median(work, times=41):
    spent = []
    for _ in range(times + 3):
        user = fresh()
        began = time.perf_counter(); work(user); spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent[3:])
def page(rows):
    return list(rows.live().with_details().order_by("-pk")[:51])
ids = [row.pk for row in page(Experiment.objects.visible_to(fresh(), "view"))]
assert len(ids) == 51
one = ids[25]
same = Experiment.objects.filter(pk__in=ids)
def detail(user):
    row = Experiment.objects.visible_to(user, "view").live().with_details().get(pk=one)
    policy.require(user, "view", row)
found = {
    "list": median(lambda user: page(Experiment.objects.visible_to(user, "view"))),
    "list without": median(lambda _user: page(Experiment.objects.all())),
    "runs": median(lambda user: page(Run.objects.visible_to(user, "view"))),
    "runs without": median(lambda _user: page(Run.objects.all())),
    "shared": median(lambda user: page(Experiment.objects.visible_to(user, "view").shared_with(user))),
    "detail": median(detail),
    "detail without": median(lambda _user: Experiment.objects.live().with_details().get(pk=one)),
    "visible": Experiment.objects.visible_to(fresh(), "view").count(),
}
if %r:
    for rows in (Experiment.objects.visible_to(fresh(), "view").live().with_details().order_by("-pk")[:51], Experiment.objects.visible_to(fresh(), "view").shared_with(fresh()).live().with_details().order_by("-pk")[:51]):
        print(rows.explain(analyze=True, buffers=True))
print(json.dumps(found))
"""


def cost(platform: Platform, *, explain: bool = False) -> list[Result]:
    """Seed and measure."""
    platform.manage(_SEED)
    said = platform.manage(_MEASURE % explain)
    print(said)
    found = json.loads(said.splitlines()[-1])
    return [Result(name, value, "ms", "", met=True) for name, value in found.items()]


if __name__ == "__main__":
    import sys
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="fathom-bench-") as folder:
        platform = Platform(Path(folder) / "home")
        platform.start()
        try:
            cost(platform, explain="--explain" in sys.argv)
        finally:
            platform.stop()
