"""The one judge: who may what, and what a refusal says."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access import grants, policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.core.errors import InsufficientScope, NotAllowed, NotAuthenticated, NotFound
from apps.experiments.models import Experiment
from apps.teams.models import Team
from apps.tracking.models import Project, Run
from tests.access.judged import behind
from tests.factories import Stage
from tests.people import Cast, share, submit


def test_the_people_hold_the_roles_they_should(cast: Cast, stage: Stage) -> None:
    experiment = submit(cast.alice, team="vision")
    share(experiment, cast.dana)
    held = {name: policy.role_of(cast.again(name), experiment).name for name in cast.people}
    assert held == {
        "alice": "MANAGER",
        "bob": "VIEWER",
        "charlie": "NONE",
        "dana": "EDITOR",
        "mia": "MANAGER",
        "olaf": "NONE",
        "sre": "MANAGER",
        "aud": "VIEWER",
        "ivan": "MANAGER",  # a maintainer; that he is disabled is judged before
    }


def test_a_private_object_of_a_team_is_nobody_elses(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="private")
    seen = {name for name in cast.people if policy.decide(cast.again(name), "view", project)}
    assert seen == {"alice", "sre", "aud"}


def test_the_organization_sees_what_is_shared_with_it(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="organization")
    seen = {name for name in cast.people if policy.decide(cast.again(name), "view", project)}
    assert seen == {"alice", "bob", "mia", "olaf", "sre", "aud"}
    assert not policy.decide(cast.olaf, "edit", project)


def test_a_disabled_person_may_nothing(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.ivan, visibility="public")
    assert not Project.objects.visible_to(cast.ivan, "view").exists()
    decision = policy.decide(cast.ivan, "view", project)
    assert (decision.allowed, decision.visible) == (False, False)
    with pytest.raises(NotFound):
        policy.require(cast.ivan, "view", project)


@pytest.mark.parametrize("action", ["fly", "", "delete "])
def test_an_undeclared_action_is_a_bug(cast: Cast, action: str) -> None:
    project = Project.objects.create(name="p", owner=cast.alice)
    with pytest.raises(LookupError, match="declares no action"):
        policy.decide(cast.alice, action, project)
    with pytest.raises(LookupError, match="declares no action"):
        Project.objects.visible_to(cast.alice, action)


def test_an_undeclared_model_is_denied(cast: Cast) -> None:
    with pytest.raises(LookupError, match="has no policy"):
        policy.decide(cast.sre, "view", cast.team.group)


def test_the_reason_names_the_role_and_what_is_needed(cast: Cast, stage: Stage) -> None:
    experiment = submit(cast.alice, team="vision")
    assert policy.decide(cast.bob, "stop", experiment).reason == "You are viewer of this experiment; stop needs editor."
    assert policy.decide(cast.mia, "delete", experiment).reason == "You are manager of this experiment."
    assert policy.decide(cast.charlie, "view", experiment).reason == "You may not see this."
    assert policy.decide(AnonymousUser(), "view", experiment).reason == "You are not logged in."


def test_require_tells_the_three_refusals_apart(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    with pytest.raises(NotFound):
        policy.require(cast.charlie, "view", project)
    with pytest.raises(NotAllowed, match="needs editor"):
        policy.require(cast.bob, "edit", project)
    with pytest.raises(InsufficientScope) as refusal:
        policy.require(behind(cast.alice, scopes=["read"]), "edit", project)
    assert refusal.value.extra == {"need": ["project:edit"]}
    policy.require(behind(cast.again("alice"), scopes=["project:edit"]), "edit", project)


def test_a_missing_scope_does_not_tell_what_exists(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, visibility="private")
    with pytest.raises(NotFound):
        policy.require(behind(cast.charlie, scopes=["run:view"]), "edit", project)


def test_a_token_does_not_raise_its_user(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    assert not policy.decide(behind(cast.bob, scopes=["all", "project:delete"]), "delete", project)


def test_a_bound_token_reaches_its_object_only(cast: Cast, stage: Stage) -> None:
    own, other = submit(cast.alice), submit(cast.alice)
    user = behind(cast.alice, scopes=["all"], bound_to=f"run:{own.pk}")
    assert list(Experiment.objects.visible_to(user, "view")) == [own]
    assert list(Run.objects.visible_to(user, "log")) == [own.run]
    assert list(Project.objects.visible_to(user, "view")) == [own.run.project]
    assert not Team.objects.visible_to(user, "view").exists()
    with pytest.raises(NotFound):
        policy.require(user, "stop", other)


@pytest.mark.parametrize("scope", ["", "experiment:create"])
def test_nobody_is_told_to_log_in(scope: str) -> None:
    with pytest.raises(NotAuthenticated):
        policy.require_active(AnonymousUser(), scope)


def test_creating_needs_the_scope(cast: Cast) -> None:
    narrow: list[dict[str, Any]] = [{"scopes": ["read"]}, {"scopes": []}, {"scopes": ["all"], "bound_to": "run:1"}]
    for facts in narrow:
        with pytest.raises(InsufficientScope, match="experiment:create"):
            policy.require_active(behind(cast.again("alice"), **facts), "experiment:create")
    policy.require_active(behind(cast.again("alice"), scopes=["experiment:create"]), "experiment:create")
    policy.require_active(behind(cast.again("alice"), scopes=[]), "")
    policy.require_active(SYSTEM, "experiment:create")
    with pytest.raises(NotAuthenticated):
        policy.require_active(cast.ivan, "experiment:create")


def test_scopes_are_generated_from_the_policies() -> None:
    scopes = policy.all_scopes()
    assert len(scopes) == len(set(scopes))
    assert {"all", "read", "experiment:stop", "run:log", "code:create", "apitoken:create"} <= set(scopes)
    assert not any(scope.startswith("artifact:") for scope in scopes)


def test_a_grant_replaces_the_one_before(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, visibility="private")
    for role in (Role.MANAGER, Role.VIEWER):
        grants.grant(cast.charlie, project, role)
    assert policy.role_of(cast.charlie, project) is Role.VIEWER
    grants.revoke(cast.charlie, project)
    assert policy.role_of(cast.charlie, project) is Role.NONE


def test_a_grant_to_a_group_ends_with_the_membership(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, visibility="private")
    grants.grant(cast.team.group, project, Role.EDITOR)
    assert policy.role_of(cast.bob, project) is Role.EDITOR
    cast.bob.groups.clear()
    assert policy.role_of(cast.again("bob"), project) is Role.NONE


def test_judging_a_list_costs_the_same_for_any_length(cast: Cast) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            list(Project.objects.visible_to(cast.again("bob"), "view"))
        return len(queries)

    Project.objects.create(name="p", owner=cast.alice, team=cast.team)
    one = cost()
    for number in range(3):
        Project.objects.create(name=f"p{number}", owner=cast.alice, team=cast.team)
    assert cost() == one


def test_the_words_of_roles() -> None:
    assert [role.word for role in Role] == ["none", "viewer", "editor", "manager"]


def test_a_decision_is_its_answer(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice)
    verdict: Any = policy.decide(cast.alice, "view", project)
    assert bool(verdict) is True
    assert policy.can(cast.alice, "view", project) is True
    assert policy.can(cast.charlie, "view", project) is False
