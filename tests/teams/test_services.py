"""Organizations, teams and members: who may change them, and what a change takes away."""

from typing import Any

import pytest

from apps.access import policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, NotAllowed, NotFound
from apps.teams import services
from apps.teams.models import Membership, Organization, Team
from apps.tracking.models import Project
from tests.people import Cast


@pytest.mark.parametrize("name", ["alice", "mia", "charlie"])
def test_only_an_admin_makes_organizations_and_teams(cast: Cast, name: str) -> None:
    with pytest.raises(NotAllowed):
        services.create_organization(slug="new", name="New", by=cast.people[name])
    with pytest.raises(NotAllowed):
        services.create_team(cast.organization, slug="new", name="New", by=cast.people[name])
    assert not Organization.objects.filter(slug="new").exists()
    assert not Team.objects.filter(slug="new").exists()


@pytest.mark.parametrize("slug", ["", "a b", "vision", "x" * 61])
def test_a_bad_or_taken_slug_is_refused(cast: Cast, slug: str) -> None:
    with pytest.raises(Invalid) as refusal:
        services.create_team(cast.organization, slug=slug, name="New", by=cast.sre)
    assert "slug" in refusal.value.errors
    assert Team.objects.count() == 2


def test_an_admin_makes_a_team_with_its_group(cast: Cast) -> None:
    team = services.create_team(cast.organization, slug="new", name="New", by=cast.sre)
    assert team.group.name == "team:new"
    assert AuditEvent.objects.filter(action="create", object_id=str(team.pk), actor=cast.sre).exists()


def test_a_maintainer_changes_members(cast: Cast) -> None:
    services.set_member(cast.team, cast.charlie, role="viewer", by=cast.mia)
    services.set_member(cast.team, cast.charlie, role="member", by=cast.mia)
    assert Membership.objects.get(team=cast.team, user=cast.charlie).role == "member"
    assert cast.charlie.groups.filter(pk=cast.team.group_id).exists()
    assert AuditEvent.objects.filter(action="set_member", actor=cast.mia).count() == 2


@pytest.mark.parametrize(
    ("name", "error"),
    [("alice", NotAllowed), ("bob", NotAllowed), ("olaf", NotFound), ("charlie", NotFound), ("ivan", NotFound)],
)
def test_others_do_not_change_members(cast: Cast, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        services.set_member(cast.team, cast.people[name], role="maintainer", by=cast.people[name])
    with pytest.raises(error):
        services.remove_member(cast.team, cast.mia, by=cast.people[name])
    with pytest.raises(error):
        services.find_person("mia", team=cast.team, by=cast.people[name])
    assert Membership.objects.get(team=cast.team, user=cast.mia).role == "maintainer"
    assert not Membership.objects.filter(team=cast.team, user=cast.people[name], role="maintainer").exclude(
        user=cast.ivan
    )


def test_an_unknown_role_is_refused(cast: Cast) -> None:
    with pytest.raises(Invalid):
        services.set_member(cast.team, cast.charlie, role="god", by=cast.mia)
    assert not Membership.objects.filter(user=cast.charlie).exists()


def test_who_leaves_loses_what_the_team_gave(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    assert policy.decide(cast.bob, "view", project)
    services.remove_member(cast.team, cast.bob, by=cast.mia)
    services.remove_member(cast.team, cast.bob, by=cast.mia)
    assert not policy.decide(cast.again("bob"), "view", project)
    assert not cast.bob.groups.exists()
    assert AuditEvent.objects.filter(action="remove_member").count() == 1


def test_who_leaves_keeps_what_is_his(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    services.remove_member(cast.team, cast.alice, by=cast.mia)
    assert policy.role_of(cast.again("alice"), project) is Role.MANAGER


def test_a_person_is_found_by_the_exact_name(cast: Cast) -> None:
    assert services.find_person(" charlie ", team=cast.team, by=cast.mia) == cast.charlie
    for name in ("Charlie", "char", "ivan", ""):
        with pytest.raises(Invalid):
            services.find_person(name, team=cast.team, by=cast.mia)


def test_memberships_are_told_as_roles(cast: Cast, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        told = services.memberships_of(cast.alice)
        assert (told.roles, told.words) == ({cast.team.pk: Role.EDITOR}, {cast.team.pk: "member"})
    assert told.roles == {cast.team.pk: Role.EDITOR}
    assert set(told.organization_teams()) == {cast.team.pk, cast.other_team.pk}
    assert list(services.memberships_of(cast.charlie).organization_teams()) == []


def test_the_team_is_in_words(cast: Cast) -> None:
    assert str(Membership.objects.get(user=cast.bob)) == "bob, viewer of Vision"
    assert services.create_organization(slug="o", name="Oh", by=SYSTEM).name == "Oh"
