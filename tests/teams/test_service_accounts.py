"""Service accounts: made and kept by maintainers, never more than members, never a person."""

import pytest

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotAuthenticated, NotFound
from apps.teams import services
from apps.teams.models import Membership
from tests.people import Cast, submit


@pytest.fixture
def robot(cast: Cast) -> User:
    return services.create_service_account(cast.team, name="ci", by=cast.mia)


def test_a_maintainer_makes_one(cast: Cast, robot: User) -> None:
    assert (robot.username, robot.service_of, robot.platform_role) == ("svc.vision.ci", cast.team, "")
    assert Membership.objects.get(user=robot).role == "member"
    assert not robot.has_usable_password()
    event = AuditEvent.objects.get(action="create", object_id=str(robot.pk), object_type="accounts.user")
    assert (event.actor, event.data["team"]) == (cast.mia, "Vision")
    assert services.find_service_account(cast.team, "ci", by=cast.bob) == robot


@pytest.mark.parametrize(
    ("name", "error"),
    [("alice", NotAllowed), ("bob", NotAllowed), ("aud", NotAllowed), ("charlie", NotFound), ("olaf", NotFound)],
)
def test_others_make_none(name: str, error: type[Exception], cast: Cast) -> None:
    with pytest.raises(error):
        services.create_service_account(cast.team, name="ci", by=cast.people[name])
    assert not User.objects.exclude(service_of=None).exists()


def test_the_name_of_another_teams_tells_nothing(cast: Cast, robot: User) -> None:
    services.set_member(cast.other_team, cast.olaf, role="maintainer", by=SYSTEM)
    said = []
    for name in (robot.username, "svc.vision.none", "svc.nowhere.ci"):
        with pytest.raises(Invalid) as refusal:
            services.find_person(name, team=cast.other_team, by=cast.again("olaf"))
        said.append(refusal.value.errors)
    assert said[0] == said[1] == said[2]
    assert services.find_person(robot.username, team=cast.team, by=cast.mia) == robot
    assert services.find_person(robot.username, team=cast.other_team, by=cast.sre) == robot


@pytest.mark.parametrize(("name", "error"), [("alice", NotAllowed), ("charlie", NotFound), ("olaf", NotFound)])
def test_others_do_not_disable_it(name: str, error: type[Exception], cast: Cast, robot: User) -> None:
    for write in (services.disable_service_account, services.enable_service_account):
        with pytest.raises(error):
            write(robot, by=cast.people[name], reason="x")
    assert User.objects.get(pk=robot.pk).is_active


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "x" * 61, "a.b", "a/b"])
def test_a_bad_name_is_refused(name: str, cast: Cast) -> None:
    with pytest.raises(Invalid):
        services.create_service_account(cast.team, name=name, by=cast.mia)


def test_a_taken_name_and_a_wrong_role_are_refused(cast: Cast, robot: User) -> None:
    with pytest.raises(Invalid) as refusal:
        services.create_service_account(cast.team, name="ci", by=cast.mia)
    assert "name" in refusal.value.errors
    with pytest.raises(Invalid):
        services.create_service_account(cast.team, name="boss", role="maintainer", by=cast.mia)
    assert User.objects.exclude(service_of=None).count() == 1


def test_it_is_never_maintainer_never_admin_and_in_no_other_team_by_a_maintainer(cast: Cast, robot: User) -> None:
    services.set_member(cast.other_team, cast.mia, role="maintainer", by=cast.sre)
    mia = cast.again("mia")
    with pytest.raises(Conflict):
        services.set_member(cast.team, robot, role="maintainer", by=cast.sre)
    with pytest.raises(NotAllowed):
        services.set_member(cast.other_team, robot, role="viewer", by=mia)
    with pytest.raises(Conflict):
        accounts.set_platform_role(robot, "admin", by=cast.sre)
    with pytest.raises(Conflict):
        services.remove_member(cast.team, robot, by=mia)
    assert list(Membership.objects.filter(user=robot).values_list("team__slug", "role")) == [("vision", "member")]
    services.set_member(cast.other_team, robot, role="viewer", by=cast.sre)
    services.set_service_role(robot, role="viewer", by=mia)
    assert set(Membership.objects.filter(user=robot).values_list("team__slug", "role")) == {
        ("vision", "viewer"), ("speech", "viewer"),
    }  # fmt: skip


def test_it_cannot_log_in(robot: User) -> None:
    for password in ("", "!", robot.password):
        with pytest.raises(NotAuthenticated):
            accounts.log_in(robot.username, password)


def test_a_person_cannot_take_such_a_name(cast: Cast) -> None:
    for name in ("svc.vision.bot", "SVC.x"):
        with pytest.raises(Invalid):
            accounts.create_user(name, by=cast.sre)
        with pytest.raises(Invalid):
            accounts.update_user(cast.bob, by=cast.sre, username=name)
    assert User.objects.get(pk=cast.bob.pk).username == "bob"


def test_it_works_for_its_team(cast: Cast, robot: User) -> None:
    from tests.people import fake_cluster

    fake_cluster()
    _, value = accounts.issue_token(robot, by=cast.mia, name="ci")
    acting = accounts.authenticate_token(value)
    assert submit(acting, team="vision").run.owner == robot
    with pytest.raises(Invalid):
        submit(acting, team="speech")


def test_disabled_and_enabled_by_a_maintainer(cast: Cast, robot: User) -> None:
    _, value = accounts.issue_token(robot, by=cast.mia, name="ci")
    services.disable_service_account(robot, by=cast.mia, reason="leaked")
    services.disable_service_account(robot, by=cast.mia, reason="leaked")
    with pytest.raises(NotAuthenticated):
        accounts.authenticate_token(value)
    with pytest.raises(Conflict):
        accounts.issue_token(robot, by=cast.mia, name="ci")
    services.enable_service_account(robot, by=cast.mia)
    with pytest.raises(NotAuthenticated):
        accounts.authenticate_token(value)
    assert AuditEvent.objects.filter(action="disable").count() == 1


def test_an_archived_team_has_no_live_service_account(cast: Cast, robot: User) -> None:
    _, value = accounts.issue_token(robot, by=cast.mia, name="ci")
    services.archive_team(cast.team, by=cast.sre, reason="over")
    with pytest.raises(NotAuthenticated):
        accounts.authenticate_token(value)
    robot.refresh_from_db()
    for enable in (accounts.enable_user, services.enable_service_account):
        with pytest.raises(Conflict):
            enable(robot, by=cast.sre, reason="x")
    assert not User.objects.get(pk=robot.pk).is_active
