"""What was read of a person's teams and shares is believed as long as his token, lets pass only, and ends with a change."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access import grants, policy, remembered
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import recent
from apps.accounts import services as accounts
from apps.teams import services as teams
from apps.teams.models import Membership
from apps.tracking.models import Project, ProjectGroupGrant, ProjectUserGrant
from tests.accounts.test_tokens import issue
from tests.people import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TOKEN_KEPT_SECONDS = 0.5
    monkeypatch.setattr(recent, "_known", {})


@pytest.fixture
def project(cast: Cast) -> Project:
    """One of alice's, in her team, which the whole team sees."""
    return Project.objects.create(owner=cast.alice, team=cast.team, name="seen", visibility="team")


def requests_of(cast: Cast, name: str) -> Any:
    """Return what makes a request's user, each time a new one, of one token."""
    value = issue(cast.people[name])
    return lambda: accounts.authenticate_token(value)


def sees(user: Any) -> set[Project]:
    return set(Project.objects.visible_to(user, "view"))


def test_the_second_request_asks_for_the_objects_only(cast: Cast, project: Project) -> None:
    request = requests_of(cast, "bob")
    with CaptureQueriesContext(connection) as first:
        assert sees(request()) == {project}
    with CaptureQueriesContext(connection) as second:
        assert sees(request()) == {project}
    assert len(first) > len(second) == 1


def test_one_object_of_a_team_is_judged_from_memory(cast: Cast, project: Project) -> None:
    request = requests_of(cast, "bob")
    assert policy.can(request(), "view", project)
    with CaptureQueriesContext(connection) as asked:
        assert policy.can(request(), "view", project)
    assert len(asked) == 0


def test_what_another_process_takes_is_gone_after_the_token_was_asked_anew(
    cast: Cast, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = requests_of(cast, "bob")
    assert sees(request()) == {project}
    Membership.objects.filter(user=cast.bob).delete()  # as another process does
    now = remembered.time.monotonic()
    monkeypatch.setattr(remembered.time, "monotonic", lambda: now + 0.51)
    assert sees(request()) == set()
    assert not policy.can(request(), "view", project)


def test_also_in_a_request_that_goes_on(cast: Cast, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    user = requests_of(cast, "dana")()
    grants.grant(cast.dana, project, Role.EDITOR)
    assert sees(user) == {project}
    ProjectUserGrant.objects.all().delete()  # as another process does
    now = remembered.time.monotonic()
    monkeypatch.setattr(remembered.time, "monotonic", lambda: now + 0.51)
    assert sees(user) == set()


def test_a_share_that_ends_here_ends_at_once(cast: Cast, project: Project) -> None:
    grants.grant(cast.dana, project, Role.EDITOR)
    request = requests_of(cast, "dana")
    assert sees(request()) == {project}
    grants.revoke(cast.dana, project)
    assert sees(request()) == set()
    assert not policy.can(request(), "view", project)


def test_a_membership_that_ends_here_ends_at_once(cast: Cast, project: Project) -> None:
    request = requests_of(cast, "bob")
    assert sees(request()) == {project}
    teams.remove_member(cast.team, cast.bob, by=SYSTEM)
    assert sees(request()) == set()
    assert not policy.can(request(), "view", project)


@pytest.mark.parametrize("door", ["grant", "membership"])
def test_before_a_no_it_is_read_afresh(cast: Cast, project: Project, door: str) -> None:
    request = requests_of(cast, "olaf")
    assert not policy.can(request(), "view", project)
    if door == "grant":  # both as another process does
        ProjectUserGrant.objects.create(
            user=cast.olaf, content_object=project, permission=_permission(Role.VIEWER, project)
        )
    else:
        Membership.objects.create(user=cast.olaf, team=cast.team, role="viewer")
    assert policy.can(request(), "view", project)


@pytest.mark.parametrize("most", [0, 2, 1000])
def test_however_many_shares_there_are_they_give_the_same(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(grants, "_MOST_KEPT", most)
    rows = [Project.objects.create(owner=cast.alice, name=f"p{n}", visibility="private") for n in range(6)]
    for row, role in zip(rows[:3], [Role.VIEWER, Role.EDITOR, Role.MANAGER], strict=True):
        grants.grant(cast.dana, row, role)
    group = cast.other_team.group
    ProjectGroupGrant.objects.create(group=group, content_object=rows[3], permission=_permission(Role.EDITOR, rows[3]))
    assert sees(requests_of(cast, "dana")()) == set(rows[:3])
    assert set(Project.objects.visible_to(requests_of(cast, "dana")(), "edit")) == set(rows[1:3])
    assert set(Project.objects.shared_with(cast.dana)) == set(rows[:3])
    assert sees(requests_of(cast, "olaf")()) == {rows[3]}
    assert policy.role_of(requests_of(cast, "olaf")(), rows[3]) is Role.EDITOR
    assert sees(requests_of(cast, "charlie")()) == set()


def _permission(role: Role, obj: Any) -> Any:
    from django.contrib.auth.models import Permission

    return Permission.objects.get(codename=grants.codename(role), content_type__model=obj._meta.model_name)
