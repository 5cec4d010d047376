"""Sharing one object: who may, with whom, as what, until when."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access import policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, InsufficientScope, Invalid, NotAllowed, NotFound, Throttled
from apps.sharing import kinds
from apps.sharing import services as sharing
from apps.sharing.models import UnknownName
from apps.teams import services as teams
from apps.tracking.models import Project, ProjectGroupGrant, ProjectUserGrant
from tests.access.judged import behind
from tests.factories import Stage
from tests.people import Cast, submit


@pytest.fixture
def project(cast: Cast) -> Project:
    made: Project = Project.objects.create(name="p", owner=cast.alice, team=cast.team, visibility="team")
    return made


def rows() -> list[tuple[str, str]]:
    """Return every grant on projects: whom and as what."""
    people = ProjectUserGrant.objects.values_list("user__username", "permission__codename")
    groups = ProjectGroupGrant.objects.values_list("group__name", "permission__codename")
    return sorted([*people, *groups])


def told(action: str) -> list[dict[str, Any]]:
    return list(AuditEvent.objects.filter(action=action).order_by("id").values_list("data", flat=True))


def test_what_can_be_shared_comes_from_the_policies() -> None:
    declared = {str(one.model._meta.model_name) for one in policy.registered() if "share" in one.actions}
    assert set(kinds.kinds()) == declared
    assert {"project", "run", "experiment"} <= declared
    assert {kind.name for kind in kinds.owned_kinds()} == declared - {"experiment"}


@pytest.mark.parametrize("role", ["viewer", "editor", "manager"])
def test_a_person_holds_what_he_was_given(cast: Cast, project: Project, role: str) -> None:
    sharing.share(project, cast.charlie, role, by=cast.alice, reason="pair work")
    assert policy.role_of(cast.again("charlie"), project).word == role
    assert rows() == [("charlie", f"hold_{role}")]
    event = AuditEvent.objects.get(action="share")
    assert (event.actor_label, event.reason, event.object_id) == ("alice", "pair work", str(project.pk))
    assert event.data == {"subject": "charlie", "before": None, "after": {"role": role, "expires_at": None}}


def test_a_team_and_an_organization_hold_it_together(cast: Cast, project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(visibility="private")
    project.refresh_from_db()
    sharing.share(project, sharing.find_subject("team", "speech", by=cast.alice).holder, "editor", by=cast.alice)
    assert policy.role_of(cast.again("olaf"), project) is Role.EDITOR
    assert policy.role_of(cast.again("bob"), project) is Role.NONE
    sharing.share(project, sharing.find_subject("organization", "acme", by=cast.alice).holder, "viewer", by=cast.alice)
    assert policy.role_of(cast.again("bob"), project) is Role.VIEWER
    assert policy.role_of(cast.again("charlie"), project) is Role.NONE
    assert rows() == [("org:acme", "hold_viewer"), ("team:speech", "hold_editor")]


def test_an_experiment_is_its_run(cast: Cast, stage: Stage) -> None:
    experiment = submit(cast.alice, team="vision")
    sharing.share(experiment, cast.charlie, "viewer", by=cast.alice)
    assert policy.role_of(cast.again("charlie"), experiment) is Role.VIEWER
    assert policy.role_of(cast.again("charlie"), experiment.run) is Role.VIEWER
    sharing.unshare(experiment.run, cast.charlie, by=cast.alice)
    assert policy.role_of(cast.again("charlie"), experiment) is Role.NONE


def test_twice_is_once(cast: Cast, project: Project) -> None:
    for _ in range(2):
        sharing.share(project, cast.charlie, "viewer", by=cast.alice)
    sharing.share(project, cast.charlie, "editor", by=cast.mia)
    for _ in range(2):
        sharing.unshare(project, cast.charlie, by=cast.mia)
    assert rows() == []
    viewer, editor = ({"role": role, "expires_at": None} for role in ("viewer", "editor"))
    assert [(one["before"], one["after"]) for one in told("share")] == [(None, viewer), (viewer, editor)]
    assert [(one["before"], one["after"]) for one in told("unshare")] == [(editor, None)]


@pytest.mark.parametrize(
    ("name", "error"), [("bob", NotAllowed), ("charlie", NotFound), ("dana", NotAllowed), ("aud", NotAllowed)]
)
def test_who_may_not_share(cast: Cast, project: Project, name: str, error: type[Exception]) -> None:
    sharing.share(project, cast.dana, "editor", by=cast.alice)
    person = cast.again(name)
    with pytest.raises(error):
        sharing.share(project, cast.olaf, "viewer", by=person)
    with pytest.raises(error):
        sharing.unshare(project, cast.dana, by=person)
    with pytest.raises(error):
        sharing.set_visibility(project, "public", by=person)
    with pytest.raises(error):
        sharing.transfer_owner(project, person, by=person)
    project.refresh_from_db()
    assert (rows(), project.visibility, project.owner) == ([("dana", "hold_editor")], "team", cast.alice)


def test_a_token_needs_the_scope(cast: Cast, project: Project) -> None:
    with pytest.raises(InsufficientScope):
        sharing.share(project, cast.charlie, "viewer", by=behind(cast.again("alice"), scopes=["project:edit"]))
    sharing.share(project, cast.charlie, "viewer", by=behind(cast.again("alice"), scopes=["project:share"]))
    assert rows() == [("charlie", "hold_viewer")]


def test_nobody_gives_more_than_he_has(cast: Cast, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Today only managers share; should a policy let editors, they make no managers."""
    sharing.share(project, cast.dana, "editor", by=cast.alice)
    declared = policy.policy_for(Project)
    looser = type(declared)(Project, {**declared.actions, "share": Role.EDITOR})
    monkeypatch.setitem(policy._policies, Project, looser)
    with pytest.raises(Invalid, match="You are editor"):
        sharing.share(project, cast.olaf, "manager", by=cast.again("dana"))
    sharing.share(project, cast.olaf, "editor", by=cast.again("dana"))
    assert rows() == [("dana", "hold_editor"), ("olaf", "hold_editor")]


def test_whom_one_does_not_share_with(cast: Cast, project: Project) -> None:
    bot = User.objects.create(username="bot", service_of=cast.team)
    wrong = [
        (cast.alice, "owns it", cast.mia),
        (cast.mia, "yourself", cast.mia),
        (cast.ivan, "nobody of this name", cast.alice),
        (bot, "service account", cast.alice),
    ]
    for subject, words, by in wrong:
        with pytest.raises(Invalid, match=words):
            sharing.share(project, subject, "viewer", by=by)
    with pytest.raises(Invalid, match="One of viewer"):
        sharing.share(project, cast.charlie, "owner", by=cast.alice)
    assert rows() == []


def test_an_expiry_lies_ahead_and_not_too_far(cast: Cast, project: Project) -> None:
    now = timezone.now()
    for wrong in (now - timedelta(seconds=1), now + timedelta(days=6 * 366), now.replace(tzinfo=None)):
        with pytest.raises(Invalid):
            sharing.share(project, cast.charlie, "viewer", by=cast.alice, expires_at=wrong)
    sharing.share(project, cast.charlie, "viewer", by=cast.alice, expires_at=now + timedelta(days=7))
    assert policy.role_of(cast.again("charlie"), project) is Role.VIEWER
    ProjectUserGrant.objects.update(expires_at=now - timedelta(seconds=1))
    assert policy.role_of(cast.again("charlie"), project) is Role.NONE
    assert not Project.objects.visible_to(cast.again("charlie"), "view").exists()
    held = sharing.who_has_access(project, by=cast.alice)
    assert "charlie" not in {line.name for line in held.lines}


def test_changing_a_share_needs_one(cast: Cast, project: Project) -> None:
    with pytest.raises(NotFound):
        sharing.change_share(project, cast.charlie, "editor", by=cast.alice)
    sharing.share(project, cast.charlie, "viewer", by=cast.alice)
    sharing.change_share(project, cast.charlie, "editor", by=cast.alice)
    assert rows() == [("charlie", "hold_editor")]


def test_names_that_do_not_exist_are_all_alike_and_few(cast: Cast) -> None:
    bot = User.objects.create(username="bot", service_of=cast.other_team)
    abroad = teams.create_organization(slug="far", name="Far", by=SYSTEM)
    teams.create_team(abroad, slug="afar", name="Afar", by=SYSTEM)
    said = set()
    for name in ("nobody", "ivan", bot.username, "", "\x00"):
        with pytest.raises(Invalid) as refusal:
            sharing.find_subject("user", name, by=cast.charlie)
        said.add(str(refusal.value))
    assert len(said) == 1
    for kind, names in (("team", ("afar", "never")), ("organization", ("far", "never"))):
        answers = set()
        for name in names:
            with pytest.raises(Invalid) as refusal:
                sharing.find_subject(kind, name, by=cast.alice)
            answers.add(str(refusal.value))
        assert len(answers) == 1
    assert UnknownName.objects.filter(by=cast.charlie).count() == 5
    UnknownName.objects.bulk_create(UnknownName(by=cast.charlie) for _ in range(15))
    with pytest.raises(Throttled):
        sharing.find_subject("user", "alice", by=cast.charlie)
    assert sharing.find_subject("user", "alice", by=cast.bob).holder == cast.alice
    UnknownName.objects.update(at=timezone.now() - timedelta(hours=2))
    assert sharing.find_subject("user", "alice", by=cast.charlie).holder == cast.alice


def test_an_admin_knows_every_team(cast: Cast) -> None:
    abroad = teams.create_organization(slug="far", name="Far", by=SYSTEM)
    team = teams.create_team(abroad, slug="afar", name="Afar", by=SYSTEM)
    assert sharing.find_subject("team", "afar", by=cast.sre).holder == team.group
    assert sharing.find_subject("organization", "far", by=SYSTEM).holder == abroad.group


def test_a_service_account_is_named_to_those_who_see_its_team(cast: Cast) -> None:
    User.objects.create(username="bot", service_of=cast.team)
    with pytest.raises(Invalid, match="service account of team vision"):
        sharing.find_subject("user", "bot", by=cast.alice)


def test_visibility_and_team(cast: Cast, project: Project) -> None:
    sharing.set_visibility(project, "organization", by=cast.mia)
    assert policy.role_of(cast.again("olaf"), project) is Role.VIEWER
    with pytest.raises(NotFound):  # alice is not in the other team, so she cannot bring it there
        sharing.set_visibility(project, "team", by=cast.alice, team=cast.other_team)
    with pytest.raises(Invalid):
        sharing.set_visibility(project, "secret", by=cast.alice)
    sharing.set_visibility(project, "private", by=cast.mia)
    sharing.set_visibility(project, "private", by=cast.alice)
    assert policy.role_of(cast.again("mia"), project) is Role.NONE
    team = cast.team.slug
    assert told("set_visibility") == [
        {"before": {"visibility": "team", "team": team}, "after": {"visibility": "organization", "team": team}},
        {"before": {"visibility": "organization", "team": team}, "after": {"visibility": "private", "team": team}},
    ]


def test_what_is_nobody_elses_becomes_a_teams(cast: Cast) -> None:
    own: Project = Project.objects.create(name="own", owner=cast.alice, visibility="private")
    with pytest.raises(Invalid, match="no team"):
        sharing.set_visibility(own, "team", by=cast.alice)
    sharing.set_visibility(own, "team", by=cast.alice, team=cast.team)
    assert policy.role_of(cast.again("bob"), own) is Role.VIEWER
    Project.objects.create(name="twin", owner=cast.mia, team=cast.team)
    twin = Project.objects.create(name="twin", owner=cast.alice, visibility="private")
    with pytest.raises(Conflict):
        sharing.set_visibility(twin, "team", by=cast.alice, team=cast.team)
    twin.refresh_from_db()
    assert twin.team is None


def test_a_project_is_made_public_by_who_may_share_it(cast: Cast, project: Project) -> None:
    """An editor changes the name; who sees it is not his to change, through no door."""
    from apps.tracking import services as tracking

    sharing.share(project, cast.dana, "editor", by=cast.alice)
    with pytest.raises(NotAllowed, match="share needs manager"):
        tracking.update_project(project, by=cast.again("dana"), visibility="public", name="renamed")
    project.refresh_from_db()
    assert (project.visibility, project.name) == ("team", "p")
    tracking.update_project(project, by=cast.again("dana"), name="renamed")
    tracking.update_project(project, by=cast.again("alice"), visibility="public")
    project.refresh_from_db()
    assert (project.visibility, project.name) == ("public", "renamed")


def test_the_owner_gives_it_away(cast: Cast, project: Project) -> None:
    sharing.share(project, cast.charlie, "viewer", by=cast.alice)
    with pytest.raises(NotAllowed, match="Only the owner"):
        sharing.transfer_owner(project, cast.mia, by=cast.mia)
    with pytest.raises(Invalid):
        sharing.transfer_owner(project, cast.ivan, by=cast.alice)
    sharing.transfer_owner(project, cast.charlie, by=cast.alice, reason="moves on")
    project.refresh_from_db()
    assert (project.owner, rows()) == (cast.charlie, [])
    assert policy.role_of(cast.again("alice"), project) is Role.EDITOR  # a member of the team
    assert told("transfer") == [{"before": "alice", "after": "charlie"}]
    sharing.transfer_owner(project, cast.alice, by=cast.sre)
    project.refresh_from_db()
    assert project.owner == cast.alice


def test_what_was_given_away_meanwhile_is_not_given_again(cast: Cast, project: Project) -> None:
    as_it_was = Project.objects.get(pk=project.pk)
    sharing.transfer_owner(project, cast.charlie, by=cast.alice)
    with pytest.raises(NotAllowed, match="Only the owner"):
        sharing.transfer_owner(as_it_was, cast.olaf, by=cast.alice)
    project.refresh_from_db()
    assert project.owner == cast.charlie


def test_who_has_access_and_why(cast: Cast, project: Project) -> None:
    sharing.share(project, cast.charlie, "editor", by=cast.alice, expires_at=timezone.now() + timedelta(days=1))
    sharing.share(project, cast.other_team.group, "viewer", by=cast.mia)
    sharing.share(project, cast.organization.group, "viewer", by=cast.mia)
    sharing.set_visibility(project, "organization", by=cast.alice)
    found = sharing.who_has_access(project, by=cast.again("bob"))
    assert [(line.kind, line.name, line.role.word, line.through, line.granted_by) for line in found.lines] == [
        ("user", "alice", "manager", "as its owner", ""),
        ("user", "charlie", "editor", "through a share", "alice"),
        ("team", "speech", "viewer", "through a share", "mia"),
        ("organization", "acme", "viewer", "through a share", "mia"),
        ("user", "mia", "manager", "through team vision, maintainer", ""),
        ("user", "alice", "editor", "through team vision, member", ""),
        ("user", "bob", "viewer", "through team vision, viewer", ""),
        ("organization", "acme", "viewer", "everybody in the organization", ""),
        ("admins", "Admins", "manager", "while they act as admins", ""),
        ("auditors", "Auditors", "viewer", "read everything", ""),
    ]
    assert not found.more
    assert [line.is_share for line in found.lines] == [False, True, True, True, *[False] * 6]
    part = sharing.who_has_access(project, by=cast.again("bob"), offset=2, limit=3)
    assert (part.lines, part.more) == (found.lines[2:5], True)


def test_outsiders_are_not_told_who_is_in_the_team(cast: Cast, project: Project) -> None:
    sharing.share(project, cast.charlie, "viewer", by=cast.alice)
    lines = sharing.who_has_access(project, by=cast.again("charlie")).lines
    assert [(line.kind, line.name, line.through) for line in lines[:3]] == [
        ("user", "alice", "as its owner"),
        ("user", "charlie", "through a share"),
        ("team", "vision", "3 people, each by the role in it"),
    ]
    assert {"bob", "mia", "ivan"}.isdisjoint(line.name for line in lines)
    with pytest.raises(NotFound):
        sharing.who_has_access(project, by=cast.again("olaf"))


def test_what_is_no_person_does_not_read_it(cast: Cast, stage: Stage) -> None:
    run = submit(cast.alice).run
    with pytest.raises(NotAllowed):
        sharing.who_has_access(run, by=behind(cast.again("alice"), scopes=["all"], bound_to=f"run:{run.pk}"))


def test_everybody_on_the_list_holds_what_it_says(cast: Cast, project: Project) -> None:
    """And nobody else holds anything."""
    sharing.share(project, cast.charlie, "editor", by=cast.alice)
    sharing.share(project, cast.other_team.group, "manager", by=cast.mia)
    best: dict[str, Role] = {}
    for line in sharing.who_has_access(project, by=cast.alice).lines:
        who = {"user": [line.name], "team": ["olaf"], "admins": ["sre"], "auditors": ["aud"]}[line.kind]
        best |= {name: max(line.role, best.get(name, Role.NONE)) for name in who}
    held = {name: policy.role_of(cast.again(name), project) for name in cast.people if name != "ivan"}
    assert best == {name: role for name, role in held.items() if role}


def test_a_disabled_person_is_not_on_the_list(cast: Cast, project: Project) -> None:
    sharing.share(project, cast.charlie, "editor", by=cast.alice)
    accounts.disable_user(cast.charlie, by=SYSTEM, reason="left")
    names = {line.name for line in sharing.who_has_access(project, by=cast.alice).lines}
    assert names.isdisjoint({"charlie", "ivan"})
    sharing.unshare(project, sharing.known_subject("user", "charlie").holder, by=cast.alice)  # type: ignore[union-attr]
    assert rows() == []
