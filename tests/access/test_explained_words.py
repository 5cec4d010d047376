"""Explanations in the words that people read."""

from typing import Any

import pytest

from apps.access import grants
from apps.access.decision import Role
from apps.access.explain import explain
from apps.tracking.models import Project
from tests.access.judged import behind
from tests.people import Cast


def paths(cast: Cast, name: str, row: Any) -> list[tuple[str, str]]:
    return [(path.role.word, path.through) for path in explain(cast.again(name), row).paths]


def test_paths_are_told_as_people_speak(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="organization")
    grants.grant(cast.dana, project, Role.EDITOR)
    grants.grant(cast.other_team.group, project, Role.EDITOR)
    grants.grant(cast.organization.group, project, Role.VIEWER)
    shared = "through a share with organization acme"
    told = {name: paths(cast, name, project) for name in ("alice", "mia", "dana", "olaf", "charlie", "sre", "aud")}
    assert told == {
        "alice": [
            ("manager", "as its owner"),
            ("editor", "through team vision, member"),
            ("viewer", "as somebody of the organization acme"),
            ("viewer", shared),
        ],
        "mia": [
            ("manager", "through team vision, maintainer"),
            ("viewer", "as somebody of the organization acme"),
            ("viewer", shared),
        ],
        "dana": [("editor", "through a share")],
        "olaf": [
            ("editor", "through a share with team speech"),
            ("viewer", "as somebody of the organization acme"),
            ("viewer", shared),
        ],
        "charlie": [],
        "sre": [("manager", "as an admin, who acts as one now")],
        "aud": [("viewer", "as an auditor, who may read everything")],
    }


def test_what_is_missing_is_told(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    private = Project.objects.create(name="q", owner=cast.alice, team=cast.team, visibility="private")
    idle = cast.again("sre")
    idle.elevated_until = None

    def missing(person: Any, row: Any = project, action: str = "view") -> list[str]:
        return list(explain(person, row, action).missing)

    assert missing(cast.again("charlie")) == [
        "No role here.",
        "Not a member of team vision.",
        "No share reaches this person.",
    ]
    assert missing(cast.again("bob"), private)[1:] == [
        "It is private: a team or an organization gives no role.",
        "No share reaches this person.",
    ]
    assert missing(cast.again("bob"), action="edit")[0] == "Edit needs editor; the role is viewer."
    assert "An admin's rights count only while he acts as one." in missing(idle)
    assert "The account is disabled." in missing(cast.again("ivan"))
    narrow = behind(cast.again("alice"), scopes=["read"])
    assert missing(narrow, action="edit")[0] == "The token lacks the scope project:edit."
    assert explain(narrow, project, "edit").scopes == ["read"]
    bound = behind(cast.again("alice"), scopes=["all"], bound_to=f"run:{cast.team.pk:032x}")
    assert f"The token is bound to run:{cast.team.pk:032x} and does not reach this." in missing(bound)
    assert missing(cast.again("aud"), action="edit")[0] == "Edit needs editor; the role is viewer."


def test_an_undeclared_action_is_a_bug(cast: Cast) -> None:
    project = Project.objects.create(name="p", owner=cast.alice)
    with pytest.raises(LookupError, match="declares no action"):
        explain(cast.alice, project, "fly")
