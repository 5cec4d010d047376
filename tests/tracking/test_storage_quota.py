"""What files take is counted along the quota tree, and what does not fit is refused with the numbers."""

import io
import threading
from typing import Any

import pytest

from apps.access import grants
from apps.access.decision import Role
from apps.core import failpoints
from apps.core.errors import OverQuota
from apps.quotas import services as quotas
from apps.quotas import statements
from apps.quotas.choices import ARTIFACTS
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation
from apps.tracking import services
from apps.tracking.models import Artifact, Run
from tests.factories import in_threads
from tests.people import Cast
from tests.tracking.conftest import client_of, url

GIB = 1 << 30


def used(key: str) -> int:
    found = QuotaLimit.objects.filter(node__key=key, resource=ARTIFACTS).values_list("used", flat=True).first()
    return found or 0


def limit(cast: Cast, node: QuotaNode, amount: int) -> None:
    quotas.set_limit(node, ARTIFACTS, amount, by=cast.sre)


def node_of(cast: Cast, user: Any, *, alone: bool = False) -> QuotaNode:
    return quotas.leaf_of(user, None if alone else cast.team)


def save(run: Run, by: Any, path: str = "a", size: int = 1000, **facts: Any) -> Artifact:
    return services.save_artifact(run, path, iter([b"x" * size]), by=by, **facts)[0]


@pytest.mark.django_db
def test_files_are_counted_from_the_leaf_to_the_root(cast: Cast, run: Run) -> None:
    first = save(run, cast.alice)
    places = ["platform", f"org:{cast.organization.pk}", f"team:{cast.team.pk}", node_of(cast, cast.alice).key]
    assert [used(key) for key in places] == [1000] * 4
    save(run, cast.alice, size=300)  # in its place
    assert [used(key) for key in places] == [300] * 4
    save(run, cast.alice, "b", 50)
    services.delete_artifact(Artifact.objects.get(pk=first.pk), by=cast.alice)
    services.delete_artifact(first, by=cast.alice)  # again
    assert [used(key) for key in places] == [50] * 4
    assert quotas.drift() == []
    assert Reservation.objects.get().amounts == {ARTIFACTS: 50}


@pytest.mark.django_db
def test_who_is_let_in_pays_himself(cast: Cast, run: Run) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    save(run, cast.dana)
    assert (used(f"team:{cast.team.pk}"), used(f"user:{cast.dana.pk}")) == (0, 1000)
    save(run, cast.alice, size=20)  # replaces hers
    assert (used(f"team:{cast.team.pk}"), used(f"user:{cast.dana.pk}"), used("platform")) == (20, 0, 20)
    assert quotas.drift() == []


@pytest.mark.django_db
def test_what_does_not_fit_is_refused_with_the_numbers(cast: Cast, run: Run) -> None:
    limit(cast, QuotaNode.objects.filter(pk=node_of(cast, cast.alice).pk).get(), 2 * GIB)
    with pytest.raises(OverQuota) as caught:
        services.begin_upload(run, "big", by=cast.alice, size_bytes=3 * GIB, sha256="0" * 64)
    sentence = (
        "user alice in Vision uses 0 of its 2 GiB of artifact storage, and this needs 3 more. Mia or an admin can"
    )
    assert caught.value.detail.lower().startswith(sentence.lower())
    assert caught.value.extra == {
        "resource": ARTIFACTS,
        "limit": 2 * GIB,
        "used": 0,
        "need": 3 * GIB,
        "who": ["mia", "an admin"],
    }
    assert used("platform") == 0


@pytest.mark.django_db
def test_it_is_refused_before_it_is_sent_and_again_when_it_is_there(cast: Cast, run: Run, monkeypatch: Any) -> None:
    limit(cast, node_of(cast, cast.alice), 1500)
    save(run, cast.alice)
    monkeypatch.setattr("apps.tracking.services.artifacts._WORTH_ASKING", 500)
    read: list[int] = []
    with pytest.raises(OverQuota):
        services.save_artifact(run, "b", (read.append(1) or b"x" for _ in range(600)), by=cast.alice, size_bytes=600)
    assert read == []
    reply = client_of(cast.alice).put(url(run, "artifacts/c"), b"x" * 600, content_type="text/plain")
    assert (reply.status_code, reply.json()["code"], reply.json()["used"]) == (409, "over_quota", 1000)
    with pytest.raises(OverQuota):
        save(run, cast.alice, "d", 600)  # its size is not told before
    assert list(Artifact.objects.values_list("path", flat=True)) == ["a"]
    save(run, cast.alice, "a", 1500)
    assert used("platform") == 1500


@pytest.mark.django_db
def test_what_others_use_of_a_shared_limit_is_not_told(cast: Cast, run: Run) -> None:
    save(run, cast.alice, size=777)
    limit(cast, quotas.platform_node(), 1000)
    project = services.create_project("his", by=cast.charlie)
    his = services.create_run(project, by=cast.charlie, name="his")
    with pytest.raises(OverQuota) as caught:
        save(his, cast.charlie, size=500)
    assert "used" not in caught.value.extra
    assert "777" not in str(caught.value.extra) + caught.value.detail


@pytest.mark.django_db
def test_no_work_can_ask_for_it(cast: Cast) -> None:
    body = {"command": "true", "resources": {"other": {ARTIFACTS: 1}}}
    reply = client_of(cast.alice).post("/api/v2/experiments/", body, content_type="application/json")
    assert reply.status_code == 400, reply.content


@pytest.mark.django_db
def test_usage_shows_it(cast: Cast, run: Run) -> None:
    save(run, cast.alice)
    assert ARTIFACTS in client_of(cast.alice).get("/api/v2/usage/").content.decode()


# --- at the same time

THREADS, SIZE, FIT = 8, 100, 5


def meet_at_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(2)

    def hit(name: str) -> None:
        if name == "quota.after_lock":
            try:
                meeting.wait(0.05)
            except threading.BrokenBarrierError:
                meeting.reset()

    monkeypatch.setattr(failpoints, "hit", hit)


def uploads_at_once(cast: Cast, run: Run) -> list[Any]:
    runs = [services.create_run(run.project, by=cast.alice, name=str(number)) for number in range(THREADS)]
    limit(cast, node_of(cast, cast.alice), FIT * SIZE)

    def work(index: int) -> Any:
        by = cast.again("alice")
        return services.save_artifact(runs[index], "a", io.BytesIO(bytes([index]) * SIZE), by=by)[0]

    return in_threads(THREADS, work)


def test_as_many_as_fit_and_not_one_more(committed: None, cast: Cast, run: Run, monkeypatch: Any) -> None:
    meet_at_the_check(monkeypatch)
    results = uploads_at_once(cast, run)
    assert sum(isinstance(one, Artifact) for one in results) == FIT, results
    assert sum(isinstance(one, OverQuota) for one in results) == THREADS - FIT
    assert (used("platform"), Artifact.objects.count()) == (FIT * SIZE, FIT)
    assert quotas.drift() == []


def test_without_the_lock_more_are_tried(committed: None, cast: Cast, run: Run, monkeypatch: Any) -> None:
    """The control: the database refuses what the code has let through."""
    from django.db import IntegrityError

    meet_at_the_check(monkeypatch)
    monkeypatch.setattr(statements, "LOCK", statements.LOOK)
    results = uploads_at_once(cast, run)
    assert any(isinstance(one, IntegrityError) for one in results), results
    assert Artifact.objects.count() == used("platform") // SIZE <= FIT
