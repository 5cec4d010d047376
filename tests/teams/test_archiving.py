"""An archived team takes no new work and no new members; what it has stays to be seen."""

import pytest

from apps.access import policy
from apps.core.errors import Conflict, Invalid, NotAllowed
from apps.teams import services
from apps.teams.models import Membership, Organization, Team
from apps.tracking import services as tracking
from apps.tracking.models import Project, Run
from tests.factories import Stage
from tests.people import Cast


def test_nothing_new_and_nothing_lost(cast: Cast, stage: Stage) -> None:
    run = stage.submit(cast.alice, team="vision").run
    services.archive_team(cast.team, by=cast.sre, reason="over")
    counts = Run.objects.count(), Project.objects.count(), Membership.objects.count()
    tries = [
        lambda: stage.submit(cast.alice, team="vision"),
        lambda: stage.submit(cast.alice, project=str(run.project_id)),
        lambda: tracking.create_project("new", by=cast.alice, team=Team.objects.get(pk=cast.team.pk)),
        lambda: tracking.create_run(Project.objects.get(pk=run.project_id), by=cast.alice, name="new"),
        lambda: services.set_member(cast.team, cast.charlie, role="viewer", by=cast.mia),
        lambda: services.invite([(cast.team, "viewer")], by=cast.mia),
        lambda: services.create_service_account(cast.team, name="ci", by=cast.mia),
    ]
    for attempt in tries:
        with pytest.raises(Conflict, match="archived"):
            attempt()
    assert (Run.objects.count(), Project.objects.count(), Membership.objects.count()) == counts
    assert policy.can(cast.bob, "view", Run.objects.get(pk=run.pk))
    services.set_member(cast.team, cast.bob, role="member", by=cast.mia)  # who is in may still change
    services.restore(cast.team, by=cast.sre, reason="again")
    stage.submit(cast.again("alice"), team="vision")


def test_an_organization_takes_its_teams_with_it(cast: Cast) -> None:
    services.archive_organization(cast.organization, by=cast.sre, reason="over")
    assert not Team.objects.filter(archived_at=None).exists()
    with pytest.raises(Conflict):
        services.create_team(cast.organization, slug="new", name="New", by=cast.sre)
    team = Team.objects.select_related("organization").get(pk=cast.team.pk)
    with pytest.raises(Conflict):
        services.restore(team, by=cast.sre, reason="x")
    services.restore(cast.organization, by=cast.sre, reason="x")
    services.restore(Team.objects.get(pk=cast.team.pk), by=cast.sre, reason="x")
    assert set(Team.objects.filter(archived_at=None)) == {cast.team}


@pytest.mark.parametrize("name", ["mia", "alice", "charlie", "aud"])
def test_only_an_admin_renames_and_archives(name: str, cast: Cast) -> None:
    by = cast.people[name]
    for row in (cast.team, cast.organization):
        with pytest.raises(NotAllowed):
            services.rename(row, name="Other", by=by)
        with pytest.raises(NotAllowed):
            services.restore(row, by=by, reason="x")
    with pytest.raises(NotAllowed):
        services.archive_team(cast.team, by=by, reason="x")
    with pytest.raises(NotAllowed):
        services.archive_organization(cast.organization, by=by, reason="x")
    assert Team.objects.filter(name="Vision", archived_at=None).exists()
    assert Organization.objects.filter(name="Acme", archived_at=None).exists()


def test_a_name_changes_and_the_slug_stays(cast: Cast) -> None:
    services.rename(cast.team, name="Sight", by=cast.sre)
    services.rename(cast.organization, name="Acme Inc.", by=cast.sre)
    assert Team.objects.get(slug="vision").name == "Sight"
    with pytest.raises(Invalid):
        services.rename(cast.team, name="", by=cast.sre)
