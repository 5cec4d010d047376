"""Somebody leaves: what ends at once, what goes to others, what stays; and that nothing is ever deleted with a person."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps as registry
from django.contrib.sessions.models import Session
from django.db.models import CASCADE, PROTECT

from apps.access import policy
from apps.accounts import recent, services
from apps.accounts.handlers import Effect
from apps.accounts.models import ApiToken, User
from apps.audit.models import AuditEvent
from apps.compute.models import Workload
from apps.core.errors import Conflict, Invalid, NotAllowed, NotAuthenticated
from apps.experiments import services as experiments
from apps.experiments.models import CodeUpload, Experiment
from apps.experiments.services import RUN_TOKEN_SCOPES
from apps.teams import services as teams
from apps.teams.models import Invitation, Membership
from apps.tracking.models import Project, Run
from tests.factories import FOREVER, Stage, fresh
from tests.people import PASSWORD, Cast, browser_of, submit

# What goes when a person is deleted from the database by force: his own grants, groups, tokens, memberships and
# remembered requests. Everything else holds him.
GOES_WITH_HIM = {
    "access.IdempotencyRecord.user",
    "access.SavedFilter.owner",
    "accounts.ApiToken.user",
    "accounts.RecoveryCode.user",
    "accounts.ResetLink.user",
    "accounts.SecondFactor.user",
    "accounts.UserSession.user",
    "accounts.User_groups.user",
    "budgets.Delivery.user",  # an alert that was sent to him
    "directory.DirectoryPerson.user",
    "sharing.AccessRequest.by",
    "sharing.UnknownName.by",
    "tracking.Upload.created_by",  # what is on its way and not kept yet
    "accounts.User_user_permissions.user",
    "admin.LogEntry.user",  # Django's own; never written here
    "guardian.UserObjectPermission.user",  # the generic table, which is not used
    "teams.Membership.user",
    "tracking.ProjectUserGrant.user",
    "tracking.RunUserGrant.user",
    "tracking.SavedView.owner",
}


@pytest.fixture(autouse=True)
def _forget() -> None:
    recent._forget()


def counts(effects: list[Effect]) -> dict[str, int]:
    return {effect.what: effect.count for effect in effects}


def test_nothing_else_is_deleted_with_a_person() -> None:
    held, going = set(), set()
    for model in registry.get_models(include_auto_created=True):
        for field in model._meta.get_fields():
            if field.concrete and (field.many_to_one or field.one_to_one) and field.related_model is User:
                name = f"{model._meta.app_label}.{model.__name__}.{field.name}"
                assert field.remote_field.on_delete in {PROTECT, CASCADE}, name
                (held if field.remote_field.on_delete is PROTECT else going).add(name)
    grants = {name for name in going if name.endswith("UserGrant.user")}  # every kind of asset has such a table
    assert going - grants == GOES_WITH_HIM - grants
    assert {"audit.AuditEvent.actor", "compute.Workload.user", "tracking.Run.owner"} <= held


def test_disabling_ends_every_way_in(cast: Cast) -> None:
    personal, value = services.issue_token(cast.alice, by=cast.alice, name="t")
    browsers = [browser_of(cast.alice) for _ in range(2)]
    other = browser_of(cast.bob)
    assert [client.get("/").status_code for client in browsers] == [200, 200]
    services.disable_user(cast.alice, by=cast.sre, reason="left")
    assert [client.get("/").status_code for client in browsers] == [302, 302]
    for ask in (lambda: services.authenticate_token(value), lambda: services.log_in("alice", PASSWORD)):
        with pytest.raises(NotAuthenticated):
            ask()
    personal.refresh_from_db()
    assert personal.revoked_at is not None
    assert other.get("/").status_code == 200
    event = AuditEvent.objects.get(action="disable")
    assert (event.actor, event.object_label, event.reason) == (cast.sre, "alice", "left")
    assert event.data["effects"] == {"tokens revoked": 1, "sessions ended": 2, "memberships kept": 1}


def test_who_comes_back_has_his_password_and_nothing_else(cast: Cast) -> None:
    _, value = services.issue_token(cast.alice, by=cast.alice, name="t")
    client = browser_of(cast.alice)
    services.disable_user(cast.alice, by=cast.sre, reason="left")
    services.enable_user(cast.alice, by=cast.sre, reason="back")
    assert services.log_in("alice", PASSWORD) == cast.alice
    assert client.get("/").status_code == 302
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)
    assert Membership.objects.get(user=cast.alice).role == "member"


def test_waiting_jobs_are_cancelled_and_running_ones_stopped(cast: Cast, stage: Stage) -> None:
    stage.world.plan = lambda _name, _spec: FOREVER
    running = stage.submit(cast.alice, team="vision")
    stage.turn(times=3)
    assert fresh(running).state == "running"
    waiting = stage.submit(cast.alice, team="vision")
    others = stage.submit(cast.bob)
    services.disable_user(cast.alice, by=cast.sre, reason="left")
    stage.turn(times=4)
    assert {fresh(running).state, fresh(waiting).state} == {"stopped"}
    assert fresh(others).state == "running"
    assert "alice has left: left" in fresh(waiting).stop_cause
    assert AuditEvent.objects.filter(action="stop", actor=cast.sre).count() == 2


def test_jobs_may_finish_and_report(cast: Cast, stage: Stage) -> None:
    stage.world.plan = lambda _name, _spec: FOREVER
    running = stage.submit(cast.alice, team="vision", retries=3)
    stage.turn(times=3)
    value = _token_of(running, cast.alice)
    waiting = stage.submit(cast.alice, team="vision")
    effects = services.offboard_user(cast.alice, by=cast.sre, reason="left", jobs="let_finish")
    assert counts(effects)["running jobs left to finish"] == counts(effects)["waiting jobs cancelled"] == 1
    stage.turn(times=3)
    assert (fresh(running).state, fresh(running).retries_left) == ("running", 0)
    assert fresh(waiting).state == "stopped"
    job = services.authenticate_token(value)
    assert policy.can(job, "log", running.run)
    assert not policy.can(job, "view", submit(cast.bob).run)
    with pytest.raises(NotAuthenticated):
        services.log_in("alice", PASSWORD)
    assert not User.objects.get(pk=cast.alice.pk).is_active


def test_a_stopped_jobs_token_ends_at_once(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    value = _token_of(experiment, cast.alice)
    services.disable_user(cast.alice, by=cast.sre, reason="left")
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


@pytest.mark.parametrize("belonging", ["keep", "end"])
def test_a_job_that_may_finish_reports_to_the_heir(belonging: str, cast: Cast, stage: Stage) -> None:
    stage.world.plan = lambda _name, _spec: FOREVER
    running = stage.submit(cast.alice, team="vision")
    stage.turn(times=3)
    value = _token_of(running, cast.alice)
    services.offboard_user(
        cast.alice, by=cast.sre, reason="left", jobs="let_finish", assets="transfer", memberships=belonging
    )
    job = services.authenticate_token(value)
    assert job == cast.mia
    assert policy.can(job, "log", Run.objects.get(pk=running.pk))
    assert not policy.can(job, "manage", cast.team)  # it is hers, and reaches one run


def _token_of(experiment: Experiment, user: User) -> str:
    return services.issue_run_token(
        user, bound_to=f"run:{experiment.pk}", purpose="test", scopes=RUN_TOKEN_SCOPES, expires_in=timedelta(hours=1)
    )


def test_what_the_team_sees_goes_to_its_maintainer_and_private_things_stay(cast: Cast, stage: Stage) -> None:
    shared, private = (
        stage.submit(cast.alice, team="vision"),
        stage.submit(cast.alice, team="vision", visibility="private"),
    )
    own = stage.submit(cast.alice)
    before = Run.objects.count(), Project.objects.count()
    effects = services.offboard_user(cast.alice, by=cast.sre, reason="left", assets="transfer")
    assert counts(effects)["runs transferred to mia"] == 1
    assert counts(effects)["runs kept"] == 2
    owners = dict(Run.objects.values_list("pk", "owner__username"))
    assert owners == {shared.pk: "mia", private.pk: "alice", own.pk: "alice"}
    assert (Run.objects.count(), Project.objects.count()) == before
    event = AuditEvent.objects.get(action="transfer", data__kind="tracking.run")
    assert (event.data["count"], event.data["to"], event.actor) == (1, "mia", cast.sre)
    assert set(Workload.objects.values_list("user__username", flat=True)) == {"alice"}  # who ran it is history


def test_all_goes_to_a_chosen_heir(cast: Cast, stage: Stage) -> None:
    mine, his = stage.submit(cast.alice, project="default"), stage.submit(cast.charlie, project="default")
    services.offboard_user(cast.alice, by=cast.sre, reason="left", assets="transfer", transfer_to=cast.charlie)
    assert set(Run.objects.values_list("owner__username", flat=True)) == {"charlie"}
    names = sorted(Project.objects.filter(owner=cast.charlie).values_list("name", flat=True))
    assert names == ["default", f"default (of alice, {str(mine.run.project_id)[:8]})"]
    assert Run.objects.get(pk=his.pk).project.name == "default"


def test_an_heir_can_run_the_code_again(cast: Cast, stage: Stage) -> None:
    CodeUpload.objects.create(owner=cast.alice, sha256="ab" * 32, format="zip", size_bytes=1)
    first = stage.submit(cast.alice, code={"upload": f"sha256:{'ab' * 32}"})
    services.offboard_user(cast.alice, by=cast.sre, reason="left", assets="transfer", transfer_to=cast.charlie)
    again = experiments.clone_experiment(Experiment.objects.get(pk=first.pk), by=cast.charlie, without=["project"])
    assert again.run.owner == cast.charlie
    assert CodeUpload.objects.count() == 2


def test_without_anybody_to_give_to_it_stays(cast: Cast, stage: Stage) -> None:
    teams.set_member(cast.other_team, cast.olaf, role="maintainer", by=cast.sre)
    run = stage.submit(cast.olaf, team="speech")
    effects = services.offboard_user(cast.olaf, by=cast.sre, reason="left", assets="transfer")
    assert counts(effects)["runs kept"] == 1
    assert [effect.examples for effect in effects if effect.is_warning] == [("speech",)]
    assert Run.objects.get(pk=run.pk).owner == cast.olaf
    assert policy.can(cast.again("sre"), "view", run)


def test_memberships_end_where_that_is_said(cast: Cast) -> None:
    services.offboard_user(cast.mia, by=cast.sre, reason="left", memberships="end")
    assert not Membership.objects.filter(user=cast.mia).exists()
    assert not cast.mia.groups.exists()
    assert AuditEvent.objects.filter(action="remove_member", actor=cast.sre).count() == 1


def test_invitations_he_made_end(cast: Cast) -> None:
    made, path = teams.invite([(cast.team, "member")], by=cast.mia)
    kept, _ = teams.invite([(cast.team, "member")], by=cast.sre)
    services.disable_user(cast.mia, by=cast.sre, reason="left")
    made.refresh_from_db()
    kept.refresh_from_db()
    assert (made.state, kept.state) == ("revoked", "pending")
    assert Invitation.objects.count() == 2
    assert path


def test_a_preview_tells_exactly_what_is_then_done(cast: Cast, stage: Stage) -> None:
    stage.submit(cast.alice, team="vision")
    services.issue_token(cast.alice, by=cast.alice, name="t")
    browser_of(cast.alice)
    told: dict[str, Any] = {"assets": "transfer", "memberships": "end"}
    rows = _everything()
    preview = services.offboard_user(cast.alice, by=cast.sre, reason="left", dry_run=True, **told)
    assert _everything() == rows
    assert cast.alice.is_active
    assert User.objects.get(pk=cast.alice.pk).is_active
    assert services.offboard_user(cast.alice, by=cast.sre, reason="left", **told) == preview
    assert counts(preview) == {
        "tokens revoked": 1,
        "sessions ended": 1,
        "projects transferred to mia": 1,
        "runs transferred to mia": 1,
        "memberships ended": 1,
        "waiting jobs cancelled": 1,
    }
    assert _everything() != rows


def _everything() -> list[Any]:
    models = (User, ApiToken, Membership, Run, Project, Workload, AuditEvent, Session)
    return [list(model._base_manager.order_by("pk").values()) for model in models]


@pytest.mark.parametrize("name", ["alice", "mia", "charlie", "aud"])
def test_only_an_admin_offboards(name: str, cast: Cast) -> None:
    for dry_run in (True, False):
        with pytest.raises(NotAllowed):
            services.offboard_user(cast.bob, by=cast.people[name], reason="x", dry_run=dry_run)
    with pytest.raises(NotAllowed):
        services.disable_user(cast.bob, by=cast.people[name], reason="x")
    assert User.objects.get(pk=cast.bob.pk).is_active


def test_an_admin_does_not_offboard_himself(cast: Cast) -> None:
    with pytest.raises(Conflict):
        services.offboard_user(cast.sre, by=cast.sre, reason="x")
    assert User.objects.get(pk=cast.sre.pk).is_active


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"assets": "burn"}, "assets"),
        ({"jobs": "kill"}, "jobs"),
        ({"memberships": "x"}, "memberships"),
        ({"reason": " "}, "reason"),
        ({"transfer_to": "mia"}, "transfer_to"),
        ({"assets": "transfer", "transfer_to": "ivan"}, "transfer_to"),
        ({"assets": "transfer", "transfer_to": "alice"}, "transfer_to"),
    ],
)
def test_an_unknown_policy_is_refused(told: dict[str, Any], field: str, cast: Cast) -> None:
    if "transfer_to" in told:
        told = {**told, "transfer_to": cast.people[told["transfer_to"]]}
    with pytest.raises(Invalid) as refusal:
        services.offboard_user(cast.alice, by=cast.sre, **{"reason": "left", **told})
    assert set(refusal.value.errors) == {field}
    assert User.objects.get(pk=cast.alice.pk).is_active


def test_a_service_account_is_offboarded_like_a_person(cast: Cast) -> None:
    robot = teams.create_service_account(cast.team, name="ci", by=cast.mia)
    token, _ = services.issue_token(robot, by=cast.mia, name="t")
    services.disable_user(robot, by=cast.sre, reason="unused")
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert Membership.objects.filter(user=robot).exists()
