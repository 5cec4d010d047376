"""Versions that stay, names that are found, shares, and builds over a cluster in memory."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.compute import services as compute
from apps.compute.models import Cluster
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.environments import services
from apps.environments.models import Environment, EnvironmentBuild, EnvironmentLock, EnvironmentVersion
from apps.environments.services import journal, working
from tests.environments.conftest import build_of, make, newest, work
from tests.factories import LONG_AGO, Stage
from tests.people import Cast


def contents(packages: str = "six\n") -> services.Contents:
    return services.read_contents(packages=packages)


def test_versions_are_numbered_and_told(cast: Cast) -> None:
    first = make(cast.alice)
    second = services.create_version(first.environment, contents("tomli\n"), by=cast.alice)
    assert (str(first), str(second), first.environment.visibility) == ("tools@1", "tools@2", "private")
    told = AuditEvent.objects.filter(action="create_version").order_by("pk").values_list("data", flat=True)
    assert [line["packages"] for line in told] == [["six==1.16.0"], ["tomli"]]


@pytest.mark.parametrize("change", [{"packages": []}, {"number": 9}, {"variables": {"A": "1"}}])
def test_a_version_is_fixed_by_the_database(cast: Cast, change: dict[str, object]) -> None:
    version = make(cast.alice)
    for attempt in (
        lambda: EnvironmentVersion.objects.filter(pk=version.pk).update(**change),
        lambda: EnvironmentVersion.objects.filter(pk=version.pk).delete(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            attempt()


def test_a_lock_is_fixed_by_the_database(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    work()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        EnvironmentLock.objects.filter(version=version).update(text="six==0")


def test_a_name_is_once_per_owner_and_team(cast: Cast) -> None:
    make(cast.alice)
    make(cast.alice, team=cast.team)
    make(cast.mia)
    with pytest.raises(Invalid, match="exists"):
        make(cast.alice)
    with pytest.raises(Invalid, match="exists"):
        make(cast.mia, team=cast.team)
    services.archive_environment(Environment.objects.get(owner=cast.alice, team=None), by=cast.alice)
    make(cast.alice)


@pytest.mark.parametrize("name", ["", "a b", "a@1", "-a", "a/b", "ä", "a" * 101, "a\x00"])
def test_names_that_a_specification_could_not_say(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid):
        make(cast.alice, name=name)


def test_what_one_may(cast: Cast) -> None:
    version = make(cast.alice, team=cast.team)
    with pytest.raises(NotAllowed):
        services.create_version(version.environment, contents(), by=cast.bob)
    with pytest.raises(NotFound):
        services.create_version(version.environment, contents(), by=cast.charlie)
    with pytest.raises(NotAllowed):
        services.archive_environment(version.environment, by=cast.bob)
    assert version.environment.versions.count() == 1
    grants.grant(cast.charlie, version.environment, Role.EDITOR)
    assert services.create_version(version.environment, contents(), by=cast.again("charlie")).number == 2


def test_a_reference_means_ones_own_first_and_never_what_one_may_not_see(cast: Cast) -> None:
    theirs, mine = make(cast.mia, team=cast.team), make(cast.alice)
    hidden = make(cast.charlie, name="secret")
    assert services.find_version("tools", by=cast.alice) == mine
    assert services.find_version("tools@1", by=cast.alice, team=cast.team) == theirs
    assert services.find_version("tools@latest", by=cast.bob) == theirs
    for unknown in ("secret", str(hidden.environment_id), "tools@9", "tools@x", "tools@99999999999", "nothing@1"):
        with pytest.raises(Invalid) as caught:
            services.find_version(unknown, by=cast.alice)
        assert list(caught.value.errors) == ["environment"]


def test_a_build_goes_through(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    asked = services.request_build(version, by=cast.alice)
    assert asked.state == "queued"
    work()
    build = build_of(version)
    assert (build.state, build.log, build.message) == ("ready", "$ lock\n$ build\n", "")
    assert stage.world.builds == [build.key]
    assert build.lock is not None
    assert build.lock.text.startswith("six==1.16.0")
    told = set(AuditEvent.objects.filter(object_id=version.environment_id).values_list("action", flat=True))
    assert {"build", "built"} <= told


def test_a_failure_names_its_line_and_can_be_tried_again(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice, packages="six\nbroken-thing\n")
    services.request_build(version, by=cast.alice)
    work()
    build = build_of(version)
    assert (build.state, build.lines, build.message) == ("failed", [2], "line 2 (broken-thing): it is broken")
    assert stage.world.builds == []
    services.request_build(version, by=cast.alice)
    assert build_of(version).state == "queued"


def test_the_lock_is_made_once_also_when_it_is_built_again(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    work()
    before = build_of(version)
    services.remove_build(before, by=cast.alice, reason="room")
    work()
    assert (build_of(version).state, stage.world.environments) == ("removed", set())
    services.request_build(version, by=cast.alice)
    work()
    assert (build_of(version).state, build_of(version).key, stage.world.locks) == ("ready", before.key, 1)
    assert stage.world.builds == [before.key] * 2


def test_an_unreachable_cluster_is_waited_for(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    with stage.world.unreachable():
        work()
    build = build_of(version)
    assert (build.state, build.tries) == ("queued", 1)
    assert "switched off" in build.message
    work()
    assert build_of(version).state == "queued"  # not yet: it waits a while
    EnvironmentBuild.objects.update(next_try_at=LONG_AGO)
    work()
    assert (build_of(version).state, build_of(version).tries) == ("ready", 0)


def test_what_its_worker_left_is_taken_up_and_the_first_worker_can_write_no_more(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    first = working._claim()
    assert first is not None
    assert working._claim() is None  # leased
    EnvironmentBuild.objects.update(lease_until=LONG_AGO)
    work()
    assert build_of(version).state == "ready"
    working._end(first, "failed", journal.Journal(first), message="too late")
    assert build_of(version).state == "ready"


def test_what_is_cut_off_again_and_again_fails(cast: Cast, stage: Stage) -> None:
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    for _ in range(working._MOST_TRIES + 1):
        assert working._claim() is not None
        EnvironmentBuild.objects.update(lease_until=LONG_AGO)
    work()
    assert build_of(version).state == "failed"
    assert "cut off" in build_of(version).message


def test_the_same_packages_are_one_on_a_cluster(cast: Cast, stage: Stage) -> None:
    versions = [make(cast.alice), make(cast.charlie)]
    for version in versions:
        services.request_build(version, by=version.created_by)
    first = working._claim()
    assert first is not None
    lock = working._locked(first.version, "fake-3.11", working._builder(first), journal.Journal(first))
    working._take_key(first, working.key_of("fake-3.11", lock.text), lock)
    work()  # the other one finds the key taken
    other = build_of(versions[1] if first.version == versions[0] else versions[0])
    assert (other.state, stage.world.builds) == ("queued", [])
    EnvironmentBuild.objects.update(lease_until=LONG_AGO, next_try_at=LONG_AGO)
    work()
    assert {build_of(version).state for version in versions} == {"ready"}
    assert len(stage.world.builds) == 1
    services.remove_build(build_of(versions[0]), by=cast.alice)
    work()
    assert {build_of(version).state for version in versions} == {"removed"}


def test_what_is_not_used_goes_and_what_is_used_stays(cast: Cast, stage: Stage) -> None:
    unused, used, fresh = (make(cast.alice, name=name, packages=f"{name}\n") for name in ("old", "running", "new"))
    stage.plan(duration=None)
    for version in (unused, used, fresh):
        services.request_build(version, by=cast.alice)
    work()
    stage.submit(cast.alice, environment="running")
    stage.turn(times=2)
    EnvironmentBuild.objects.exclude(version=fresh).update(used_at=LONG_AGO, finished_at=LONG_AGO)
    assert services.remove_unused() == "removed 1"
    work()
    states = {build.version.environment.name: build.state for build in EnvironmentBuild.objects.all()}
    assert states == {"old": "removed", "running": "ready", "new": "ready"}
    with pytest.raises(Conflict, match="uses it"):
        services.remove_build(build_of(used), by=cast.alice)


def test_a_cluster_without_environments_says_so(cast: Cast, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    from apps.compute.backends.fake.backend import FakeBackend

    monkeypatch.setattr(FakeBackend, "capabilities", frozenset())
    version = make(cast.alice)
    with pytest.raises(Invalid, match="runs no environments"):
        services.request_build(version, by=cast.alice)
    with pytest.raises(Invalid, match="runs no environments"):
        stage.submit(cast.alice, environment="tools")


def test_what_leaves_with_its_owner_gets_another_name_where_the_heir_has_one(cast: Cast) -> None:
    mine, theirs = make(cast.alice), make(cast.mia)
    services.make_room_for(Environment.objects.filter(pk=theirs.environment_id), cast.alice)
    theirs.environment.refresh_from_db()
    assert theirs.environment.name != mine.environment.name
    assert theirs.environment.name.startswith("tools.")


def test_a_log_keeps_its_beginning_and_its_end_and_no_password(cast: Cast, stage: Stage) -> None:
    services.request_build(make(cast.alice), by=cast.alice)
    build = working._claim()
    assert build is not None
    log = journal.Journal(build)
    log.tell(b"begin https://robot:hunter2@index.example/simple\x00 \xff\n")
    log.say("x" * 300_000)
    log.say("the end")
    assert log.text.startswith("begin https://***@index.example/simple")
    assert log.text.endswith("the end")
    assert len(log.text) < 210_000
    assert "hunter2" not in log.text


def test_two_clusters_have_two_builds_of_one_lock(cast: Cast, stage: Stage) -> None:
    compute.save_cluster(Cluster(name="second", kind="fake", settings={"world": f"{stage.name}-2"}), by=SYSTEM)
    version = make(cast.alice)
    services.request_build(version, by=cast.alice)
    services.request_build(version, by=cast.alice, cluster="second")
    work()
    builds = EnvironmentBuild.objects.filter(version=version)
    assert {build.state for build in builds} == {"ready"}
    assert len({build.key for build in builds}) == 1
    assert EnvironmentLock.objects.filter(version=version).count() == 1
    assert newest(version.environment).builds.count() == 2
    assert timezone.now() > builds[0].created_at
