"""A list holds what may be seen one by one: for random people, teams, shares, expiries, visibilities and tokens."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker

from apps.access import grants, policy
from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.explain import explain
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.teams import services as teams
from apps.teams.choices import TeamRole
from apps.teams.models import Team
from apps.tracking.models import Project, Run
from tests.access.judged import behind

pytestmark = pytest.mark.django_db  # so that the test database is made even for this file alone
PEOPLE, TEAMS, OBJECTS = 3, 3, 3
_person = st.integers(0, PEOPLE - 1)
_team = st.integers(0, TEAMS - 1)
_role = st.sampled_from([Role.VIEWER, Role.EDITOR, Role.MANAGER])
_expiry = st.sampled_from([None, timedelta(hours=1), timedelta(seconds=-1)])
_subject = st.tuples(st.sampled_from(["user", "team", "organization"]), st.integers(0, PEOPLE - 1))
_object = st.tuples(_person, st.none() | _team, st.sampled_from(Visibility.values))
_scopes = st.none() | st.lists(st.sampled_from(["all", "read", "run:view", "run:edit", "project:share"]), max_size=2)

worlds = st.fixed_dictionaries(
    {
        "members": st.lists(st.tuples(_team, _person, st.sampled_from(TeamRole.values)), max_size=6),
        "runs": st.lists(_object, min_size=1, max_size=OBJECTS),
        "grants": st.lists(st.tuples(st.booleans(), st.integers(0, OBJECTS - 1), _subject, _role, _expiry), max_size=8),
        "platform": st.lists(st.sampled_from(["", "", "", "admin", "auditor"]), min_size=PEOPLE, max_size=PEOPLE),
        "active": st.lists(st.sampled_from([True, True, True, False]), min_size=PEOPLE, max_size=PEOPLE),
        "scopes": _scopes,
        "bound": st.none() | st.integers(0, OBJECTS - 1),
        "elevated": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def base(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[list[User], list[Team]]]:
    """People and teams stay; what the random worlds add to them is taken back after each."""
    with django_db_blocker.unblock(), transaction.atomic():
        people = [User.objects.create(username=f"p{number}") for number in range(PEOPLE)]
        first, second = (teams.create_organization(slug=name, name=name, by=SYSTEM) for name in ("one", "two"))
        found = [
            teams.create_team(org, slug=f"t{no}", name="t", by=SYSTEM) for no, org in enumerate([first, first, second])
        ]
        yield people, found
        transaction.set_rollback(True)


def build(world: dict[str, Any], people: list[User], found: list[Team]) -> list[Run]:
    for user, role, active in zip(people, world["platform"], world["active"], strict=True):
        User.objects.filter(pk=user.pk).update(platform_role=role, is_active=active)
    for team, person, role in world["members"]:
        teams.set_member(found[team], people[person], role=role, by=SYSTEM)
    runs = []
    for number, (owner, team, visibility) in enumerate(world["runs"]):
        facts: dict[str, Any] = {
            "name": f"r{number}",
            "owner": people[owner],
            "team": None if team is None else found[team],
            "visibility": visibility,
        }
        runs.append(Run.objects.create(project=Project.objects.create(**facts), **facts))
    for on_project, index, (kind, number), role, expiry in world["grants"]:
        run = runs[index % len(runs)]
        team = found[number % TEAMS]
        subject = {"user": people[number], "team": team.group, "organization": team.organization.group}[kind]
        expires_at = None if expiry is None else timezone.now() + expiry
        grants.grant(subject, run.project if on_project else run, role, expires_at=expires_at)
    return runs


def principals(world: dict[str, Any], people: list[User], runs: list[Run]) -> Iterator[User]:
    for user in people:
        fresh = User.objects.get(pk=user.pk)
        if world["elevated"]:
            fresh.elevated_until = timezone.now() + timedelta(hours=1)
        yield fresh
        if world["scopes"] is not None:
            bound = "" if world["bound"] is None else f"run:{runs[world['bound'] % len(runs)].pk}"
            yield behind(User.objects.get(pk=user.pk), scopes=world["scopes"], bound_to=bound)


def disagreements(world: dict[str, Any], people: list[User], found: list[Team]) -> list[str]:
    runs = build(world, people, found)
    wrong = []
    for principal in principals(world, people, runs):
        for model in (Run, Project):
            rows = list(model.objects.select_related("team").order_by("pk"))
            least = policy.policy_for(model).actions
            # Without a token only the least role of an action matters: one action of each will do.
            actions = least if principal.token is not None else {role: name for name, role in least.items()}.values()
            for action in actions:
                listed = set(model.objects.visible_to(principal, action))
                allowed = {row for row in rows if policy.decide(principal, action, row).allowed}
                wrong += [f"{principal} {action} {row!r}" for row in listed ^ allowed]
            told = {row.pk: explain(principal, row).role for row in rows}
            wrong += [f"{principal} {row!r}" for row in rows if told[row.pk] is not policy.role_of(principal, row)]
    return wrong


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(world=worlds)
def test_list_detail_and_explanation_agree(base: tuple[list[User], list[Team]], world: dict[str, Any]) -> None:
    with transaction.atomic():
        assert disagreements(world, *base) == []
        transaction.set_rollback(True)


def test_the_property_sees_an_expired_share_that_still_counts(
    base: tuple[list[User], list[Team]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: lists forget the expiry, details do not."""
    world = {
        "members": [], "runs": [(0, None, "private")], "platform": [""] * PEOPLE, "active": [True] * PEOPLE,
        "grants": [(False, 0, ("user", 1), Role.VIEWER, timedelta(seconds=-1))], "scopes": None, "bound": None,
        "elevated": False,
    }  # fmt: skip
    with transaction.atomic():
        assert disagreements(world, *base) == []
        transaction.set_rollback(True)

    def forgetful(model: Any, *, is_any: bool) -> str:
        return selecting(model, is_any=is_any).replace("g.expires_at >", "g.expires_at <")

    selecting = grants._selecting
    monkeypatch.setattr(grants, "_selecting", forgetful)
    with transaction.atomic():
        assert disagreements(world, *base) != []
        transaction.set_rollback(True)
