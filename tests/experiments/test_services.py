"""Submitting, cloning, deleting, uploading: every effect, and none where it is refused."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from apps.access import grants, policy
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, User
from apps.audit.models import AuditEvent
from apps.compute.models import Workload, WorkloadEvent
from apps.core import blobs
from apps.core.errors import Conflict, InsufficientScope, Invalid, NeverFits, NotAllowed, NotFound, TooLarge
from apps.experiments import services
from apps.experiments.models import CodeUpload, Experiment
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode, Reservation
from apps.teams import services as teams
from apps.tracking import services as tracking
from apps.tracking.models import Project, Run
from tests.access.judged import behind
from tests.factories import Stage, fresh
from tests.people import Cast, share, submit

CODE = b"an archive, as far as anybody here looks"
SHA = hashlib.sha256(CODE).hexdigest()


@pytest.fixture(autouse=True)
def _own_blobs(tmp_path: Path, settings: Any) -> None:
    settings.BLOB_ROOT = tmp_path


def upload(user: User, data: bytes = CODE, **facts: Any) -> CodeUpload:
    given = {"sha256": hashlib.sha256(data).hexdigest(), "content_type": "application/zip", **facts}
    return services.upload_code([data[:7], data[7:]], by=user, **given)[0]


def assert_nothing_happened() -> None:
    for model in (Experiment, Run, Workload, WorkloadEvent, Reservation):
        assert not model._default_manager.exists(), model
    assert not AuditEvent.objects.filter(action="submit").exists()


def test_a_submission_writes_everything(cast: Cast, stage: Stage) -> None:
    upload(cast.alice)
    spec = {"name": "n", "tags": {"k": "v"}, "code": {"upload": f"sha256:{SHA}"}, "env": {"A": "1"}, "priority": 7}
    experiment = stage.submit(cast.alice, resources={"cpu": "2"}, retries=1, timeout="1m", **spec)
    run, workload = experiment.run, fresh(experiment)
    assert (run.pk, run.name, run.owner, run.visibility, run.status) == (
        experiment.pk,
        "n",
        cast.alice,
        "private",
        "running",
    )
    assert (run.project.name, run.project.owner) == ("default", cast.alice)
    assert dict(run.tags.values_list("key", "value")) == {"k": "v"}
    assert workload.amounts == {"cpu": 2000, "memory": 1 << 30, "experiments": 1}
    assert (workload.state, workload.priority, workload.retries_left, workload.timeout_seconds) == ("queued", 7, 1, 60)
    assert workload.template["code"] == {"sha256": SHA, "format": "zip", "size_bytes": len(CODE)}
    assert (workload.user, workload.subject) == (cast.alice, f"run:{run.pk}")
    event = WorkloadEvent.objects.get()
    assert (event.seq, event.from_state, event.to_state, event.actor) == (0, "", "queued", "alice")
    assert AuditEvent.objects.get(action="submit").object_id == str(experiment.pk)
    assert experiment.spec["priority"] == 7


def test_work_in_a_team_is_the_teams(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice, team="vision")
    node = fresh(experiment).quota_node
    assert (experiment.run.team, experiment.run.visibility) == (cast.team, "team")
    assert node.key == f"team:{cast.team.pk}/user:{cast.alice.pk}"
    kinds = [QuotaNode.objects.get(pk=pk).kind for pk in node.path]
    assert kinds == ["platform", "organization", "team", "user"]


@pytest.mark.parametrize(
    ("name", "spec", "error"),
    [
        ("ivan", {}, Exception),
        ("bob", {"team": "vision"}, NotAllowed),  # a viewer
        ("charlie", {"team": "vision"}, Invalid),
        ("charlie", {"team": "nowhere"}, Invalid),
        ("charlie", {"project": "secret"}, Invalid),
        ("charlie", {"code": {"upload": f"sha256:{SHA}"}}, Invalid),
        ("charlie", {"unknown": 1}, Invalid),
        ("charlie", {"cluster": {"name": "nowhere"}}, Invalid),
        ("charlie", {"resources": {"cpu": 1000}}, NeverFits),
    ],
)
def test_a_refused_submission_leaves_nothing(
    cast: Cast, stage: Stage, name: str, spec: dict[str, Any], error: type[Exception]
) -> None:
    tracking.create_project("secret", by=cast.alice)
    upload(cast.alice)
    with pytest.raises(error):
        stage.submit(cast.people[name], **spec)
    assert_nothing_happened()
    assert not Project.objects.exclude(name="secret").exists()


@pytest.mark.parametrize("field", ["team", "project"])
def test_what_is_invisible_and_what_is_not_there_are_refused_alike(cast: Cast, stage: Stage, field: str) -> None:
    tracking.create_project("secret", by=cast.alice)
    known, unknown = {"team": "vision", "project": "secret"}[field], "nowhere"
    said = []
    for name in (known, unknown):
        with pytest.raises(Invalid) as refusal:
            stage.submit(cast.charlie, **{field: name})
        said.append((refusal.value.errors, refusal.value.detail))
    assert said[0] == said[1]


@pytest.mark.parametrize("scopes", [["read"], ["run:create"], []])
def test_a_token_without_the_scope_submits_nothing(cast: Cast, stage: Stage, scopes: list[str]) -> None:
    with pytest.raises(InsufficientScope):
        stage.submit(behind(cast.alice, scopes=scopes))
    assert_nothing_happened()


def test_the_token_of_a_run_submits_nothing(cast: Cast, stage: Stage) -> None:
    with pytest.raises(InsufficientScope):
        stage.submit(behind(cast.alice, scopes=["all"], bound_to="run:1"))
    assert_nothing_happened()


def test_the_default_project_is_ones_own(cast: Cast, stage: Stage) -> None:
    tracking.create_project("default", by=cast.olaf, visibility="public")
    tracking.create_project("default", by=cast.mia, team=cast.team)
    assert stage.submit(cast.charlie).run.project.owner == cast.charlie
    alices = stage.submit(cast.alice).run
    assert (alices.project.owner, alices.team, alices.visibility) == (cast.alice, None, "private")
    assert stage.submit(cast.alice, team="vision").run.project.owner == cast.mia


def test_a_project_is_meant_by_name_among_those_one_may_submit_to(cast: Cast, stage: Stage) -> None:
    tracking.create_project("shared", by=cast.olaf, visibility="public")
    mine = tracking.create_project("shared", by=cast.mia, team=cast.team)
    assert stage.submit(cast.alice, project="shared").run.project == mine
    assert stage.submit(cast.alice, project=str(mine.pk)).run.project == mine


def test_people_with_long_names_can_submit(stage: Stage) -> None:
    organization = teams.create_organization(slug="o", name="O" * 120, by=SYSTEM)
    team = teams.create_team(organization, slug="t", name="T" * 120, by=SYSTEM)
    user = accounts.create_user("u" * 150, by=SYSTEM)
    teams.set_member(team, user, role="member", by=SYSTEM)
    assert len(fresh(stage.submit(user, team="t", name="n" * 200)).quota_node.name) == 150


# --- clone, delete, retry


def test_a_viewer_clones_with_the_code(cast: Cast, stage: Stage) -> None:
    upload(cast.alice)
    original = stage.submit(cast.alice, team="vision", code={"upload": f"sha256:{SHA}"}, retries=1)
    copy = services.clone_experiment(original, by=cast.bob, overrides={"team": None, "name": "mine"})
    assert (copy.run.owner, copy.run.team, copy.run.name, copy.cloned_from) == (cast.bob, None, "mine", original)
    assert copy.spec["retries"] == 1
    assert fresh(copy).template["code"]["sha256"] == SHA
    assert CodeUpload.objects.filter(owner=cast.bob, sha256=SHA).exists()


def test_an_outsider_clones_nothing_and_gets_no_code(cast: Cast, stage: Stage) -> None:
    upload(cast.alice)
    original = stage.submit(cast.alice, team="vision", code={"upload": f"sha256:{SHA}"})
    with pytest.raises(NotFound):
        services.clone_experiment(original, by=cast.charlie)
    assert not CodeUpload.objects.filter(owner=cast.charlie).exists()
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    "overrides", [{"resources": {"cpu": "x"}}, {"unknown": 1}, {"code": {"upload": f"sha256:{'0' * 64}"}}]
)
def test_a_refused_clone_shares_no_code(cast: Cast, stage: Stage, overrides: dict[str, Any]) -> None:
    upload(cast.alice)
    original = stage.submit(cast.alice, visibility="public", code={"upload": f"sha256:{SHA}"})
    with pytest.raises(Invalid):
        services.clone_experiment(original, by=cast.charlie, overrides=overrides)
    assert not CodeUpload.objects.filter(owner=cast.charlie).exists()


def test_a_clone_without_the_code_shares_none(cast: Cast, stage: Stage) -> None:
    upload(cast.alice)
    original = stage.submit(cast.alice, visibility="public", code={"upload": f"sha256:{SHA}"})
    copy = services.clone_experiment(original, by=cast.charlie, without=["code", "visibility"])
    assert fresh(copy).template["code"] is None
    assert copy.run.visibility == "private"
    assert not CodeUpload.objects.filter(owner=cast.charlie).exists()


def test_what_has_ended_is_deleted_once(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    stage.finish()
    for _ in range(2):
        services.delete_experiment(experiment, by=cast.alice)
    experiment.refresh_from_db()
    assert experiment.archived_at is not None
    assert Run.objects.get(pk=experiment.pk).archived_at is not None
    assert not Experiment.objects.live().exists()
    assert AuditEvent.objects.filter(action="delete").count() == 1
    with pytest.raises(Conflict):
        services.retry_experiment(Experiment.objects.get(), by=cast.alice)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_what_is_active_is_not_deleted(cast: Cast, stage: Stage, turns: int) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=turns) if turns else None
    with pytest.raises(Conflict, match="Stop it first"):
        services.delete_experiment(experiment, by=cast.alice)
    assert Experiment.objects.live().exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [("bob", NotAllowed), ("dana", NotAllowed), ("charlie", NotFound), ("olaf", NotFound), ("ivan", NotFound)],
)
def test_not_everybody_deletes(cast: Cast, stage: Stage, name: str, error: type[Exception]) -> None:
    experiment = stage.submit(cast.alice, team="vision")
    share(experiment, cast.dana)
    stage.finish()
    with pytest.raises(error):
        services.delete_experiment(experiment, by=cast.people[name])
    assert Experiment.objects.live().exists()
    assert not AuditEvent.objects.filter(action="delete").exists()


def test_a_shared_editor_stops_and_retries(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1)
    experiment = stage.submit(cast.alice)
    share(experiment, cast.dana)
    stage.finish()
    services.retry_experiment(experiment, by=cast.dana)
    assert services.stop_experiment(experiment, by=cast.dana)
    assert WorkloadEvent.objects.filter(actor="dana", to_state="queued").exists()


def test_who_has_left_is_not_run_again_by_others(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1)
    experiment = stage.submit(cast.alice, team="vision")
    share(experiment, cast.dana)
    stage.finish()
    accounts.disable_user(cast.alice, by=cast.sre, reason="has left")
    for name in ("dana", "mia", "sre"):
        with pytest.raises(Conflict, match="has left"):
            services.retry_experiment(experiment, by=cast.people[name])
    assert fresh(experiment).state == "failed"
    assert not ApiToken.objects.live().filter(user=cast.alice).exists()


def test_who_has_left_the_team_tries_nothing_again_on_its_quota(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1)
    experiment = stage.submit(cast.alice, team="vision")
    stage.finish()
    for change in ("viewer", None):
        if change:
            teams.set_member(cast.team, cast.alice, role=change, by=cast.mia)
        else:
            teams.remove_member(cast.team, cast.alice, by=cast.mia)
        for by in (cast.again("alice"), cast.mia):
            with pytest.raises(Conflict, match="may not submit for the team"):
                services.retry_experiment(experiment, by=by)
    teams.set_member(cast.team, cast.alice, role="member", by=cast.mia)
    services.retry_experiment(experiment, by=cast.again("alice"))
    assert fresh(experiment).state == "queued"


def test_what_an_admin_submitted_for_a_team_he_tries_again(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=1)
    experiment = stage.submit(cast.sre, team="vision")
    stage.finish()
    services.retry_experiment(experiment, by=cast.sre)
    assert fresh(experiment).state == "queued"


@pytest.mark.parametrize("name", ["alice", "charlie"])
def test_who_is_not_in_the_team_of_a_project_pays_himself(cast: Cast, stage: Stage, name: str) -> None:
    project = tracking.create_project("p", by=cast.alice, team=cast.team)
    grants.grant(cast.charlie, project, Role.EDITOR)
    inside = stage.submit(cast.alice, project="p", team="vision")
    through = stage.submit(cast.alice, project=str(project.pk))
    teams.remove_member(cast.team, cast.alice, by=cast.mia)
    outside = stage.submit(cast.again(name), project=str(project.pk))
    paying = [fresh(one).quota_node.key for one in (inside, through, outside)]
    assert paying == [f"team:{cast.team.pk}/user:{cast.alice.pk}"] * 2 + [f"user:{cast.people[name].pk}"]
    assert (outside.run.team, fresh(outside).team) == (cast.team, None)


def test_limits_of_the_team_hold_for_whoever_submits(cast: Cast, stage: Stage) -> None:
    services.quota_node(cast.alice, cast.team)
    quotas.set_limit(QuotaNode.objects.get(key=f"team:{cast.team.pk}"), "gpu", 0, by=cast.sre)
    with pytest.raises(NeverFits, match="team Vision may use at most 0 GPUs; this needs 1"):
        submit(cast.mia, team="vision", resources={"gpu": 1})
    assert_nothing_happened()


# --- code


def test_code_is_kept_under_its_hash(cast: Cast) -> None:
    first = upload(cast.alice)
    again, is_new = services.upload_code([CODE], by=cast.alice, sha256=SHA, content_type="application/zip")
    assert (again, is_new) == (first, False)
    assert blobs.path_of(SHA).read_bytes() == CODE
    assert str(first) == f"sha256:{SHA}"
    assert list((blobs.path_of(SHA).parents[2] / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("facts", "error"), [({"sha256": "0" * 64}, Invalid), ({"content_type": "text/html"}, Invalid), ({}, TooLarge)]
)
def test_a_refused_upload_leaves_nothing(
    cast: Cast, tmp_path: Path, settings: Any, facts: dict[str, Any], error: type[Exception]
) -> None:
    settings.CODE_LIMIT_BYTES = len(CODE) if facts else len(CODE) - 1
    with pytest.raises(error):
        upload(cast.alice, **facts)
    assert not CodeUpload.objects.exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_knowing_a_hash_gives_no_code(cast: Cast) -> None:
    mine = upload(cast.alice)
    assert not policy.decide(cast.charlie, "view", mine).visible
    assert list(CodeUpload.objects.visible_to(cast.charlie, "view")) == []


@pytest.mark.parametrize("facts", [{"scopes": ["read"]}, {"scopes": ["all"], "bound_to": "run:1"}])
def test_a_token_without_the_right_uploads_nothing(cast: Cast, tmp_path: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(InsufficientScope):
        upload(behind(cast.alice, **facts))
    assert list(tmp_path.iterdir()) == []
