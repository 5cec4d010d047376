"""What nobody refers to goes, in two steps, and nothing that somebody has just begun to keep."""

import hashlib
import io
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.core import blobs, failpoints
from apps.core.blobs import Store
from apps.core.errors import NotAllowed, Unready
from apps.quotas.choices import ARTIFACTS
from apps.quotas.models import QuotaLimit
from apps.quotas.services import drift
from apps.storage import services
from apps.storage.models import Blob, Collection
from apps.tracking import services as tracking
from apps.tracking.models import Artifact, Retention, Run
from tests.factories import in_threads
from tests.people import Cast

DATA = b"some bytes that will be garbage"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def run(cast: Cast, store: Store) -> Run:
    project = tracking.create_project("vision", by=cast.alice, team=cast.team)
    return tracking.create_run(project, by=cast.alice, name="first")


def save(run: Run, by: Any, path: str = "a", data: bytes = DATA) -> Artifact:
    return tracking.save_artifact(run, path, iter([data]), by=by)[0]


def age(hours: int = 1000) -> None:
    """Let time pass for every blob."""
    for row in Blob.objects.all():
        doomed = row.doomed_at and row.doomed_at - timedelta(hours=hours)
        Blob.objects.filter(pk=row.pk).update(touched_at=row.touched_at - timedelta(hours=2 * hours), doomed_at=doomed)


def stored() -> list[str]:
    return sorted(found.sha256 for found in blobs.store().walk())


@pytest.mark.django_db
def test_what_nobody_refers_to_is_marked_and_then_swept(cast: Cast, run: Run) -> None:
    kept = save(run, cast.alice, "kept", b"kept")
    tracking.delete_artifact(save(run, cast.alice), by=cast.alice)
    assert str(services.collect(by=SYSTEM)) == "0 expired, 0 marked, 0 swept"  # too fresh
    age()
    found = services.preview(by=cast.sre)
    assert (found.markable.count, found.markable.bytes, found.sweepable.count) == (1, len(DATA), 0)
    assert str(services.collect(by=cast.sre, reason="tidy")) == "0 expired, 1 marked, 0 swept"
    assert SHA in stored()
    assert services.preview(by=SYSTEM).waiting.count == 1
    age()
    assert services.preview(by=SYSTEM).sweepable.bytes == len(DATA)
    done = services.collect(by=cast.sre, reason="tidy")
    assert (done.swept, done.swept_bytes, stored()) == (1, len(DATA), [kept.sha256])
    assert list(Blob.objects.values_list("pk", flat=True)) == [kept.sha256]
    event = AuditEvent.objects.filter(action="collect").latest("at")
    assert (event.actor_label, event.reason, event.data["swept"]) == ("sre", "tidy", 1)
    assert services.preview(by=SYSTEM).does_nothing


@pytest.mark.django_db
def test_a_preview_changes_nothing(cast: Cast, run: Run) -> None:
    tracking.delete_artifact(save(run, cast.alice), by=cast.alice)
    age()
    out = io.StringIO()
    call_command("artifacts", "gc", "--dry-run", stdout=out)
    assert f"would be marked: 1 blobs, {len(DATA)} bytes" in out.getvalue()
    assert Blob.objects.get(pk=SHA).doomed_at is None
    assert Collection.objects.count() == 0


@pytest.mark.django_db
def test_what_is_kept_again_is_marked_no_more(cast: Cast, run: Run) -> None:
    tracking.delete_artifact(save(run, cast.alice), by=cast.alice)
    age()
    services.collect(by=SYSTEM)
    age()
    save(run, cast.alice, "again")
    assert services.collect(by=SYSTEM).swept == 0
    age()
    assert (services.collect(by=SYSTEM).swept, stored()) == (0, [SHA])


@pytest.mark.django_db
def test_bytes_without_a_row_are_found(run: Run, monkeypatch: Any) -> None:
    blobs.write([DATA], limit=100)
    Blob.objects.all().delete()
    services.collect(by=SYSTEM)
    assert not Blob.objects.exists()  # too fresh to be a stray
    monkeypatch.setattr(services, "grace", lambda: timedelta(hours=-1))
    services.collect(by=SYSTEM)
    assert Blob.objects.get().pk == SHA


@pytest.mark.django_db
def test_code_keeps_its_bytes(cast: Cast, store: Store) -> None:
    from apps.experiments import services as experiments

    experiments.upload_code([DATA], by=cast.alice, sha256=SHA, content_type="application/zip")
    for _ in range(3):
        age()
        services.collect(by=SYSTEM)
    assert stored() == [SHA]


@pytest.mark.django_db
def test_operators_alone_collect(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    for person in (cast.alice, cast.mia, cast.bob):
        with pytest.raises(NotAllowed):
            services.collect(by=person)
        with pytest.raises(NotAllowed):
            services.preview(by=person)
        assert not Blob.objects.visible_to(person, "view").exists()
    assert services.preview(by=cast.aud).markable.count == 0
    assert stored() == [SHA]


@pytest.mark.django_db
def test_the_store_is_checked_by_a_command(run: Run, settings: Any, tmp_path: Any) -> None:
    call_command("artifacts", "check", stdout=io.StringIO())
    (tmp_path / "file").write_text("")
    settings.ARTIFACT_STORE, settings.BLOB_ROOT = "", tmp_path / "file"
    with pytest.raises(CommandError, match="cannot be written to"):
        call_command("artifacts", "check")


def ended(run: Run, days: int) -> None:
    Run.objects.filter(pk=run.pk).update(status="finished", finished_at=timezone.now() - timedelta(days=days))


@pytest.mark.django_db
def test_files_expire_by_the_rule_of_their_project_or_team(cast: Cast, run: Run) -> None:
    other = tracking.create_project("kept for ever", by=cast.alice, team=cast.team)
    second = tracking.create_run(other, by=cast.alice, name="second")
    pinned = save(run, cast.alice, "pinned")
    tracking.pin_artifact(pinned, by=cast.alice)
    save(run, cast.alice, "goes", b"goes")
    save(second, cast.alice, "stays", b"stays")
    for one in (run, second):
        ended(one, days=10)
    tracking.set_retention(cast.team, by=cast.sre, days_after_end=5)
    tracking.set_retention(other, by=cast.alice)
    (group,) = services.preview(by=cast.sre).expiring
    assert (group.owner, group.project, group.count, group.bytes) == ("alice", "vision", 1, 4)
    before = QuotaLimit.objects.get(node__key="platform", resource=ARTIFACTS).used
    done = services.collect(by=SYSTEM)
    assert (done.expired, done.expired_bytes) == (1, 4)
    assert sorted(Artifact.objects.values_list("path", flat=True)) == ["pinned", "stays"]
    assert QuotaLimit.objects.get(node__key="platform", resource=ARTIFACTS).used == before - 4
    assert drift() == []
    assert AuditEvent.objects.get(action="expire").data == {"files": 1, "bytes": 4}


@pytest.mark.django_db
def test_what_runs_or_ended_lately_does_not_expire(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    tracking.set_retention(run.project, by=cast.alice, days_after_end=5, days_after_archive=2)
    assert services.preview(by=SYSTEM).expiring == []
    ended(run, days=4)
    assert services.preview(by=SYSTEM).expiring == []
    Run.objects.filter(pk=run.pk).update(archived_at=timezone.now() - timedelta(days=3))
    assert services.preview(by=SYSTEM).expiring[0].count == 1
    tracking.end_retention(run.project, by=cast.alice)
    assert services.preview(by=SYSTEM).expiring == []
    assert not Retention.objects.exists()


@pytest.mark.django_db
def test_what_something_else_refers_to_does_not_expire(cast: Cast, run: Run) -> None:
    from apps.experiments import services as experiments

    save(run, cast.alice)
    experiments.upload_code([DATA], by=cast.alice, sha256=SHA, content_type="application/zip")
    ended(run, days=10)
    tracking.set_retention(run.project, by=cast.alice, days_after_end=0)
    assert services.collect(by=SYSTEM).expired == 0
    assert Artifact.objects.exists()


# --- a sweep and an upload of the same bytes at the same moment


def doomed(cast: Cast, run: Run) -> None:
    """Bytes that the next collection would sweep."""
    tracking.delete_artifact(save(run, cast.alice), by=cast.alice)
    age()
    services.collect(by=SYSTEM)
    age()
    assert services.preview(by=SYSTEM).sweepable.count == 1


def race(cast: Cast, run: Run, monkeypatch: Any, point: str) -> list[Any]:
    """Sweep, and when the sweeper has come to `point`, begin to keep the same bytes."""
    reached, went_on = threading.Event(), threading.Event()
    at = services.failpoints.hit

    def hit(name: str) -> None:
        if name == point and threading.current_thread().name == "sweeper":
            reached.set()
            went_on.wait(1.0)  # the upload, if nothing holds it back, is through by then
        at(name)

    monkeypatch.setattr(failpoints, "hit", hit)

    def work(index: int) -> Any:
        if index == 0:
            threading.current_thread().name = "sweeper"
            return services.collect(by=SYSTEM)
        assert reached.wait(10)
        try:
            return save(run, cast.alice, "again")
        finally:
            went_on.set()

    return in_threads(2, work)


def is_whole(run: Run) -> bool:
    found = Artifact.objects.filter(run=run, path="again").first()
    return found is None or blobs.store().size_of(found.sha256) == len(DATA)


@pytest.mark.parametrize("point", ["garbage.before_delete", "garbage.after_delete"])
def test_an_upload_of_the_same_bytes_is_not_lost(
    committed: None, cast: Cast, run: Run, monkeypatch: Any, point: str
) -> None:
    doomed(cast, run)
    race(cast, run, monkeypatch, point)
    assert Artifact.objects.filter(run=run, path="again").exists()
    assert is_whole(run)
    assert stored() == [SHA]


def test_without_the_lock_it_is_lost(committed: None, cast: Cast, run: Run, monkeypatch: Any) -> None:
    doomed(cast, run)
    monkeypatch.setattr(services, "claim_rows", lambda rows, **_: list(rows))
    lost = []
    for _ in range(3):
        race(cast, run, monkeypatch, "garbage.before_delete")
        lost.append(not is_whole(run))
        if lost[-1]:
            break
    assert any(lost)


def test_a_row_that_came_too_late_is_refused(committed: None, cast: Cast, run: Run, monkeypatch: Any) -> None:
    def swept(name: str) -> None:
        if name == "artifact.after_write_before_row":
            Blob.objects.all().delete()
            blobs.store().delete(SHA)

    monkeypatch.setattr(failpoints, "hit", swept)
    with pytest.raises(Unready, match="Send them again"):
        save(run, cast.alice)
    assert not Artifact.objects.exists()
