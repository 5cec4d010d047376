"""The slow loops: health, sweep, audit of the books, purge."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from apps.access import grants
from apps.access.models import IdempotencyRecord
from apps.access.principal import SYSTEM
from apps.accounts.models import LoginFailure
from apps.audit.models import AuditEvent
from apps.compute import services
from apps.compute.backends.fake.world import FakeWorld
from apps.compute.choices import DesiredState
from apps.compute.contract import WorkloadSpec
from apps.compute.models import Attempt, Cluster, Workload
from apps.compute.reconcile import keep
from apps.compute.reconcile.watch import Watch
from apps.quotas.models import QuotaLimit, Reservation
from apps.sharing import services as sharing
from apps.sharing.services.shares import name_of as sharing_name
from apps.tracking.models import ProjectGroupGrant, ProjectUserGrant
from apps.tracking.services import create_project
from tests.factories import Stage, assert_books_balance, attempt_of, fresh
from tests.people import Cast


@pytest.fixture(autouse=True)
def _no_suspects() -> Iterator[None]:
    keep._suspects.clear()
    yield
    keep._suspects.clear()


def orphan(stage: Stage, name: str = "fth-nobody-1") -> str:
    from apps.compute import registry

    backend = registry.connect("fake", stage.cluster.settings)
    backend.submit(name, WorkloadSpec(("true",), env={"FAKE_DURATION": "forever"}))
    return name


def test_an_orphan_is_removed_by_the_second_sweep(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    name = orphan(stage)
    assert keep.sweep() == ""
    assert name in stage.world.workloads
    assert keep.sweep() == "removed 1"
    assert set(stage.world.workloads) == {attempt_of(experiment).handle}


def test_a_failed_listing_convicts_nobody(stage: Stage) -> None:
    name = orphan(stage)
    keep.sweep()
    with stage.world.unreachable():
        assert keep.sweep() == ""
        assert keep.sweep() == ""
    assert name in stage.world.workloads


def test_what_is_gone_in_between_is_no_suspect_any_more(stage: Stage) -> None:
    name = orphan(stage)
    keep.sweep()
    held = stage.world.workloads.pop(name)
    keep.sweep()
    stage.world.workloads[name] = held
    assert keep.sweep() == ""
    assert name in stage.world.workloads


def test_one_clusters_trouble_does_not_keep_the_others_from_the_sweep(stage: Stage) -> None:
    Cluster.objects.create(name="a-broken", kind="fake", settings={"nonsense": 1}, created_at="2001-01-01T00:00:00Z")
    orphan(stage)
    keep.sweep()
    assert keep.sweep() == "removed 1"


def test_an_ended_attempt_that_is_not_removed_yet_is_owned(cast: Cast, stage: Stage) -> None:
    stage.submit(cast.alice)
    stage.turn(times=2)
    Attempt.objects.update(removed_at=None)
    orphan(stage, Attempt.objects.get().handle)
    keep.sweep()
    assert keep.sweep() == ""


def test_a_leaked_reservation_is_given_back(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    assert keep.audit_books() == ""
    assert_books_balance(live=1)
    Attempt.objects.update(verdict="failed")  # as a bug might leave it
    assert keep.audit_books() == ""
    assert_books_balance(live=0)
    assert fresh(experiment).state == "running"


def test_drift_is_reported_and_not_overwritten(cast: Cast, stage: Stage) -> None:
    stage.submit(cast.alice)
    stage.turn()
    QuotaLimit.objects.filter(node__key="platform", resource="cpu").update(used=5)
    assert "cpu: 5, live 1000" in keep.audit_books()
    assert QuotaLimit.objects.get(node__key="platform", resource="cpu").used == 5
    assert Reservation.objects.filter(released_at=None).count() == 1


def test_health_is_written_down(stage: Stage) -> None:
    assert keep.check_health() == ""
    cluster = Cluster.objects.get()
    assert (cluster.state, cluster.message, cluster.capacity["cpu"]) == ("ok", "runs nothing", 64_000)
    assert cluster.isolates_tenants
    assert cluster.checked_at is not None
    node = services.cluster_node(cluster)
    assert QuotaLimit.objects.get(node=node, resource="gpu").limit == 8_000
    with stage.world.unreachable():
        assert keep.check_health() == "down: fake"
    cluster.refresh_from_db()
    assert (cluster.state, cluster.message) == ("down", "the fake cluster is switched off")
    assert QuotaLimit.objects.get(node=node, resource="gpu").limit == 8_000  # what it has is not forgotten


def test_a_cluster_with_bad_settings_is_down_and_the_others_are_asked(stage: Stage) -> None:
    Cluster.objects.create(name="a-broken", kind="fake", settings={"nonsense": 1}, created_at="2001-01-01T00:00:00Z")
    assert keep.check_health() == "down: a-broken"
    assert Cluster.objects.get(pk=stage.cluster.pk).state == "ok"
    assert "unknown setting: nonsense" in Cluster.objects.get(name="a-broken").message


def test_a_disabled_cluster_is_not_looked_at(stage: Stage) -> None:
    Cluster.objects.update(is_enabled=False)
    orphan(stage)
    keep.check_health()
    keep.sweep()
    assert keep.sweep() == ""
    assert Cluster.objects.get().checked_at is None


def test_the_old_is_purged_and_the_new_kept(cast: Cast) -> None:
    for days in (0, 8):
        record = IdempotencyRecord.objects.create(user=cast.alice, key=str(days), request_sha256="")
        IdempotencyRecord.objects.filter(pk=record.pk).update(created_at=Now() - timedelta(days=days))
        failure = LoginFailure.objects.create(username=str(days))
        LoginFailure.objects.filter(pk=failure.pk).update(at=Now() - timedelta(days=days))
    assert keep.purge() == ""
    assert IdempotencyRecord.objects.get().key == "0"
    assert LoginFailure.objects.get().username == "0"


def test_a_share_is_swept_a_week_after_it_expired(cast: Cast) -> None:
    project = create_project("p", by=cast.alice, team=cast.team)
    now = timezone.now()
    for subject in (cast.charlie, cast.dana, cast.other_team.group, cast.olaf):
        sharing.share(project, subject, "viewer", by=cast.alice, expires_at=now + timedelta(days=1))
    ProjectUserGrant.objects.filter(user=cast.charlie).update(expires_at=now - timedelta(days=8))
    ProjectGroupGrant.objects.update(expires_at=now - timedelta(days=8))
    ProjectUserGrant.objects.filter(user=cast.olaf).update(expires_at=now - timedelta(days=6))
    assert keep.purge() == "ended 2 expired shares"
    assert set(ProjectUserGrant.objects.values_list("user__username", flat=True)) == {"dana", "olaf"}
    assert not ProjectGroupGrant.objects.exists()
    told = AuditEvent.objects.filter(action="unshare").order_by("pk")
    assert {(event.actor_label, event.origin, event.reason) for event in told} == {
        ("system", "system", "It had expired.")
    }
    assert [event.data["subject"] for event in told] == ["charlie", sharing_name(cast.other_team.group)]
    assert keep.purge() == ""


def test_a_share_that_was_given_anew_is_not_swept(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    project = create_project("p", by=cast.alice, team=cast.team)
    sharing.share(project, cast.charlie, "viewer", by=cast.alice)
    monkeypatch.setattr(grants, "ended_before", lambda *_args, **_more: [(project, cast.charlie)])  # as it was listed
    assert keep.purge() == ""
    assert ProjectUserGrant.objects.count() == 1


# --- between two turns


def test_the_watch_sees_a_start_and_an_end(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=10, start_after=5)
    experiment = stage.submit(cast.alice)
    watch = Watch()
    assert watch.is_idle
    turn = stage.turn()
    watch.update(turn.looked_at, turn.present)
    assert not watch.is_idle
    assert changed(watch) == []
    stage.pass_time(6)
    assert changed(watch) == [experiment.workload_id]
    assert changed(watch) == []
    stage.pass_time(10)
    assert changed(watch) == [experiment.workload_id]
    turn = stage.turn()
    watch.update(turn.looked_at, turn.present)
    assert watch.is_idle


def changed(watch: Watch) -> list[object]:
    watch._next_look = 0.0
    return list(watch.changed())


def test_the_watch_says_nothing_of_what_it_cannot_see(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    stage.submit(cast.alice)
    turn = stage.turn()
    watch = Watch()
    watch.update(turn.looked_at, turn.present)
    with stage.world.unreachable():
        assert changed(watch) == []
    stage.world.vanish(Attempt.objects.get().handle)
    assert changed(watch) == []


def test_the_queries_of_operators(cast: Cast, stage: Stage) -> None:
    services.drain_cluster(stage.cluster, by=SYSTEM, reason="x")
    stage.submit(cast.alice)
    stage.turn()
    assert Workload.objects.waiting_for("Drained").count() == 1
    assert Workload.objects.active().count() == 1
    assert not Workload.objects.on_backend().exists()
    assert not Workload.objects.ended_badly(timedelta(days=1)).exists()
    Workload.objects.update(desired_state=DesiredState.STOP)
    stage.turn()
    assert not Workload.objects.active().exists()
    assert FakeWorld.named(stage.name).starts == {}
