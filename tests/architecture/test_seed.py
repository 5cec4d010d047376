"""The benchmarks fill tables with SQL of their own: it has to fit the tables as they are."""

import pytest

from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.compute import services as compute
from apps.compute.models import Cluster, Workload
from apps.teams import services as teams
from apps.tracking import services as tracking
from benchmarks import seed


@pytest.mark.django_db
def test_the_rows_of_the_benchmarks_fit_the_tables() -> None:
    owner = User.objects.create(username="somebody")
    organization = teams.create_organization(slug="rows", name="Rows", by=SYSTEM)
    team = teams.create_team(organization, slug="rows", name="Rows", by=SYSTEM)
    cluster = compute.save_cluster(Cluster(name="rows", kind="fake"), by=SYSTEM)
    project = tracking.create_project("rows", by=owner)
    seed.experiments(3, owners=[owner], teams=[team], project=project, cluster=cluster)
    seed.records(3)
    assert Workload.objects.count() == 3
    assert User.objects.filter(username__startswith="person").count() == 3
